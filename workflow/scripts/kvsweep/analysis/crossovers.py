"""The depth at which one pair overtakes another, in prefill or decode: first a fit, then its crossing.

The time of one token is taken as linear in depth, as a longer cache costs each token so many more reads (the same in
``prediction`` and ``curves``). Then the difference of two pairs' times is a line, too. It is fitted to the measured
depths by least squares, each weighted by the inverse square of its time, because errors are fractions of it; and it is
0 at one depth at most. Where the measured differences contradict the line beyond their errors, only those depths count
at which the order is told, and between two neighbours of these with another order the difference is interpolated. Two
crossings are the most that is said of two pairs.

A crossing's interval holds every depth at which the fitted difference is not told from 0 (the idea of E. C. Fieller,
Journal of the Royal Statistical Society B 16 (1954) 175-185, for a ratio of two means). It ends at the last depths;
where it reaches one, the order there is not shown. The difference at one depth is compared within rounds; differences
at several depths come from several processes, whose errors are independent. The rounding of published digits is a
bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvsweep.analysis.estimates import Value, on_common_rounds, seconds_per_token, t_quantile
from kvsweep.analysis.set_ups import by_columns
from kvsweep.analysis.speed import PHASE
from kvsweep.statistics import student_t_quantile
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import pair_of, problem_with

Row = Mapping[str, Any]
Reals = NDArray[np.float64]

MOST_CROSSINGS = 2
ERRORS_UNKNOWN = "crosses, errors unknown"


def crossovers(cells: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``crossovers``: for each two pairs of a set-up and phase each crossing, or one row for none.

    ``cells``: over rounds (``speed.over_rounds``).
    """
    usable = [row for row in cells if problem_with(row) is None]
    found = []
    for key, rows in by_columns(usable, PHASE).items():
        shared = dict(zip(PHASE, key, strict=True))
        found += [shared | row for row in _of_phase(rows)]
    return found


