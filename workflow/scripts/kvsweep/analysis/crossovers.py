"""The depth at which one pair overtakes another, in prefill or decode.

Between two measured depths the time of one token is taken as linear in depth, as a longer cache costs each token
so many more reads (the same as in ``prediction`` and ``curves``). Then the difference d of two pairs' times is
linear, too, and is 0 at one depth. Its interval holds every depth between the two at which the interpolated
difference is not told from 0: |d(w)| <= h(w), with w from 0 to 1 between the depths, h(w)^2 = ((1-w) h0)^2 + (w h1)^2,
and h0, h1 half the widths of the 95 % intervals at the two depths (the idea of E. C. Fieller, Journal of the Royal
Statistical Society B 16 (1954) 175-185, for a ratio of two means). The rounding of published digits is a bound: there
h(w) = (1-w) h0 + w h1. The interval ends at the measured depths; where it reaches one, the order there is not shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvsweep.analysis.estimates import ROUNDED, Value, half_width, seconds_per_token
from kvsweep.analysis.set_ups import by_columns
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SET_UP, pair_of, problem_with

Row = Mapping[str, Any]


def crossovers(throughput: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``crossovers``: for each two pairs of a set-up and phase each crossing, or one row for none."""
    usable = [row for row in throughput if problem_with(row) is None]
    found = []
    for key, rows in by_columns(usable, (*SET_UP, "phase", "n_tokens")).items():
        shared = dict(zip((*SET_UP, "phase", "n_tokens"), key, strict=True))
        found += [shared | row for row in _of_phase(rows)]
    return found


def _of_phase(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    cells: dict[Pair, dict[int, Row]] = {}
    for row in rows:
        cells.setdefault(pair_of(row), {})[row["depth"]] = row
    depths = sorted({depth for of_pair in cells.values() for depth in of_pair})
    pairs = list(cells)
    times = np.full((len(pairs), len(depths)), np.nan)
    for i, pair in enumerate(pairs):
        for j, depth in enumerate(depths):
            if depth in cells[pair]:
                times[i, j] = 1 / cells[pair][depth]["tokens_per_second"]
    for i, a in enumerate(pairs):
        for b, difference in zip(pairs[i + 1 :], times[i] - times[i + 1 :], strict=True):
            yield from _of_two(a, b, difference, depths, cells)


def _of_two(
    a: Pair,
    b: Pair,
    difference: NDArray[np.float64],
    depths: list[int],
    cells: Mapping[Pair, Mapping[int, Row]],
) -> Iterator[dict[str, Any]]:
    """``difference``: seconds per token of a minus those of b at each depth, NaN where one is missing."""
    common = [int(j) for j in np.flatnonzero(~np.isnan(difference))]
    shared = {"pair_a": str(a), "pair_b": str(b), "depths": [depths[j] for j in common]}
    apart = [j for j in common if difference[j] != 0]
    faster = {j: str(a if difference[j] < 0 else b) for j in apart}
    number = 0
    for left, right in pairwise(apart):
        if faster[left] == faster[right]:
            continue
        number += 1
        # Depths at which both are equally fast lie between the two: the crossing is the first of them.
        right = common[common.index(left) + 1]
        yield {
            **shared,
            **_crossing(cells[a], cells[b], depths[left], depths[right]),
            "number": number,
            "ahead_before": faster[left],
            "ahead_after": faster[apart[apart.index(left) + 1]],
        }
    if not number:
        verdict = "none" if len(common) > 1 else "too few depths"
        if common:
            yield {**shared, "verdict": verdict, "ahead_before": faster[apart[0]] if apart else None}
        else:
            yield {**shared, "verdict": verdict}


def _crossing(a: Mapping[int, Row], b: Mapping[int, Row], low: int, high: int) -> dict[str, Any]:
    before, after = ((seconds_per_token(a[depth]), seconds_per_token(b[depth])) for depth in (low, high))
    d0, d1 = before[0].value - before[1].value, after[0].value - after[1].value
    place = d0 / (d0 - d1)
    found = {
        "verdict": "crosses",
        "depth": low + place * (high - low),
        "between_low": low,
        "between_high": high,
    }
    ends, kind = _ends(before, after, place)
    if ends is not None:
        found |= {"depth_low": low + ends[0] * (high - low), "depth_high": low + ends[1] * (high - low)}
        if ends[0] <= 0 or ends[1] >= 1:
            found["verdict"] = "crosses within the errors"
    return found | {"interval": kind}


def _ends(
    before: tuple[Value, Value], after: tuple[Value, Value], place: float
) -> tuple[tuple[float, float] | None, str | None]:
    """The ends of the interval around ``place``, both from 0 to 1, and what it is made of."""
    halves = [half_width([(1, a), (-1, b)]) for a, b in (before, after)]
    (h0, kind), (h1, _) = halves
    if h0 is None or h1 is None:
        return None, None
    d0, d1 = before[0].value - before[1].value, after[0].value - after[1].value

    def untold(w: float) -> bool:
        width = (1 - w) * h0 + w * h1 if kind == ROUNDED else math.hypot((1 - w) * h0, w * h1)
        return abs((1 - w) * d0 + w * d1) <= width

    return (_border(untold, place, 0.0), _border(untold, place, 1.0)), kind


def _border(untold: Callable[[float], bool], inside: float, end: float) -> float:
    """How far from ``inside`` towards ``end`` the difference is not told from 0: |d|/s falls to 0 and rises again."""
    if untold(end):
        return end
    outside = end
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if untold(middle) else (inside, middle)
    return inside
