"""Intervals of the mean of few values that are not negative and skewed: one far above the others carries it.

Student's t takes what the mean scatters by as symmetric; of skewed values it then holds the truth too seldom, because a
mean that happens to be low has a small spread, too. ``benchmarks/coverage.py`` says how often these do.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvsweep.statistics import student_t_quantile

LITTLE = 0.1  # part of the variance between values
FEW = 4  # values, of which one can bear more than half of the mean
_FARTHEST = 100.0  # times the mean: beyond that an interval says nothing


class Ends(NamedTuple):
    """The ends of an interval, in the unit of the values."""

    low: float
    high: float

    def and_those_of(self, other: Ends) -> Ends:
        """The ends of the smallest interval that holds both."""
        return Ends(min(self.low, other.low), max(self.high, other.high))


def ends_of_skewed(values: NDArray[np.float64], stderr: float) -> Ends:
    """Ends of the 95 % interval of the mean, which is above 0; ``stderr`` is its standard error.

    Student's t of the logarithm, to first order: farther up than down. And of values that are skewed upwards, where
    that reaches farther, Hall's: the statistic is transformed so that it is not skewed any more (P. Hall, Journal of
    the Royal Statistical Society B 54 (1992) 221-228), with Student's t in the place of the normal distribution.
    """
    n, mean = len(values), float(values.mean())
    t = student_t_quantile(0.975, n - 1)
    factor = math.exp(min(t * stderr / mean, math.log(_FARTHEST)))
    found = Ends(mean / factor, mean * factor)
    deviations = values - mean
    spread = float(np.mean(deviations**2))
    skewness = float(np.mean(deviations**3)) / spread**1.5 if spread > 0 else 0.0
    if n < 3 or skewness <= 0:
        return found
    low, high = (mean - stderr * math.sqrt(n) * _untransformed(z, skewness, n) for z in (t, -t))
    return found.and_those_of(Ends(max(low, mean / _FARTHEST), min(high, mean * _FARTHEST)))


def is_rounded_off(rounding: float, stderr: float) -> bool:
    """Whether the rounding of printed values, which is not skewed, adds more than LITTLE of the mean's variance; both
    are standard errors."""
    return rounding**2 > LITTLE * stderr**2


def is_carried_by_one(values: NDArray[np.float64], rounding: float) -> bool:
    """Whether one of at least FEW values bears more of the mean than all others: how often such values come is then
    not known. ``rounding`` is what it adds to the mean's standard error."""
    if len(values) < FEW or is_rounded_off(rounding, float(values.std(ddof=1)) / math.sqrt(len(values))):
        return False
    return float(values.max()) > float(values.sum()) / 2 > 0


def _untransformed(z: float, skewness: float, n: int) -> float:
    """By how many standard deviations of the values the mean is off, where the transformed statistic is ``z``."""
    y = z / math.sqrt(n) - skewness / (6 * n)
    return 3 / skewness * (float(np.cbrt(1 + skewness * y)) - 1)


def ends_of_lognormal(values: NDArray[np.float64]) -> Ends:
    """Ends of the 95 % interval of the mean of values whose logarithms are normal: that of m + s^2/2, whose variance is
    s^2/n + s^4/(2(n - 1)) (Cox's method: X.-H. Zhou and S. Gao, Statistics in Medicine 16 (1997) 783-790), with
    Student's t."""
    logarithms = np.log(values)
    n, variance = len(logarithms), float(logarithms.var(ddof=1))
    middle = float(logarithms.mean()) + variance / 2
    half = student_t_quantile(0.975, n - 1) * math.sqrt(variance / n + variance**2 / (2 * (n - 1)))
    half = min(half, math.log(_FARTHEST))
    return Ends(math.exp(middle - half), math.exp(middle + half))
