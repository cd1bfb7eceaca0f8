"""What a context needs in memory, and the largest one that fits.

needed = weights + KV cache + recurrent state + compute buffers, each by its own rule:

- Weights: as logged, else the size of the GGUF file.
- KV cache: as logged. Of another context each kind of layers by itself (``kv_layers``): a cell for every token,
  padded to 256 as llama.cpp does, or for layers with a window no more than that has; a cell takes the values of the
  layers times the pair's bits. Where the header does not tell the kinds, what each logged cache took.
- Recurrent state: as logged, else from the header; it does not grow.
- Compute buffers: as logged, between depths along a straight line. Where flash attention's chunking changes they
  begin to grow, and do so at once: beyond the deepest cell they are taken to grow from there on with the steepest
  slope of the set-up, where that cell's two tests show one, and else not known. Of a pair without any: those of
  another pair.

Not counted: what the driver keeps for itself, other programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from kvsweep.analysis.set_ups import bits_by_side, by_columns, model_of
from kvsweep.engine.sizes import N_UBATCH, PADDED_CELLS, SHARED_MEMORY, padded, window_cells
from kvsweep.inputs.kv_layers import WINDOW, is_plain
from kvsweep.statistics import along
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SET_UP, Row, pair_of, ran_as
from kvsweep.units import format_count

AT_OTHER_DEPTHS = "log, at other depths"
_NOT_KNOWN_BEYOND = "not known beyond "
_LARGEST = 1 << 32  # tokens: further than anybody looks


class Needs(NamedTuple):
    """Bytes; None is not known. ``compute_from`` says where the compute buffers' size was logged, or from where on it
    is not known. ``kv`` is without the state of recurrent layers."""

    weights: int | None
    kv: int
    recurrent: int
    compute: int | None
    compute_from: str | None

    @property
    def known(self) -> int | None:
        """The sum of what is known; None without weights."""
        return None if self.weights is None else self.weights + self.kv + self.recurrent + (self.compute or 0)

    @property
    def total(self) -> int | None:
        """The same; None, too, where compute buffers are known, but not of this context."""
        return None if self.is_beyond else self.known

    @property
    def is_beyond(self) -> bool:
        return self.compute_from is not None and self.compute_from.startswith(_NOT_KNOWN_BEYOND)


class _Cache(NamedTuple):
    """A KV cache that grows with the context, or to a number of ``most`` cells."""

    bytes_per_cell: float
    most: int | None

    def bytes_at(self, cells: int) -> float:
        return self.bytes_per_cell * (cells if self.most is None else min(cells, self.most))


class Largest(NamedTuple):
    """The largest context that fits, and its needs. ``is_known`` is false if a larger one may fit, too: ``context``
    is the last one of which the compute buffers are known."""

    context: int
    needs: Needs
    is_known: bool = True


def context_of(cell: Iterable[Row]) -> int:
    """Tokens in the cache of a throughput cell's larger test."""
    return padded(max(row["depth"] + row["n_tokens"] for row in cell), PADDED_CELLS)


class SetUpMemory:
    """What one set-up needs for each pair at each context."""

    def __init__(self, rows: Sequence[Row], model: Row | None) -> None:
        """``rows``: all throughput rows of the set-up; ``model``: its row of the table of models."""
        self.n_ctx_train: int | None = model["n_ctx_train"] if model else None
        logged = [row["model_buffer_bytes"] for row in rows if row["model_buffer_bytes"]]
        self.weights: int | None = max(logged) if logged else model["file_bytes"] if model else None
        self.available = available_bytes(rows)
        states = (row.get("recurrent_bytes") for row in (*rows, *([model] if model else [])))
        self.recurrent: int = next(filter(None, states), 0)
        as_asked = [row for row in rows if ran_as(row) is None]
        caches = {
            Pair(*pair): _from_header(of_pair, model) or _from_log(of_pair)
            for pair, of_pair in by_columns(as_asked, ("ctk", "ctv")).items()
        }
        self._caches = {pair: found for pair, found in caches.items() if found}
        # One size for each depth, that of its larger test: how the buffers grow shows within the deepest cell alone.
        self._compute: dict[Pair, dict[int, float]] = {}
        # Bytes that a token more adds, by a cell's two tests.
        self._slopes: dict[tuple[Pair, int], float] = {}
        for cell in by_columns(as_asked, ("ctk", "ctv", "depth")).values():
            buffers = [(context_of([row]), row["compute_buffer_bytes"]) for row in cell]
            if sizes := {context: size for context, size in buffers if size}:
                pair, context, low, high = pair_of(cell[0]), context_of(cell), min(sizes), max(sizes)
                self._compute.setdefault(pair, {})[context] = max(sizes.values())
                # A context that is smaller than a micro-batch has smaller buffers for another reason.
                if N_UBATCH <= low < high:
                    self._slopes[pair, context] = (sizes[high] - sizes[low]) / (high - low)
        between = [
            (points[high] - points[low]) / (high - low)
            for points in self._compute.values()
            for low, high in pairwise(sorted(points))
        ]
        self._steepest = max((*self._slopes.values(), *between, 0.0))

    def bytes_per_token(self, pair: Pair) -> float | None:
        """What a token adds to the cache, once windows are full."""
        caches = self._caches.get(pair)
        return None if caches is None else sum(c.bytes_per_cell for c in caches if c.most is None)

    def needs(self, pair: Pair, context: int) -> Needs | None:
        """What ``context`` tokens in the cache need; None where the pair's bytes per token are not known."""
        caches = self._caches.get(pair)
        if caches is None:
            return None
        cells = padded(context, PADDED_CELLS)
        kv = round(sum(cache.bytes_at(cells) for cache in caches))
        return Needs(self.weights, kv, self.recurrent, *self._compute_at(pair, cells))

    def largest_context(self, pair: Pair, memory: int) -> Largest | None:
        """The largest multiple of PADDED_CELLS that fits into ``memory`` bytes; None if that is not known."""

        def fits(context: int) -> bool:
            needs = self.needs(pair, context)
            return needs is not None and needs.total is not None and needs.total <= memory

        smallest = self.needs(pair, PADDED_CELLS)
        if smallest is None or self.weights is None:
            return None
        if not fits(PADDED_CELLS):
            return None if smallest.is_beyond else Largest(0, smallest)
        low, high = 1, _LARGEST // PADDED_CELLS
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle * PADDED_CELLS) else (low, middle)
        needs, next_needs = self.needs(pair, low * PADDED_CELLS), self.needs(pair, (low + 1) * PADDED_CELLS)
        assert needs is not None and next_needs is not None
        return Largest(low * PADDED_CELLS, needs, not next_needs.is_beyond)

    def recommended(self, largest: Largest) -> int | None:
        """What fits, and no more than the model was trained for; None where it is not known whether more fits."""
        trained = self.n_ctx_train
        if not largest.is_known and (trained is None or largest.context < trained):
            return None
        return largest.context if trained is None else min(largest.context, trained)

    def _compute_at(self, pair: Pair, context: int) -> tuple[int | None, str | None]:
        """Bytes of the compute buffers, and where they come from: ``log``, or the pair whose log says it."""
        if context in self._compute.get(pair, {}):
            return round(self._compute[pair][context]), "log"
        # Of a pair without any the dearest: too small a context is a smaller mistake than one that does not fit.
        logged = [pair] if pair in self._compute else list(self._compute)
        sizes = {one: size for one in logged if (size := self._along(one, context)) is not None}
        if sizes:
            dearest = max(sizes, key=lambda one: sizes[one])
            return round(sizes[dearest]), AT_OTHER_DEPTHS if dearest == pair else str(dearest)
        if logged:
            deepest = max(max(self._compute[one]) for one in logged)
            return None, f"{_NOT_KNOWN_BEYOND}{format_count(deepest)} tokens"
        return None, None

    def _along(self, pair: Pair, context: int) -> float | None:
        points = self._compute[pair]
        deepest = max(points)
        if context <= deepest:
            return along(context, points)
        if (pair, deepest) not in self._slopes:
            return None
        return points[deepest] + self._steepest * (context - deepest)


