"""The engine's command lines: llama.cpp's own option names stand here and nowhere else.

One process measures one cell. Flash attention is on (a quantized V needs it), all layers are offloaded, batch sizes are
explicit because runs are comparable only at equal ones, and the log is verbose because it says what really ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvsweep.study.pairs import Pair

_DEVICE = ["-ngl", "99"]
_BATCH = ["-b", "2048", "-ub", "512"]
# The micro-batch decides what is computed; a batch of that size keeps the logits of one micro-batch in memory.
_SCORER_BATCH = ["-b", "512", "-ub", "512"]


@dataclass(frozen=True)
class BenchRequest:
    """What llama-bench is asked for: lengths and depth in tokens."""

    depth: int
    prompt: int
    generate: int
    repetitions: int


@dataclass(frozen=True)
class ScorerRequest:
    """What the scorer is asked for: windows (``chunks``) of ``n_ctx`` tokens, and which of their positions."""

    n_ctx: int
    chunks: int
    positions: str


def bench(program: Path, model: str, pair: Pair, request: BenchRequest) -> list[str]:
    """Prefill and decode at one depth, in one process and with one prefill to the depth; results to stdout."""
    return [
        *[str(program), "-m", model, "-ctk", pair.ctk, "-ctv", pair.ctv, "-fa", "1", *_DEVICE, *_BATCH],
        *["-p", str(request.prompt), "-n", str(request.generate), "-d", str(request.depth)],
        *["-r", str(request.repetitions), "-o", "jsonl", "-v", "--progress"],
    ]


def baseline(
    program: Path, model: str, corpus: str, n_ctx: int, chunks: int, logits: Path, threads: int | None = None
) -> list[str]:
    """Write the f16/f16 log-probabilities of ``chunks`` windows of ``n_ctx`` tokens to ``logits``.

    ``threads`` where other engines run on the same node; None leaves the number to the engine.
    """
    return [
        *_perplexity(program, model, corpus, n_ctx, Pair("f16", "f16"), threads),
        *["--chunks", str(chunks), "--kl-divergence-base", str(logits)],
    ]


def kl_divergence(
    program: Path, model: str, corpus: str, n_ctx: int, pair: Pair, logits: Path, threads: int | None = None
) -> list[str]:
    """Compare a pair with the log-probabilities in ``logits``, which also say what to score."""
    return [
        *_perplexity(program, model, corpus, n_ctx, pair, threads),
        *["--kl-divergence", "--kl-divergence-base", str(logits)],
    ]


def scorer(
    program: Path,
    model: str,
    corpus: str,
    request: ScorerRequest,
    pairs: Sequence[Pair],
    output: Path,
    threads: int | None = None,
) -> list[str]:
    """Score windows of a text in f16 and in each of ``pairs``; records to ``output``, a line a window to stdout."""
    return [
        *[
            str(program),
            "-m",
            model,
            "-f",
            corpus,
            "-c",
            str(request.n_ctx),
            "--windows",
            str(request.chunks),
        ],
        *["--positions", request.positions, "--pairs", ",".join(map(str, pairs)), "--output", str(output)],
        *[*_DEVICE, *_SCORER_BATCH],
        *(["-t", str(threads)] if threads else []),
    ]


def _perplexity(
    program: Path, model: str, corpus: str, n_ctx: int, pair: Pair, threads: int | None
) -> Sequence[str]:
    return [
        *[str(program), "-m", model, "-f", corpus, "-c", str(n_ctx), "-ctk", pair.ctk, "-ctv", pair.ctv],
        *["-fa", "on", *_DEVICE, *_BATCH, "-lv", "4"],
        *(["-t", str(threads)] if threads else []),
    ]
