"""The engine's command lines: llama.cpp's own option names stand here and nowhere else.

One process measures one cell. Flash attention is on (a quantized V needs it), all layers are offloaded, batch sizes are
explicit because runs are comparable only at equal ones, and the log is verbose because it says what really ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kvsweep.study.pairs import BASELINE_PAIR, Pair

_DEVICE = ["-ngl", "99"]
_BATCH = ["-b", "2048", "-ub", "512"]
# The micro-batch decides what is computed; a batch of that size keeps the logits of one micro-batch in memory.
SCORER_UBATCH = 512
_SCORER_BATCH = ["-b", str(SCORER_UBATCH), "-ub", str(SCORER_UBATCH)]
# Caches, rotations and splits. One level more, and newer builds write 18 lines a token.
_SERVER_LOG = ["-lv", "4"]


class PerplexityRequest(NamedTuple):
    """What llama-perplexity is asked for, beside the pair. ``log`` makes it say what it does with every layer.

    ``threads`` where other engines run on the same node; None leaves the number to the engine. ``more``: arguments
    from the configuration.
    """

    model: str
    corpus: str
    n_ctx: int
    threads: int | None = None
    more: tuple[str, ...] = ()
    log: tuple[str, ...] = ("-lv", "4")


class BenchRequest(NamedTuple):
    """What llama-bench is asked for: lengths and depth in tokens."""

    depth: int
    prompt: int
    generate: int
    repetitions: int


class ScorerRequest(NamedTuple):
    """What the scorer is asked for: windows (``chunks``) of ``n_ctx`` tokens, and which of their positions."""

    n_ctx: int
    chunks: int
    positions: str


def bench(
    program: Path, model: str, pair: Pair, request: BenchRequest, more: Sequence[str] = ()
) -> list[str]:
    """Prefill and decode at one depth, in one process and with one prefill to the depth; results to stdout.

    ``more``: arguments from the configuration. They come first, so that none of them has the last word.
    """
    ctk, ctv = pair.types.ctk, pair.types.ctv
    return [
        *[str(program), *more, "-m", model, "-ctk", ctk, "-ctv", ctv, "-fa", "1", *_DEVICE, *_BATCH],
        *["-p", str(request.prompt), "-n", str(request.generate), "-d", str(request.depth)],
        *["-r", str(request.repetitions), "-o", "jsonl", "-v", "--progress"],
    ]


def baseline(program: Path, request: PerplexityRequest, chunks: int, logits: Path) -> list[str]:
    """Write the f16/f16 log-probabilities of ``chunks`` windows to ``logits``."""
    return [
        *_perplexity(program, request, BASELINE_PAIR),
        *["--chunks", str(chunks), "--kl-divergence-base", str(logits)],
    ]


def kl_divergence(program: Path, request: PerplexityRequest, pair: Pair, logits: Path) -> list[str]:
    """Compare a pair with the log-probabilities in ``logits``, which also say what to score."""
    return [
        *_perplexity(program, request, pair),
        *["--kl-divergence", "--kl-divergence-base", str(logits)],
    ]


def scorer(
    program: Path,
    model: str,
    corpus: str,
    request: ScorerRequest,
    pairs: Sequence[Pair],
    output: Path,
    threads: int | None,
) -> list[str]:
    """Score windows of a text in f16 and in each of ``pairs``; records to ``output``, a line a window to stdout."""
    return [
        *[str(program), "-m", model, "-f", corpus, "-c", str(request.n_ctx)],
        *["--windows", str(request.chunks)],
        *["--positions", request.positions, "--pairs", ",".join(str(pair.types) for pair in pairs)],
        *["--output", str(output), *_DEVICE, *_SCORER_BATCH],
        *(["-t", str(threads)] if threads else []),
    ]


def server(program: Path, model: str, pair: Pair, n_ctx: int, threads: int | None) -> list[str]:
    """Answer requests of this machine alone, one after the other, at a port that the system chooses.

    Nothing is kept from one request for the next: neither a prompt in the cache nor copies of one in memory.
    """
    ctk, ctv = pair.types.ctk, pair.types.ctv
    return [
        *[str(program), "-m", model, "-c", str(n_ctx), "-ctk", ctk, "-ctv", ctv, "-fa", "on"],
        *[*_DEVICE, *_BATCH, "-np", "1", "--host", "127.0.0.1", "--port", "0", *_SERVER_LOG],
        *(["-t", str(threads)] if threads else []),
    ]


def _perplexity(program: Path, request: PerplexityRequest, pair: Pair) -> list[str]:
    ctk, ctv = pair.types.ctk, pair.types.ctv
    return [
        *[str(program), *request.more, "-m", request.model, "-f", request.corpus, "-c", str(request.n_ctx)],
        *["-ctk", ctk, "-ctv", ctv, "-fa", "on", *_DEVICE, *_BATCH, *request.log],
        *(["-t", str(request.threads)] if request.threads else []),
    ]
