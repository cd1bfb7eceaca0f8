"""Which difference of two shares the exact test of McNemar would have shown: its power, summed and not approximated."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kvsweep.statistics import mcnemar

POWER, LEVEL = 0.8, 0.05
# A difference is wanted to this share of itself.
_CLOSE = 1e-3
# Numbers of differing items that come less often than this count for nothing.
_NEVER = 1e-9


def detectable_difference(only_one: int, only_other: int, n: int) -> float:
    """The true difference of two shares of the same ``n`` items that ``mcnemar`` shows (p < 0.05) in 4 of 5 such runs.

    The share of items that differ is taken as it was observed, or as the difference where that is larger: it cannot be
    less. 1 where no difference would be shown so often.
    """
    observed = (only_one + only_other) / n
    low, high = 0.0, 1.0
    if power(n, max(observed, high), high) < POWER:
        return 1.0
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        shown = power(n, max(observed, middle), middle) >= POWER
        low, high = (low, middle) if shown else (middle, high)
    return high


def power(n: int, differing: float, difference: float) -> float:
    """How often the test shows a true ``difference`` of shares of ``n`` items, of which the share ``differing`` is
    right once only.

    Their number M is binomial in n and ``differing``, and how many of them are the one's binomial in M and (1 +
    difference/differing)/2: the sum is over all M and all that the test shows, both ways.
    """
    one = min((1 + difference / differing) / 2, 1.0)
    often = _binomial(n, differing)
    found = 0.0
    for m in np.flatnonzero(often > _NEVER):
        most = _most_of_fewer(int(m))
        if most >= 0:
            share = _binomial(int(m), one)
            found += often[m] * (share[: most + 1].sum() + share[m - most :].sum())
    return float(found)


@cache
def _most_of_fewer(m: int) -> int:
    """Of ``m`` items that differ, the most that may be the fewer side's where the test shows a difference; -1: none."""
    low, high = -1, m // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mcnemar(middle, m - middle) < LEVEL else (low, middle)
    return low


def _binomial(n: int, p: float) -> NDArray[np.float64]:
    """Probabilities of 0 to ``n``."""
    k = np.arange(n + 1)
    if p in (0.0, 1.0):
        return np.asarray(k == n * p, float)
    logs = _log_factorials(n)
    found: NDArray[np.float64] = np.exp(
        logs[n] - logs - logs[::-1] + k * math.log(p) + (n - k) * math.log1p(-p)
    )
    return found


@cache
def _log_factorials(n: int) -> NDArray[np.float64]:
    return np.array([math.lgamma(k + 1) for k in range(n + 1)])
