"""What really ran: cache types and bits per value from the sizes that the engine logged.

The log's type name hides layers that were kept at another type; the size does not. A size is printed with two
decimals (MiB), so it proves a type only to that precision; where type and size agree the exact size is known. Each
cache of a context (full attention, sliding window, indexer) is held against the layers that it can have; where none
of them explains the size, and the header does not say for sure which they are, nothing is known but the name and the
size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kvsweep.engine.logged import EngineContext, KvCache
from kvsweep.engine.sizes import padded_head
from kvsweep.inputs.kv_layers import FULL, INDEXER, WINDOW, LayerGroup
from kvsweep.inputs.model_header import groups_in_manifest
from kvsweep.study.pairs import KNOWN_TYPES, bits_per_value

_MIB = 2**20
# Half a unit of the last printed digit, and the error of printing a float of 24 bits.
_ROUNDING_MIB, _FLOAT_ERROR = 0.00501, 2.0**-23

# What the engine calls the caches that it makes.
KINDS = {"non-SWA": FULL, "main": FULL, "DSA": FULL, "SWA": WINDOW, "indexer": INDEXER}


@dataclass(frozen=True)
class KvShape:
    """The part of a model's header that decides the sizes of its caches: the layers by their caches, None where that
    is not known, the KV heads of each layer with a cache, values of K and V of one head by kind, and how many layers
    there are, those without attention included."""

    groups: tuple[LayerGroup, ...] | None
    kv_heads: tuple[int, ...]
    head_sizes: Mapping[str, tuple[int, int]]
    n_layers: int


@dataclass(frozen=True)
class Side:
    """K or V of a context's caches as they really were.

    ``bits_per_value`` is None where there are no values, or the number of them is not known.
    """

    cache_type: str
    size_bytes: int
    bits_per_value: float | None


@dataclass(frozen=True)
class EffectiveCache:
    k: Side
    v: Side

    @property
    def size_bytes(self) -> int:
        return self.k.size_bytes + self.v.size_bytes


@dataclass(frozen=True)
class _Layers:
    """Layers that a logged cache can have. ``certain``: the header says so; else it is one way to come to their
    number."""

    kv_heads: int
    head_size: int
    certain: bool


@dataclass(frozen=True)
class _Part:
    """One side of one cache. ``values`` is None where their number is not known, ``name`` where there are none."""

    name: str | None
    size_bytes: Fraction
    values: int | None


def shape_of(model: Mapping[str, Any]) -> KvShape:
    """``model`` is model.json."""
    full = model["head_size_k"], model["head_size_v"]
    window = (
        model.get("head_size_k_window") or full[0],
        model.get("head_size_v_window") or full[1],
    )
    heads = tuple(n for n in model["n_kv_heads"] if n)
    return KvShape(groups_in_manifest(model), heads, {FULL: full, WINDOW: window}, len(model["n_kv_heads"]))


def effective_cache(context: EngineContext, shape: KvShape) -> EffectiveCache | None:
    """The caches of one context together; None if the log does not show one."""
    caches = context.kv_caches
    if not caches:
        return None
    return EffectiveCache(
        _joined([cache.type_k for cache in caches], [_part(cache, shape, "k") for cache in caches]),
        _joined([cache.type_v for cache in caches], [_part(cache, shape, "v") for cache in caches]),
    )


def _joined(logged: Sequence[str], parts: Sequence[_Part]) -> Side:
    # A cache without V has the type that V would have.
    names = dict.fromkeys(part.name for part in parts if part.name is not None) or dict.fromkeys(logged)
    size = sum((part.size_bytes for part in parts), Fraction(0))
    values = None if any(part.values is None for part in parts) else sum(part.values or 0 for part in parts)
    return Side(" + ".join(names), round(size), float(size * 8 / values) if values else None)


def _part(cache: KvCache, shape: KvShape, side: str) -> _Part:
    logged, mib = (cache.type_k, cache.k_mib) if side == "k" else (cache.type_v, cache.v_mib)
    cells = cache.cells * (cache.n_stream or 1)
    tolerance = _ROUNDING_MIB + _FLOAT_ERROR * mib
    nominal = bits_per_value(logged)
    possible = list(_possible_layers(cache, shape, side))
    if mib == 0 and _is_absent(cells, nominal, possible, shape):
        return _Part(None, Fraction(0), 0)
    size = Fraction(str(mib)) * _MIB
    if nominal is None:
        known = next(iter(possible), None)
        return _Part(logged, size, None if known is None else cells * known.kv_heads * known.head_size)
    for layers in possible:
        for head in (layers.head_size, padded_head(layers.head_size, "turbo")):
            exact = cells * layers.kv_heads * head * nominal / 8
            if abs(float(exact) / _MIB - mib) <= tolerance:
                return _Part(logged, exact, cells * layers.kv_heads * layers.head_size)
    certain = next((layers for layers in possible if layers.certain), None)
    if certain is None:
        return _Part(logged, size, None)
    values = cells * certain.kv_heads * certain.head_size
    other = _other_layers(mib, logged, values, _number_of_layers(cache, shape), tolerance)
    if other is None:
        # Of a model with one kind of layers the number of values is beyond doubt.
        if len(shape.groups or ()) != 1:
            return _Part(logged, size, None)
        other = "other"
    return _Part(f"{logged} + {other} layers", size, values)


def _is_absent(cells: int, nominal: Fraction | None, possible: Sequence[_Layers], shape: KvShape) -> bool:
    """Whether a size of 0.00 MiB means that there is nothing, and not that there is little."""
    if any(not group.keeps_v for group in shape.groups or ()):
        return True
    return all(
        cells * layers.kv_heads * layers.head_size * (nominal or 1) / 8 > _ROUNDING_MIB * _MIB
        for layers in possible
    )


def _possible_layers(cache: KvCache, shape: KvShape, side: str) -> Iterator[_Layers]:
    """The layers that a logged cache can have, the most likely first."""
    kind = None if cache.label is None else KINDS.get(cache.label, "")
    n = _number_of_layers(cache, shape)
    groups = [group for group in shape.groups or () if kind in (None, group.kind)]
    for group in groups:
        # Layers without attention are counted by an engine that has one cache for all.
        if len(group.kv_heads) == n or (kind is None and len(groups) == 1 and n == shape.n_layers):
            yield _Layers(sum(group.kv_heads), _of_side(group, side), True)
    if kind is None and len(groups) > 1:
        # Builds without caches for windows have all layers in one.
        alike = [group for group in groups if group.kind != INDEXER]
        sizes = {_of_side(group, side) for group in alike}
        together = [one for group in alike for one in group.kv_heads]
        if len(sizes) == 1 and len(together) == n:
            yield _Layers(sum(together), sizes.pop(), True)
    # Of other layers than the header says, such as next-token layers, or an indexer that some layers share.
    listed = [(group.kv_heads, _of_side(group, side)) for group in groups]
    if shape.groups is None:
        listed = [
            (shape.kv_heads, sizes[0 if side == "k" else 1])
            for of_kind, sizes in shape.head_sizes.items()
            if kind in (None, of_kind)
        ]
    for heads, head_size in listed:
        for one in dict.fromkeys(heads):
            if len(set(heads)) == 1 or heads.count(one) == n:
                yield _Layers(one * n, head_size, False)
    if shape.groups is None and len(shape.kv_heads) == n:
        for _, head_size in listed:
            yield _Layers(sum(shape.kv_heads), head_size, False)


def _number_of_layers(cache: KvCache, shape: KvShape) -> int:
    """The layers of a cache. Where the log does not say them, the cache has all layers of the model."""
    if cache.layers is not None:
        return cache.layers
    if shape.groups is None:
        return len(shape.kv_heads)
    return sum(len(group.kv_heads) for group in shape.groups if group.kind != INDEXER)


def _of_side(group: LayerGroup, side: str) -> int:
    return group.head_size_k if side == "k" else group.head_size_v


def _other_layers(mib: float, logged: str, values: int, layers: int, tolerance: float) -> str | None:
    """The type at which some layers must have been kept for the size to come out; None if none or several do."""
    base = bits_per_value(logged)
    assert base is not None
    found = []
    for candidate in KNOWN_TYPES:
        bits = bits_per_value(candidate)
        if candidate == logged or bits is None:
            continue
        for n in range(1, layers):
            size = float(values * (base * (layers - n) + bits * n) / layers / 8) / _MIB
            if abs(size - mib) <= tolerance:
                found.append(candidate)
                break
    # The engines that keep layers at another type take q8_0.
    if "q8_0" in found:
        return "q8_0"
    return found[0] if len(found) == 1 else None
