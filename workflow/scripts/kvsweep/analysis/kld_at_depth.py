"""KL divergence at a depth: read off what the scorer measured around it, and nowhere else.

A mean over whole windows is of many depths at once. The two are never compared with each other, and nothing is read off
between whole windows of two contexts: they differ in their text, and in what was scored of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from kvsweep.analysis.estimates import Value
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import Row


def klds_at_depth(cells: Mapping[Pair, Sequence[Row]], depth: float) -> dict[Pair, Value]:
    """The mean KL divergence (nats) of each pair with ``depth`` tokens in the cache, all from windows of one context.

    ``cells``: the pairs' rows of the table quality, of one corpus. The context is the one that tells it of most pairs,
    of these the shortest, of which most windows were scored. Empty where none does.
    """
    found = {
        (row["n_ctx"], pair): value
        for pair, rows in cells.items()
        for row in rows
        if (value := kld_at_depth(row, depth)) is not None
    }
    pairs_told = Counter(n_ctx for n_ctx, _ in found)
    best = min(pairs_told, key=lambda n_ctx: (-pairs_told[n_ctx], n_ctx), default=None)
    return {pair: value for (n_ctx, pair), value in found.items() if n_ctx == best}


def kld_at_depth(cell: Row, depth: float) -> Value | None:
    """The mean KL divergence (nats) of one cell at ``depth``; None unless parts on both sides of the depth were
    measured and have an error.

    Linear between the middles of neighbouring parts (column ``by_position``). Its error is at most what the errors of
    the two parts come to together, however they depend on each other.
    """
    for one, other in pairwise(cell.get("by_position") or []):
        begin, end = one["depth_tokens"], other["depth_tokens"]
        ends = [part[f"kld_mean_{name}"] for part in (one, other) for name in ("low", "high")]
        if begin <= depth <= end and None not in ends:
            share = (depth - begin) / (end - begin)
            value = (1 - share) * one["kld_mean"] + share * other["kld_mean"]
            halves = [
                max(part["kld_mean_high"] - part["kld_mean"], part["kld_mean"] - part["kld_mean_low"])
                for part in (one, other)
            ]
            bound = (1 - share) * halves[0] + share * halves[1]
            return Value(value, 0.0, bound=bound, kind=f"by {one['error_by']}")
    return None
