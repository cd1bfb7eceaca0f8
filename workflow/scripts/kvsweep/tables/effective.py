"""What really ran: cache types and bits per value from the sizes that the engine logged.

The log's type name hides layers that were kept at another type; the size does not. A size is printed with two decimals
(MiB), so it proves a type only to that precision; where type and size agree the exact size is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from kvsweep.engine.log import EngineContext, KvCache
from kvsweep.study.pairs import KNOWN_TYPES, bits_per_value

_MIB = 2**20
# Half a unit of the last printed digit, and the error of printing a float.
_ROUNDING_MIB = 0.00501
# The TurboQuant types work on heads padded to this size.
_PADDED_HEAD = 128


@dataclass(frozen=True)
class KvShape:
    """The part of a model's header that decides the size of its KV cache; heads summed over the layers."""

    kv_heads: int
    kv_layers: int
    head_size_k: int
    head_size_v: int


@dataclass(frozen=True)
class Side:
    """K or V of a cache as it really was."""

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


def effective_cache(context: EngineContext, shape: KvShape) -> EffectiveCache | None:
    """The cache of one context; None if the log does not show one. Two caches (sliding window) are summed."""
    caches = context.kv_caches
    if not caches:
        return None
    tokens = Fraction(sum(_token_layers(cache) for cache in caches), shape.kv_layers or 1)
    return EffectiveCache(
        _side(
            [cache.type_k for cache in caches], sum(c.k_mib for c in caches), len(caches), tokens, shape, "k"
        ),
        _side(
            [cache.type_v for cache in caches], sum(c.v_mib for c in caches), len(caches), tokens, shape, "v"
        ),
    )


def _token_layers(cache: KvCache) -> int:
    return cache.cells * (cache.n_stream or 1) * cache.layers


def _side(types: list[str], mib: float, n_caches: int, tokens: Fraction, shape: KvShape, which: str) -> Side:
    """``tokens`` is the number of tokens for which all KV layers have room."""
    logged = types[0] if len(set(types)) == 1 else " + ".join(dict.fromkeys(types))
    head = shape.head_size_k if which == "k" else shape.head_size_v
    values = tokens * shape.kv_heads * head
    tolerance = _ROUNDING_MIB * n_caches
    nominal = bits_per_value(logged)
    if values == 0:
        return Side(logged, round(mib * _MIB), None)
    if nominal is None:
        return Side(logged, round(mib * _MIB), float(mib * _MIB * 8 / values))
    for size in (head, -(-head // _PADDED_HEAD) * _PADDED_HEAD):
        size_bytes = tokens * shape.kv_heads * size * nominal / 8
        if abs(float(size_bytes) / _MIB - mib) <= tolerance:
            return Side(logged, round(size_bytes), float(size_bytes * 8 / values))
    return Side(
        f"{logged} + {_other_layers(mib, logged, values, shape.kv_layers, tolerance)} layers",
        round(mib * _MIB),
        float(mib * _MIB * 8 / values),
    )


def _other_layers(mib: float, logged: str, values: Fraction, layers: int, tolerance: float) -> str:
    """The type at which some layers must have been kept for the size to come out; ``other`` if none or several do."""
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
    return found[0] if len(found) == 1 else "other"