def _from_header(rows: Sequence[Row], model: Row | None) -> tuple[_Cache, ...]:
    """A pair's caches by the model's layers, and bits as they were logged, else those of the types; () if not known."""
    kinds = _kinds(model)
    if any(row["kv_bytes"] and row["bits_per_value_k"] is None for row in rows):
        # The log is of other layers than the header tells of.
        return ()
    found = [bits for row in rows if (bits := bits_by_side(row)) is not None]
    if kinds is None or not found:
        return ()
    bits_k, bits_v, _ = min(found, key=lambda one: one[2] != "log")
    caches = []
    for values_k, values_v, window in kinds:
        if (values_k and bits_k is None) or (values_v and bits_v is None):
            return ()
        size = (values_k * (bits_k or 0.0) + values_v * (bits_v or 0.0)) / 8
        caches.append(_Cache(size, None if window is None else window_cells(window, _LARGEST)))
    return tuple(caches)


def _kinds(model: Row | None) -> list[tuple[int, int, int | None]] | None:
    """Values of K and V of one token, and the window if there is one, of each kind of layers; None if not known."""
    if model is None:
        return None
    if model.get("kv_kinds") is not None:
        columns = ("kv_kind_values_k", "kv_kind_values_v", "kv_kind_windows")
        return list(zip(*(model[name] for name in columns), strict=True))
    # Of a table that an older kvsweep made, or of published numbers.
    k, v = model["kv_values_per_token_k"], model["kv_values_per_token_v"]
    return [(k, v, None)] if k and v and is_plain(str(model["architecture"])) else None


def _from_log(rows: Sequence[Row]) -> tuple[_Cache, ...]:
    """A pair's caches as the deepest cell logged them; () if it did not, or if one is of an unknown kind.

    A window that was not full yet counts as growing: too small a context is a smaller mistake than one that does not
    fit.
    """
    logged = [row for row in rows if row.get("cache_kinds") is not None]
    if not logged:
        return ()
    row = max(logged, key=lambda row: row["depth"] + row["n_tokens"])
    context = context_of([row])
    columns = ("cache_kinds", "cache_cells", "cache_streams", "cache_bytes")
    caches = []
    for kind, cells, streams, size in zip(*(row[name] for name in columns), strict=True):
        if kind is None:
            return ()
        caches.append(_Cache(size / (cells * streams), cells if kind == WINDOW and cells < context else None))
    return tuple(caches)


def available_bytes(rows: Iterable[Row]) -> int | None:
    """Memory for the model: what was free on the devices as logged, else the machine's where the back end shares it."""
    rows = list(rows)
    free: list[int] = [row["device_free_bytes"] for row in rows if row["device_free_bytes"]]
    if free:
        return max(free)
    own: list[int] = [row["machine_memory_bytes"] for row in rows if row["machine_memory_bytes"]]
    return max(own) if own and rows[0]["backend"] in SHARED_MEMORY else None


def memory_of(throughput: Iterable[Row], models: Iterable[Row]) -> dict[tuple[Any, ...], SetUpMemory]:
    """The memory of every set-up, by set-up."""
    find = model_of(models)
    return {key: SetUpMemory(rows, find(rows[0])) for key, rows in by_columns(throughput, SET_UP).items()}
