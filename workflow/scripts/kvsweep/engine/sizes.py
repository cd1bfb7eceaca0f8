"""Bytes that a cell will need, known before any engine runs: from a model's header and the cell alone.

Sources: ``src/llama-context.cpp`` (constructor, ``output_reserve``), ``src/llama-kv-cache.cpp`` (constructor),
``tools/llama-bench/llama-bench.cpp`` and ``tools/perplexity/perplexity.cpp``; the same in the TurboQuant fork at
69d8e4be4 and in the llama.cpp of llama-cpp-python 0.3.36, except where said; windows:
``src/llama-kv-cache-iswa.cpp``. Not counted, because they depend on the back end: compute buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from kvsweep.engine.baseline_file import scored_tokens
from kvsweep.inputs.kv_layers import WINDOW, LayerGroup
from kvsweep.inputs.model_header import ModelHeader
from kvsweep.study.pairs import KNOWN_TYPES, Pair, bits_per_value

# What commands.py asks both tools for with -b and -ub.
N_BATCH = 2048
N_UBATCH = 512

# llama_context pads n_ctx and n_ctx_seq to this (GGML_PAD(..., 256)).
PADDED_CELLS = 256
# The fork pads the heads of a turbo cache to this, of K and V each on its own.
_PADDED_TURBO_HEAD = 128
LOGIT_BYTES = 4
# Back ends whose weights and KV cache lie in the machine's own memory.
SHARED_MEMORY = ("cpu", "metal")
_INT_MAX = 2**31 - 1


@dataclass(frozen=True)
class CacheShape:
    """``cells`` (tokens) in each of ``streams`` of a KV cache, as the engine's log gives them."""

    cells: int
    streams: int = 1


def padded(n: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is at least ``n``."""
    return -(-n // multiple) * multiple


def bench_cache(depth: int, n_tokens: int) -> CacheShape:
    """llama-bench makes one context for each test, with n_ctx = depth + tokens of the test."""
    return CacheShape(padded(depth + n_tokens, PADDED_CELLS))


def perplexity_cache(n_ctx: int) -> CacheShape:
    """llama-perplexity scores max(1, n_batch / n_ctx) windows at once, each in a stream of its own."""
    n_seq = max(1, N_BATCH // n_ctx)
    n_ctx_all = padded(n_ctx * n_seq, PADDED_CELLS)
    return CacheShape(padded(n_ctx_all // n_seq, PADDED_CELLS), n_seq)


def window_cells(window: int, cells: int) -> int:
    """Cells of a cache of layers with a window, in each stream of a context of so many cells: the window and what one
    micro-batch adds."""
    return padded(min(cells, window + N_UBATCH), PADDED_CELLS)


def kv_bytes(header: ModelHeader, pair: Pair, cache: CacheShape) -> int | None:
    """Bytes of a KV cache in which every layer has the types asked for; None where the header or a type's size does not
    tell."""

    def cells(group: LayerGroup) -> int:
        return cache.cells if group.window is None else window_cells(group.window, cache.cells)

    return _bytes(header, pair, {group: cells(group) * cache.streams for group in header.kv_groups or ()})


def kv_bytes_per_token(groups: Iterable[LayerGroup]) -> dict[str, float]:
    """Bytes that a token adds to a cache with K and V of one type, by type, where windows are full already."""
    growing = {group: 1 for group in groups if group.kind != WINDOW}
    of_types = {name: _bytes_of(growing, Pair(name, name)) for name in KNOWN_TYPES}
    return {name: float(size) for name, size in of_types.items() if size is not None}


def saved_state_bytes(header: ModelHeader, pair: Pair, depth: int) -> int | None:
    """Host memory in which llama-bench keeps the state at a depth, to restore it for every repetition: K and V of the
    tokens themselves, without padding, and the recurrent state (``llama_state_seq_get_data``)."""
    kept = {
        group: depth if group.window is None else min(depth, window_cells(group.window, depth))
        for group in header.kv_groups or ()
    }
    cache = _bytes(header, pair, kept)
    return None if cache is None else cache + ((header.recurrent_bytes or 0) if depth else 0)


def perplexity_host_bytes(n_ctx: int, n_vocab: int, writes_baseline: bool) -> int:
    """Host memory that llama-perplexity fills beside weights and KV cache, in bytes.

    - logits of the second half of a window, where it takes more than one batch: n_vocab floats a token. It reserves
      n_ctx x n_vocab floats; what is never written to takes address space only
    - the context's output buffer: as many rows of n_vocab floats as one batch asks for
    - rows of the baseline, as 16-bit numbers: of n_ctx tokens to write it, of the scored ones to read it
    """
    window = (n_ctx - n_ctx // 2) * n_vocab * LOGIT_BYTES if n_ctx > N_BATCH else 0
    outputs = _output_rows(n_ctx) * n_vocab * LOGIT_BYTES
    rows = n_ctx if writes_baseline else scored_tokens(n_ctx)
    return window + outputs + 2 * rows * _baseline_row(n_vocab)


def baseline_overflows_int(n_ctx: int, n_vocab: int) -> bool:
    """Whether builds of llama.cpp from before 2026-05-24 crash when they write this baseline.

    They size its buffer with ``n_ctx * nv`` in 32 bits (``perplexity``), which newer ones do in ``size_t``: since pull
    request 23496 (2026-05-21), and for the places in the buffer, which matter from twice that context on, since 23623.
    """
    return n_ctx * _baseline_row(n_vocab) > _INT_MAX


def _bytes(header: ModelHeader, pair: Pair, tokens: Mapping[LayerGroup, int]) -> int | None:
    size = None if header.kv_groups is None else _bytes_of(tokens, pair)
    return None if size is None else round(size)


def _bytes_of(tokens: Mapping[LayerGroup, int], pair: Pair) -> Fraction | None:
    """Bytes of this many tokens in the caches of these groups; None for a type without a known size."""
    total = Fraction(0)
    for group, n in tokens.items():
        for cache_type, head, kept in (
            (pair.ctk, group.head_size_k, True),
            (pair.ctv, group.head_size_v, group.keeps_v),
        ):
            bits = bits_per_value(cache_type)
            if bits is None:
                return None
            if kept:
                total += n * sum(group.kv_heads) * padded_head(head, cache_type) * bits / 8
    return total


def padded_head(size: int, cache_type: str) -> int:
    """Values of a head as the cache keeps them."""
    return padded(size, _PADDED_TURBO_HEAD) if cache_type.startswith("turbo") else size


def _output_rows(n_ctx: int) -> int:
    """The largest number of tokens in one batch whose logits are asked for: the second half of each window."""
    first = n_ctx // 2
    if n_ctx <= N_BATCH:
        return (n_ctx - first) * max(1, N_BATCH // n_ctx)
    starts = range(0, n_ctx, N_BATCH)
    return max(min(start + N_BATCH, n_ctx) - max(start, first) for start in starts)


def _baseline_row(n_vocab: int) -> int:
    """16-bit numbers in one row (``nv``)."""
    return 2 * ((n_vocab + 1) // 2) + 4
