"""What repeated measurements say: intervals of means, drift, and errors recovered from running means.

Pure functions on plain sequences of numbers. None where so few numbers tell nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple


def mean(values: Sequence[float]) -> float:
    """As ``statistics.fmean``, which takes long to import: each cell waits for it."""
    return math.fsum(values) / len(values)


class Interval(NamedTuple):
    """A value and its confidence interval, all in one unit."""

    value: float
    low: float
    high: float


class Drift(NamedTuple):
    """Trend of a series: change per repetition as a fraction of the series' mean, and its standard error."""

    slope: float
    stderr: float


class WindowError(NamedTuple):
    """Standard error of a mean over windows, and what rounding alone would leave of it; unit of the mean."""

    stderr: float
    rounding: float


def student_t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """The t that a Student t variable stays below with ``probability``. ``degrees_of_freedom`` need not be whole, and
    may be infinite. Raises ValueError outside of 0 < probability < 1 and for degrees of freedom that are not positive.
    """
    from scipy.special import stdtrit  # takes long to import, and most that read tables ask for none

    if not 0 < probability < 1:
        raise ValueError(f"a probability lies between 0 and 1, not {probability}")
    if not degrees_of_freedom > 0:
        raise ValueError(f"degrees of freedom are positive, not {degrees_of_freedom}")
    return float(stdtrit(degrees_of_freedom, probability))


def _normal_quantile(probability: float) -> float:
    from statistics import NormalDist  # likewise

    return NormalDist().inv_cdf(probability)


def larger(*errors: float | None) -> float | None:
    """The largest of the errors that are known; None where none is."""
    return max((error for error in errors if error is not None), default=None)


def variance(values: Sequence[float]) -> float:
    """Sample variance of two values or more, in floats: ``statistics.variance`` adds fractions, which takes 30 times as
    long. Exactly 0 where all values are equal."""
    offsets = [value - values[0] for value in values]
    middle = mean(offsets)
    return math.fsum((offset - middle) ** 2 for offset in offsets) / (len(offsets) - 1)


def mean_stderr(samples: Sequence[float]) -> float | None:
    """Standard error of the samples' mean, s/sqrt(n), in their unit; None below two samples."""
    return math.sqrt(variance(samples) / len(samples)) if len(samples) >= 2 else None


def drift(samples: Sequence[float]) -> Drift | None:
    """Slope of the least-squares line through the samples, per repetition, as a fraction of their mean.

    slope = S_xy/S_xx, stderr = sqrt(residual sum of squares/(n - 2)/S_xx), both divided by the mean; the
    mean's own error is left out, being of second order. None below three samples (a line fits any two) and
    for a mean of 0.
    """
    n = len(samples)
    if n < 3:
        return None
    middle = mean(samples)
    if middle == 0:
        return None
    offsets = [i - (n - 1) / 2 for i in range(n)]
    s_xx = math.fsum(x * x for x in offsets)
    slope = math.fsum(x * (y - middle) for x, y in zip(offsets, samples, strict=True)) / s_xx
    residuals = math.fsum((y - middle - slope * x) ** 2 for x, y in zip(offsets, samples, strict=True))
    return Drift(slope / middle, math.sqrt(residuals / (n - 2) / s_xx) / abs(middle))


def window_values(running_means: Sequence[float]) -> list[float]:
    """Each window's own value, i m_i - (i-1) m_(i-1), from the means m_i over the first i windows.

    A perplexity is not a mean; its logarithm is. What rounding does to m_i is i times as large in value i.
    """
    before = [0.0, *running_means]
    return [i * mean - (i - 1) * before[i - 1] for i, mean in enumerate(running_means, start=1)]


def window_stderr(running_means: Sequence[float], decimals: int) -> WindowError | None:
    """Standard error of the last running mean from the spread between windows, and what may be mere rounding.

    stderr = s/sqrt(n), s the sample standard deviation of `window_values`. Tokens of a window share their
    context, so this one need not be equal to an error that takes tokens as independent.

    The means were printed with `decimals` digits after the point: each carries an independent error e_i of
    variance u^2/12, u = 10^-decimals. In window values that is i e_i - (i-1) e_(i-1), whose sample variance
    is expected to be (u^2/12) (sum(i^2 + (i-1)^2) - n)/(n - 1) = u^2 n (n + 1)/18. So rounding = u sqrt((n +
    1)/18), a part in quadrature: where it is not much smaller than stderr, stderr says little. None below two
    windows.
    """
    n = len(running_means)
    if n < 2:
        return None
    spread = math.sqrt(variance(window_values(running_means)) / n)
    return WindowError(spread, 10.0**-decimals * math.sqrt((n + 1) / 18))


def window_counts(running_shares: Sequence[float], n: int) -> list[int]:
    """How many of each window's ``n`` tokens have a property, from the shares over the first i windows."""
    totals = [0, *(round(share * i * n) for i, share in enumerate(running_shares, start=1))]
    return [after - before for before, after in itertools.pairwise(totals)]


def wilson(right: int, n: int, confidence: float = 0.95) -> Interval:
    """Interval of a share, of which ``right`` of ``n`` were observed.

    E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212. Unlike a share plus and minus its
    standard error it stays between 0 and 1, and has a width where all or none were right.
    """
    if not 0 <= right <= n or n < 1:
        raise ValueError(f"no share: {right} of {n}")
    z = _normal_quantile((1 + confidence) / 2)
    share, weight = right / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    # Exact at the ends, where rounding would leave the share outside.
    return Interval(share, 0.0 if right == 0 else middle - half, 1.0 if right == n else middle + half)


def mcnemar(only_one: int, only_other: int) -> float:
    """p of as large a difference between two shares of the same items, where there is none: the exact test.

    Items that are alike say nothing; of the others each is as likely to be the one's as the other's (Q. McNemar,
    Psychometrika 12 (1947) 153-157), so that the smaller number is binomial.
    """
    from scipy.special import bdtr

    n, k = only_one + only_other, min(only_one, only_other)
    return min(1.0, 2 * float(bdtr(k, n, 0.5)))


def paired_difference(only_one: int, only_other: int, n: int) -> Interval:
    """The share of the one minus that of the other, of the same ``n`` items, with its 95 % interval.

    A. Agresti and Y. Min, Statistics in Medicine 24 (2005) 729-740: Wald's interval after half an item was added to
    each of the four cells of the table.
    """
    z = _normal_quantile(0.975)
    one, other, of = only_one + 0.5, only_other + 0.5, n + 2
    middle = (one - other) / of
    half = z * math.sqrt((one + other) / of - middle * middle) / math.sqrt(of)
    return Interval((only_one - only_other) / n, max(middle - half, -1.0), min(middle + half, 1.0))


def along(x: float, points: Mapping[int, float]) -> float:
    """A value at x on straight lines between points; beyond them along the nearest two, but never falling."""
    places = sorted(points)
    if len(places) == 1:
        return points[places[0]]
    right = next((i for i, place in enumerate(places) if place >= x), len(places) - 1)
    low, high = places[max(right, 1) - 1], places[max(right, 1)]
    slope = (points[high] - points[low]) / (high - low)
    if not places[0] <= x <= places[-1]:
        slope = max(slope, 0.0)
    nearest = low if x < low else high
    return max(points[nearest] + slope * (x - nearest), 0.0)


# Repetitions further apart than this are not of the same work: one was stopped or held up, or did not compute what it
# should.
_APART = 3.0


def cannot_be_the_same(values: Sequence[float]) -> bool:
    """Whether repetitions of one thing, positive durations or rates, are too far apart to be of it."""
    return len(values) > 1 and max(values) > _APART * min(values)
