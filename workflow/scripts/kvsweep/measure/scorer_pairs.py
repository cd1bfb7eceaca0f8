"""Which pairs the scorer takes into one process: those that are still to do, as far as their caches fit into memory."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from kvsweep.engine import commands, scorer_log
from kvsweep.engine.sizes import LOGIT_BYTES, PADDED_CELLS, SHARED_MEMORY, CacheShape, kv_bytes, padded
from kvsweep.inputs.model_header import from_manifest
from kvsweep.machine.description import available_memory_bytes
from kvsweep.measure.engine_run import Subject
from kvsweep.measure.progress import listed_cells
from kvsweep.measure.scorer_spool import Spool
from kvsweep.program import say
from kvsweep.study.pairs import BASELINE_PAIR, Pair, bits_per_value
from kvsweep.units import format_bytes

# Of the memory that is free: what is not counted (weights are mapped, buffers of the back end) has to fit, too.
_SHARE_OF_MEMORY = 0.8


def pairs_together(arguments: argparse.Namespace, subject: Subject, spool: Spool) -> list[Pair]:
    """This cell's pair, and those of its context that are still to do, share the process and fit beside it."""
    knobs = subject.build["environment"]
    pair: Pair = arguments.pair
    if scorer_log.runs_alone(pair, knobs):
        return [pair]
    room = memory_for_contexts(subject) - sum(context_bytes(subject, one) for one in (BASELINE_PAIR, pair))
    together = [pair]
    for other in siblings(arguments, subject.directory):
        if (
            scorer_log.runs_alone(other, knobs)
            or spool.is_complete(other)
            or spool.failed_beside_others(other)
        ):
            continue
        needed = context_bytes(subject, other)
        if needed > room:
            say(f"  {other} does not fit beside them ({format_bytes(needed)}) and comes later")
            continue
        room -= needed
        together.append(other)
    return together


def siblings(arguments: argparse.Namespace, directory: Path) -> list[Pair]:
    """The other pairs of this context in the run under way that have no record yet."""
    group = directory.parents[1].relative_to(arguments.results)
    found = []
    for name in listed_cells(arguments.results) or ():
        path = Path(name)
        there = arguments.results / path
        if path.parent.parent == group and there != directory and not (there / "run.json").exists():
            found.append(Pair(path.parts[-2].removeprefix("k-"), path.parts[-1].removeprefix("v-")))
    return found


def memory_for_contexts(subject: Subject) -> float:
    """Bytes for caches, compute buffers and logits of all contexts; infinite where the machine does not say."""
    on_host = subject.build["backend"] in SHARED_MEMORY
    sizes = [gpu.memory_bytes for gpu in subject.machine.gpus]
    if not on_host and sizes and None not in sizes:
        memory: int | None = sum(size for size in sizes if size is not None)
    else:
        memory = available_memory_bytes()
    weights: int = subject.model["size_bytes"]
    return math.inf if memory is None else int(memory * _SHARE_OF_MEMORY) - weights


def context_bytes(subject: Subject, pair: Pair) -> int:
    """Bytes that one context takes: its cache, and logits of a micro-batch, in the output buffer and in the compute
    buffer.

    Where the model's header or a type's size does not tell, the cache counts without sliding windows, and a value four
    bytes.
    """
    model, n_ctx = subject.model, int(subject.cell["n_ctx"])
    header = from_manifest(model)
    cache = None if header is None else kv_bytes(header, pair, CacheShape(padded(n_ctx, PADDED_CELLS)))
    if cache is None:
        cache = sum(
            round(n_ctx * model[f"kv_values_per_token_{side}"] * (bits_per_value(cache_type) or 32) / 8)
            for side, cache_type in (("k", pair.ctk), ("v", pair.ctv))
        )
    logits: int = 2 * commands.SCORER_UBATCH * model["n_vocab"] * LOGIT_BYTES
    mask: int = 2 * commands.SCORER_UBATCH * n_ctx
    return cache + logits + mask
