"""KL divergence at a depth: read off what the scorer measured around it, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from kvsweep.analysis.estimates import Value
from kvsweep.tables.row import Row


def kld_at_depth(cells: Iterable[Row], depth: float) -> Value | None:
    """The mean KL divergence (nats) with ``depth`` tokens in the cache; None unless parts on both sides were measured
    and have an error.

    ``cells``: one pair's rows of the table quality, of one corpus. Linear between the middles of neighbouring parts
    (column ``by_position``), in the shortest window that reaches so far: of these the most were scored. Its error is at
    most what the errors of the two parts come to together.
    """
    for cell in sorted(cells, key=lambda row: int(row["n_ctx"])):
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
