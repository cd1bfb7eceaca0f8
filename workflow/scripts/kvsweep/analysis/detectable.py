"""Which difference of two shares the exact test of McNemar would have shown: its power, summed and not approximated."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import bdtr, bdtrc

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
    often = np.diff(bdtr(np.arange(n + 1), n, differing), prepend=0.0)
    m = np.flatnonzero(often > _NEVER)
    most = np.array([_most_of_fewer(int(each)) for each in m])
    m, most = m[most >= 0], most[most >= 0]
    shown = bdtr(most, m, one) + bdtrc(m - most - 1, m, one)
    return float(often[m] @ shown)


@cache
def _most_of_fewer(m: int) -> int:
    """Of ``m`` items that differ, the most that may be the fewer side's where the test shows a difference; -1: none."""
    low, high = -1, m // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mcnemar(middle, m - middle) < LEVEL else (low, middle)
    return low
