"""What one cell will need and how long it will take, from a model's header and from cells that have been measured.

Sizes come from ``sizes``; times only from cells that have been measured with the same engine and model. What is not
known is None, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kvsweep.engine import commands, scorer_file, sizes
from kvsweep.engine.baseline_file import expected_size_bytes
from kvsweep.engine.commands import BenchRequest
from kvsweep.inputs.model_header import ModelHeader
from kvsweep.study.cells import BaselineRun, Cell, QualityCell, TaskCell, ThroughputCell
from kvsweep.study.config import Study
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.study.positions import Positions
from kvsweep.study.tasks import Task
from kvsweep.units import format_count

# Of an item's record: what was asked, and an answer by token.
_ITEM_BYTES, _TOKEN_BYTES = 1024, 16


@dataclass(frozen=True)
class ModelFile:
    """A model that is there: its header and the size of its file, which is about that of its weights."""

    header: ModelHeader
    size_bytes: int


@dataclass(frozen=True)
class Needs:
    """Bytes. ``kv_bytes`` is with the state of recurrent layers, None where the model's header or a type's size does
    not tell; ``host_bytes`` is what the tool itself fills beside weights and KV cache."""

    weight_bytes: int
    kv_bytes: int | None
    host_bytes: int
    disk_bytes: int = 0

    def memory_bytes(self, backend: str) -> int:
        """The least that must fit into this machine's own memory, with the back end ``backend``."""
        return self.host_bytes + (self.device_bytes if backend in sizes.SHARED_MEMORY else 0)

    @property
    def device_bytes(self) -> int:
        """Weights and KV cache, as far as they are known."""
        return self.weight_bytes + (self.kv_bytes or 0)


@dataclass(frozen=True)
class Estimate:
    """``basis`` says which measured cells it comes from."""

    seconds: float
    basis: str


@dataclass(frozen=True)
class Finished:
    """A finished run of llama-perplexity: what it scored and how long that took."""

    engine: str
    model: str
    n_ctx: int
    n_tokens: int
    wall_seconds: float


def request_of(study: Study, cell: ThroughputCell) -> BenchRequest:
    """What llama-bench is asked for in ``cell``."""
    asked = study.throughput
    assert asked is not None
    return BenchRequest(cell.depth, asked.prompt, asked.generate, asked.repetitions)


def throughput_needs(model: ModelFile, pair: Pair, request: BenchRequest) -> Needs:
    """Memory and disk that one llama-bench run of ``pair`` takes."""
    # One context after the other; the one of the longer test is the larger one.
    cache = sizes.bench_cache(request.depth, max(request.prompt, request.generate))
    return Needs(
        model.size_bytes,
        _cache_bytes(model.header, pair, cache),
        sizes.saved_state_bytes(model.header, pair, request.depth) or 0,
    )


def _cache_bytes(header: ModelHeader, pair: Pair, cache: sizes.CacheShape) -> int | None:
    size = sizes.kv_bytes(header, pair, cache)
    return None if size is None else size + (header.recurrent_bytes or 0) * cache.streams


def scorer_needs(model: ModelFile, pair: Pair, n_ctx: int, chunks: int, positions: Positions) -> Needs:
    """What a pair alone needs: an f16 cache beside its own, a micro-batch of logits for each, 32 bytes a scored
    token."""
    cells = sizes.CacheShape(sizes.padded(n_ctx, sizes.PADDED_CELLS))
    caches = [_cache_bytes(model.header, one, cells) for one in (BASELINE_PAIR, pair)]
    return Needs(
        model.size_bytes,
        None if None in caches else sum(size for size in caches if size is not None),
        len(caches) * commands.SCORER_UBATCH * model.header.n_vocab * sizes.LOGIT_BYTES,
        chunks * scorer_file.window_bytes(positions.scored(n_ctx)),
    )


def needs_of(study: Study, run: Cell | BaselineRun, model: ModelFile) -> Needs:
    """What a cell or baseline of any kind needs."""
    match run:
        case ThroughputCell():
            return throughput_needs(model, run.pair, request_of(study, run))
        case TaskCell():
            return task_needs(study.tasks[run.task], run.pair, model)
    assert study.quality is not None
    n_ctx, n_vocab, chunks = run.n_ctx, model.header.n_vocab, study.quality.chunks[run.n_ctx]
    if isinstance(run, QualityCell) and run.method == "scorer":
        return scorer_needs(model, run.pair, n_ctx, chunks, study.quality.positions[n_ctx])
    writes = isinstance(run, BaselineRun)
    pair = BASELINE_PAIR if isinstance(run, BaselineRun) else run.pair
    return Needs(
        model.size_bytes,
        _cache_bytes(model.header, pair, sizes.perplexity_cache(n_ctx)),
        sizes.perplexity_host_bytes(n_ctx, n_vocab, writes),
        expected_size_bytes(n_ctx, n_vocab, chunks) if writes else 0,
    )


def task_needs(task: Task, pair: Pair, model: ModelFile) -> Needs:
    """What a server with one slot needs: beside its cache the logits of a single token, and its answers on disk."""
    cache = sizes.CacheShape(sizes.padded(task.n_ctx, sizes.PADDED_CELLS))
    answers = task.n_items * (_ITEM_BYTES + _TOKEN_BYTES * task.answer_tokens)
    return Needs(
        model.size_bytes,
        _cache_bytes(model.header, pair, cache),
        model.header.n_vocab * sizes.LOGIT_BYTES,
        answers,
    )


def finished_perplexity(run: Mapping[str, Any]) -> Finished:
    """``run`` is run.json of a baseline or of a measured quality cell."""
    return Finished(
        run["engine"], run["model"], run["n_ctx"], run["chunks"] * run["n_ctx"], run["wall_seconds"]
    )


def perplexity_estimate(
    engine: str, model: str, n_ctx: int, n_tokens: int, finished: Iterable[Finished]
) -> Estimate | None:
    """Mean time per token of the finished runs at this context, or else at the nearest one, times the tokens."""
    own = [run for run in finished if (run.engine, run.model) == (engine, model)]
    if not own:
        return None
    nearest = min((run.n_ctx for run in own), key=lambda other: (abs(math.log(other / n_ctx)), other))
    used = [run for run in own if run.n_ctx == nearest]
    seconds = n_tokens * fmean(run.wall_seconds / run.n_tokens for run in used)
    return Estimate(seconds, f"{len(used)} measured at context {format_count(nearest)}")