def _of_phase(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    times: dict[Pair, dict[int, Value]] = {}
    for row in rows:
        times.setdefault(pair_of(row), {})[row["depth"]] = seconds_per_token(row)
    pairs = list(times)
    for i, a in enumerate(pairs):
        for b in pairs[i + 1 :]:
            found = _differences(times[a], times[b])
            yield from (
                {"pair_a": str(a), "pair_b": str(b), "depths": found.depths} | row
                for row in _of_two(a, b, found)
            )


@dataclass(frozen=True)
class _Differences:
    """Seconds per token of a minus those of b at each depth, and the mean of both.

    ``stderrs`` and ``freedoms``, or ``bounds``; ``kind`` is None where an error is not known.
    """

    depths: list[int]
    values: Reals
    means: Reals
    stderrs: Reals
    freedoms: Reals
    bounds: Reals
    kind: str | None

    def half(self, weights: Reals, confidence: float = 0.95) -> float:
        """Half of the interval of a weighted sum of the differences."""
        errors = (weights * self.stderrs) ** 2
        total = float(errors.sum())
        bound = float(np.abs(weights) @ self.bounds)
        if total == 0:
            return bound
        freedom = 1 / float(((errors / total) ** 2 / self.freedoms).sum())
        return _t(freedom, confidence) * math.sqrt(total) + bound

    def told(self, index: int) -> int:
        """1 or -1 where the difference at a depth is told from 0, else 0."""
        unit = np.zeros(len(self.depths))
        unit[index] = 1.0
        value = self.values[index]
        return int(np.sign(value)) if abs(value) > self.half(unit) else 0


def _t(freedom: float, confidence: float) -> float:
    return t_quantile(freedom) if confidence == 0.95 else _t_of(round(freedom, 1), confidence)


_t_of = cache(lambda freedom, confidence: student_t_quantile((1 + confidence) / 2, freedom))


def _differences(a: Mapping[int, Value], b: Mapping[int, Value]) -> _Differences:
    depths, rows, kinds = [], [], set()
    for depth in sorted(a.keys() & b.keys()):
        both = on_common_rounds(a[depth], b[depth])
        if both is None:
            continue
        ours, theirs = both
        stderr = bound = 0.0
        freedom = math.inf
        kind = ours.kind
        if ours.rounds is not None and theirs.rounds is not None:
            apart = np.array([ours.rounds[r] - theirs.rounds[r] for r in ours.rounds])
            if len(apart) < 2:
                kind = None
            else:
                stderr, freedom = float(apart.std(ddof=1)) / math.sqrt(len(apart)), len(apart) - 1
        else:
            bound = (ours.bound or 0.0) + (theirs.bound or 0.0)
            kind = kind and theirs.kind
        depths.append(depth)
        kinds.add(kind)
        rows.append((ours.value - theirs.value, (ours.value + theirs.value) / 2, stderr, freedom, bound))
    columns: list[Reals] = list(np.array(rows, dtype=float).reshape(-1, 5).T)
    values, means, stderrs, freedoms, bounds = columns
    kind = kinds.pop() if len(kinds) == 1 else None
    return _Differences(depths, values, means, stderrs, freedoms, bounds, kind)


def _of_two(a: Pair, b: Pair, found: _Differences) -> Iterator[dict[str, Any]]:
    def faster(difference: float) -> str | None:
        return str(a) if difference < 0 else str(b) if difference > 0 else None

    if len(found.depths) < 2:
        ahead = faster(float(found.values[0])) if found.depths else None
        yield {"verdict": "too few depths", "ahead_before": ahead}
        return
    weights_at = _line(found)
    if found.kind is not None and _contradicts(found, weights_at):
        spans = _told_changes(found)
        ahead = faster(next((float(v) for i, v in enumerate(found.values) if found.told(i)), 0.0))
    else:
        ends = [float(weights_at(found.depths[i]) @ found.values) for i in (0, -1)]
        spans = [(0, len(found.depths) - 1, weights_at)] if ends[0] * ends[1] < 0 else []
        ahead = faster(ends[0] or ends[1])
    if not spans:
        yield {"verdict": "none", "ahead_before": ahead}
    for number, (left, right, at) in enumerate(spans, start=1):
        low, high = found.depths[left], found.depths[right]
        yield {
            "number": number,
            "ahead_before": faster(float(at(low) @ found.values)),
            "ahead_after": faster(float(at(high) @ found.values)),
            **_crossing(found, low, high, at),
        }


_Weights = Callable[[float], Reals]  # at a depth: what the fitted difference there makes of the measured ones


def _line(found: _Differences) -> _Weights:
    """The weighted least-squares line through all differences."""
    weights = found.means**-2.0
    weights /= weights.sum()
    depths = np.array(found.depths, dtype=float)
    middle = float(weights @ depths)
    slopes = weights * (depths - middle)
    slopes /= float(slopes @ (depths - middle))
    return lambda depth: weights + slopes * (depth - middle)


def _contradicts(found: _Differences, line: _Weights) -> bool:
    """Whether a measured difference lies off the line beyond its error, at 5 % for all depths together."""
    n = len(found.depths)
    if n < 3:
        return False
    for index, depth in enumerate(found.depths):
        residual = -line(depth)
        residual[index] += 1
        if abs(float(residual @ found.values)) > found.half(residual, 1 - 0.05 / n):
            return True
    return False


def _told_changes(found: _Differences) -> list[tuple[int, int, _Weights]]:
    """Neighbours among the depths at which the order is told, and is another one; with the line between the two."""
    signs = [(index, sign) for index in range(len(found.depths)) if (sign := found.told(index))]
    changes = [(left, right) for (left, was), (right, now) in pairwise(signs) if was != now]
    return [(left, right, _between(found, left, right)) for left, right in changes[:MOST_CROSSINGS]]


def _between(found: _Differences, left: int, right: int) -> _Weights:
    low, high = found.depths[left], found.depths[right]

    def at(depth: float) -> Reals:
        weights = np.zeros(len(found.depths))
        weights[right] = (depth - low) / (high - low)
        weights[left] = 1 - weights[right]
        return weights

    return at


def _crossing(found: _Differences, low: int, high: int, at: _Weights) -> dict[str, Any]:
    """Where the line between two depths is 0, and the depths at which it is not told from 0."""
    start, end = (float(at(depth) @ found.values) for depth in (low, high))
    depth = low + start / (start - end) * (high - low)
    row: dict[str, Any] = {
        "verdict": ERRORS_UNKNOWN,
        "depth": depth,
        "between_low": max((d for d in found.depths if d <= depth), default=low),
        "between_high": min((d for d in found.depths if d >= depth), default=high),
    }
    if found.kind is None:
        return row

    def untold(place: float) -> bool:
        return abs(float(at(place) @ found.values)) <= found.half(at(place))

    ends = [_border(untold, depth, float(end)) for end in (low, high)]
    told = ends[0] > low and ends[1] < high
    return row | {
        "verdict": "crosses" if told else "crosses within the errors",
        "depth_low": ends[0],
        "depth_high": ends[1],
        "interval": found.kind,
    }


def _border(untold: Callable[[float], bool], inside: float, end: float) -> float:
    """How far from ``inside`` towards ``end`` the difference is not told from 0: |d|/s falls to 0 and rises again."""
    if untold(end):
        return end
    outside = end
    for _ in range(40):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if untold(middle) else (inside, middle)
    return inside
