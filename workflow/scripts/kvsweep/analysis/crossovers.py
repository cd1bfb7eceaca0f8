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

Of many pairs some cross by chance: they do only where the rate of false discoveries among all two pairs of a set-up and
phase is low, too (``many``). Two that do not cross are as unlikely to show an order on both sides as on the less clear.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kvsweep.analysis.estimates import OVER_ROUNDS, ROUNDED, SAME, t_quantile
from kvsweep.analysis.many import FALSE_DISCOVERIES, p_values, q_values
from kvsweep.analysis.rates import Reals, rates_of
from kvsweep.analysis.repetitions import PHASE
from kvsweep.analysis.set_ups import by_columns
from kvsweep.statistics import student_t_quantile
from kvsweep.tables.row import Row, pair_of, problem_with

MOST_CROSSINGS = 2
CROSSES, WITHIN_ERRORS, NONE = "crosses", "crosses within the errors", "none"
ERRORS_UNKNOWN = "crosses, errors unknown"


def crossovers(cells: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``crossovers``: for each two pairs of a set-up and phase each crossing, or one row for none.

    ``cells``: over rounds (``speed.over_rounds``).
    """
    usable = [row for row in cells if problem_with(row) is None]
    found: list[dict[str, Any]] = []
    for key, rows in by_columns(usable, PHASE).items():
        shared = dict(zip(PHASE, key, strict=True))
        of_phase = [*_of_phase(rows)]
        # Two that are in one order everywhere were asked, too.
        p = [row.get("p_value", 1.0 if row["verdict"] == NONE else math.nan) for row in of_phase]
        for row, q in zip(of_phase, q_values(p).tolist(), strict=True):
            if "p_value" in row:
                row["q_value"] = q
                if q > FALSE_DISCOVERIES and row["verdict"] == CROSSES:
                    row["verdict"] = WITHIN_ERRORS
            found.append(shared | row)
    return found


def _of_phase(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    of_pair, pairs = pd.factorize(np.array([str(pair_of(row)) for row in rows], dtype=object))
    depths, at_depth = np.unique([row["depth"] for row in rows], return_inverse=True)
    rates = rates_of(rows)
    seconds = np.full((len(pairs), len(rates.rounds), len(depths)), np.nan)
    bounds = np.full((len(pairs), len(depths)), np.nan)
    seconds[of_pair, :, at_depth] = 1 / rates.in_rounds
    # Of a printed rate by the derivative of 1/x.
    bounds[of_pair, at_depth] = rates.bounds / rates.in_rounds[:, 0] ** 2
    for place, a in enumerate(pairs):
        later = slice(place + 1, None)
        times = _differences(seconds[place], seconds[later], bounds[place] + bounds[later], depths)
        for b, found in zip(pairs[later], times, strict=True):
            shared = {"pair_a": a, "pair_b": b, "depths": found.depths}
            yield from (shared | row for row in _of_two(a, b, found))


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
        stderr, freedom, bound = self._error(weights)
        return student_t_quantile((1 + confidence) / 2, freedom) * stderr + bound if stderr else bound

    def p_value(self, weights: Reals) -> float:
        """How likely so large a weighted sum is where the true one is 0."""
        stderr, freedom, bound = self._error(weights)
        beyond = abs(float(weights @ self.values)) - bound
        if beyond <= 0:
            return 1.0
        return float(p_values(beyond / stderr, freedom)) if stderr else 0.0

    def _error(self, weights: Reals) -> tuple[float, float, float]:
        """Standard error of a weighted sum, its degrees of freedom, and the bound beside it."""
        errors = (weights * self.stderrs) ** 2
        total = float(errors.sum())
        bound = float(np.abs(weights) @ self.bounds)
        if total == 0:
            return 0.0, math.inf, bound
        return math.sqrt(total), 1 / float(((errors / total) ** 2 / self.freedoms).sum()), bound

    def told(self) -> list[int]:
        """1 or -1 at each depth where the difference is told from 0, else 0."""
        ts = {freedom: t_quantile(freedom) for freedom in set(self.freedoms.tolist())}
        halves = self.stderrs * np.array([ts[freedom] for freedom in self.freedoms.tolist()]) + self.bounds
        told: list[int] = np.where(np.abs(self.values) > halves, np.sign(self.values), 0).astype(int).tolist()
        return told


def _differences(a: Reals, b: Reals, bounds: Reals, depths: NDArray[np.int_]) -> Iterator[_Differences]:
    """Of one pair and each of others, at the depths at which both have a round in common.

    ``a``: its seconds per token by round and depth, ``b``: the others', by pair, round and depth, NaN for none;
    ``bounds``, by pair and depth: by how much a published difference may be off, infinite where that is not known; NaN
    of measured ones.
    """
    both = ~(np.isnan(a) | np.isnan(b))
    n = both.sum(axis=1)
    ours, theirs = (np.where(both, side, 1.0) for side in (a, b))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_a, mean_b = (np.exp(np.log(times).sum(axis=1) / n) for times in (ours, theirs))
        apart = ours - theirs
        spread = np.where(both, (apart - (apart.sum(axis=1) / n)[:, None]) ** 2, 0.0).sum(axis=1)
        stderrs = np.sqrt(spread / (n - 1) / n)
    same = stderrs <= SAME * (mean_a + mean_b)  # equal in every round: no error is known
    for of_other in range(len(b)):
        at = (of_other, np.flatnonzero(n[of_other]))
        kind = None
        if np.isfinite(bounds[at]).all():
            kind = ROUNDED
        elif (n[at] >= 2).all() and not same[at].any():
            kind = OVER_ROUNDS
        over_rounds = kind == OVER_ROUNDS
        yield _Differences(
            depths[at[1]].tolist(),
            mean_a[at] - mean_b[at],
            (mean_a[at] + mean_b[at]) / 2,
            stderrs[at] if over_rounds else np.zeros(len(at[1])),
            n[at] - 1.0 if over_rounds else np.full(len(at[1]), np.inf),
            bounds[at] if kind == ROUNDED else np.zeros(len(at[1])),
            kind,
        )


def _of_two(a: str, b: str, found: _Differences) -> Iterator[dict[str, Any]]:
    def faster(difference: float) -> str | None:
        return a if difference < 0 else b if difference > 0 else None

    if len(found.depths) < 2:
        ahead = faster(float(found.values[0])) if found.depths else None
        yield {"verdict": "too few depths", "ahead_before": ahead}
        return
    weights_at = _line(found)
    if found.kind is not None and _contradicts(found, weights_at):
        spans = _told_changes(found)
        ahead = faster(next((sign for sign in found.told() if sign), 0))
    else:
        ends = [float(weights_at(found.depths[i]) @ found.values) for i in (0, -1)]
        spans = [(0, len(found.depths) - 1, weights_at)] if ends[0] * ends[1] < 0 else []
        ahead = faster(ends[0] or ends[1])
    if not spans:
        yield {"verdict": NONE, "ahead_before": ahead}
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
    residuals = np.eye(n) - np.array([line(depth) for depth in found.depths])
    off = np.abs(residuals @ found.values)
    errors = (residuals * found.stderrs) ** 2
    totals = errors.sum(axis=1)
    bounds = np.abs(residuals) @ found.bounds
    # No t is less than 1.96: most depths are told not to be off without one.
    candidates = np.flatnonzero(off > 1.96 * np.sqrt(totals) + bounds)
    return any(off[index] > found.half(residuals[index], 1 - 0.05 / n) for index in candidates)


def _told_changes(found: _Differences) -> list[tuple[int, int, _Weights]]:
    """Neighbours among the depths at which the order is told, and is another one; with the line between the two."""
    signs = [(index, sign) for index, sign in enumerate(found.told()) if sign]
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
        "between_low": found.depths[max(bisect_right(found.depths, depth) - 1, 0)],
        "between_high": found.depths[min(bisect_left(found.depths, depth), len(found.depths) - 1)],
    }
    if found.kind is None:
        return row

    def untold(place: float) -> bool:
        return abs(float(at(place) @ found.values)) <= found.half(at(place))

    ends = [_border(untold, depth, float(end)) for end in (low, high)]
    told = ends[0] > low and ends[1] < high
    return row | {
        "verdict": CROSSES if told else WITHIN_ERRORS,
        "depth_low": ends[0],
        "depth_high": ends[1],
        "interval": found.kind,
        "p_value": max(found.p_value(at(end)) for end in (low, high)),
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
