"""What llama-perplexity says of its run beside the results: what it announces, and its complaints.

Format: ``tools/perplexity/perplexity.cpp`` in llama.cpp.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kvsweep.engine.failures import first_line
from kvsweep.engine.wordings import COMPUTATION
from kvsweep.errors import UnparsableOutput

_COMPLAINT = re.compile(
    r"(?:perplexity|kl_divergence) ?: (?:"
    r"failed to (?:decode|open .*|eval)"
    r"|failed reading (?:log-probs for chunk \d+|n_vocab, n_chunk from .*|evaluation tokens from .*)"
    r"|you need at least \d+ tokens to evaluate perplexity with a context of \d+"
    r"|.* does not look like a file containing log-probabilities"
    r"|.* has been computed with \d+, while the current context is \d+.*"
    r"|inconsistent vocabulary \(\d+ vs \d+\)"
    r"|you must provide a name of a file containing .*"
    r")$"
    r"|Unexpected negative standard deviation of log\(prob\)$",
    re.M,
)
_ANNOUNCEMENT = re.compile(
    r"(?:calculating perplexity|computing) over (\d+) chunks, n_ctx=(\d+), batch_size=(\d+), n_seq=(\d+)$",
    re.M,
)


class Announcement(NamedTuple):
    """What llama-perplexity says that it will score: windows, and tokens of one."""

    n_chunks: int
    n_ctx: int | None


def raise_complaint(text: str) -> None:
    """Raise UnparsableOutput for a line that makes a result impossible or meaningless; the engine goes on after some
    of them."""
    complaint = _COMPLAINT.search(text)
    line = complaint[0] if complaint else first_line(text, COMPUTATION)
    if line:
        raise UnparsableOutput(f"llama-perplexity reports: {line}")


def announcement(text: str) -> Announcement | None:
    """What the run said of itself before it computed; None before that. Raise UnparsableOutput for two that differ."""
    found = {tuple(map(int, groups)) for groups in _ANNOUNCEMENT.findall(text)}
    if len(found) > 1:
        raise UnparsableOutput("the log announces two different runs")
    if not found:
        return None
    n_chunks, n_ctx, batch_size, n_seq = found.pop()
    consistent = n_ctx > 0 and n_seq == max(1, batch_size // n_ctx)
    return Announcement(n_chunks, n_ctx if consistent else None)


_CORPUS_NEEDS = re.compile(r"you need at least (\d+) tokens")
_CORPUS_HAS = re.compile(r"tokenizes to only (\d+) tokens")


def corpus_shortage(text: str) -> tuple[int | None, int] | None:
    """(tokens the corpus has, tokens it needs) if llama-perplexity says that the corpus is too short, else None."""
    needs, has = _CORPUS_NEEDS.search(text), _CORPUS_HAS.search(text)
    if needs is None:
        return None
    return (int(has[1]) if has else None, int(needs[1]))
