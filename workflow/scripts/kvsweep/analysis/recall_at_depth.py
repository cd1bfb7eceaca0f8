"""The share of facts that a model still finds at a depth: read off what was asked around it, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from kvsweep.analysis.set_ups import by_columns
from kvsweep.numbers import format_between, format_number
from kvsweep.statistics import wilson
from kvsweep.tables.row import Row


class Recall(NamedTuple):
    """Share of right answers with its 95 % interval, and of how many answers at the context with the fewest."""

    value: float
    low: float
    high: float
    answers: int


def recall_at_depth(shares: Iterable[Row], depth: int) -> Recall | None:
    """The recall with ``depth`` tokens of prompt; None where no task of the kind was asked as long and as short as
    that.

    ``shares``: one pair's rows of the table task_shares. At a context of a task all its questions count together.
    Between two contexts both shares and both intervals are taken on a line, so that the interval is no narrower than
    theirs. Of several tasks that reach there the one with the lowest share counts.
    """
    found = []
    asked = [row for row in shares if row["kind"] == "recall" and row["right"] is not None]
    for rows in by_columns(asked, ("task",)).values():
        contexts = sorted(
            (context, wilson(sum(row["right"] for row in own), n), n)
            for (context,), own in by_columns(rows, ("context",)).items()
            if (n := sum(row["items"] for row in own))
        )
        for (begin, one, n), (end, other, m) in pairwise([contexts[0], *contexts]):
            if begin <= depth <= end:
                share = (depth - begin) / (end - begin) if end > begin else 0.0
                value, low, high = ((1 - share) * a + share * b for a, b in zip(one, other, strict=True))
                found.append(Recall(value, low, high, min(n, m)))
                break
    return min(found, default=None)


def contexts_asked(shares: Iterable[Row]) -> list[int]:
    """The contexts (tokens) at which any recall was asked, the shortest first."""
    return sorted({row["context"] for row in shares if row["kind"] == "recall"})


def format_share(share: float) -> str:
    return f"{format_number(100 * share, 3)} %"


def format_recall(recall: Recall) -> str:
    return format_between(100 * recall.value, 100 * recall.low, 100 * recall.high, unit=" %")
