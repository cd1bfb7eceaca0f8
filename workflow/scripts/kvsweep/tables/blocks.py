"""Errors of what is made of tokens that share their context: by windows; blocks where there is one window only.

Tokens of a window are not independent; windows are. So intervals are Student's t over windows, of means and of tails,
and a single window has none: what makes it harder or easier than others is not seen in it. Its standard error is that
of blocks of neighbouring tokens (circular blocks, Politis and Romano 1992). All arrays have a row for each window and a
column for each scored token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvsweep.statistics import Interval, student_t_quantile
from kvsweep.tables.skewed import ends_of_lognormal, ends_of_skewed

Numbers = NDArray[np.float64]

BLOCK_TOKENS = 64
# Fewer tokens beyond a quantile than this say too little of where it lies.
ENOUGH_BEYOND = 10
# Of fewer windows a quantile has an interval only where they happen to be alike, and such intervals hold too seldom.
ENOUGH_WINDOWS = 4
_SAME = 1e-9  # part of a mean by which windows that were measured differ at least; where it is 0, nothing diverges
BY_WINDOWS, BY_BLOCKS = "windows", "blocks"


class Mean(NamedTuple):
    """A mean with its standard error and 95 % interval, and the units that the error is made of."""

    value: float
    stderr: float
    low: float | None
    high: float | None
    by: str


def mean_of_windows(means: Numbers, of_blocks: float | None = None, positive: bool = False) -> Mean:
    """The mean of windows of as many tokens, of which ``means`` are the means. ``of_blocks`` is the standard error by
    blocks of a single window.

    Of what cannot be negative the interval is that of skewed values (``skewed``); and that of windows whose logarithms
    are normal where it reaches farther.
    """
    value = float(means.mean())
    if len(means) < 2:
        assert of_blocks is not None
        return Mean(value, of_blocks, None, None, BY_BLOCKS)
    stderr = stderr_of_windows(means)
    assert stderr is not None
    if value and stderr <= _SAME * abs(value):
        return Mean(value, stderr, None, None, BY_WINDOWS)
    half = student_t_quantile(0.975, len(means) - 1) * stderr
    low, high = value - half, value + half
    if positive and value > 0:
        ends = ends_of_skewed(means, stderr)
        if (means > 0).all():
            ends = ends.and_those_of(ends_of_lognormal(means))
        low, high = ends
    return Mean(value, stderr, low, high, BY_WINDOWS)


def share_of_windows(shares: Numbers, of_blocks: float | None, window_tokens: int) -> Mean:
    """The mean of the windows' shares, as ``mean_of_windows``. The interval is at least that of as many independent
    tokens (Wilson 1927), so that a share of 1 is no certainty."""
    found = mean_of_windows(shares, of_blocks)
    if len(shares) < 2:
        return found
    n, z = window_tokens * len(shares), NormalDist().inv_cdf(0.975)
    middle = (found.value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(found.value * (1 - found.value) / n + (z / (2 * n)) ** 2)
    low, high = middle - half, middle + half
    if found.low is not None and found.high is not None:
        low, high = min(found.low, low), max(found.high, high)
    return found._replace(low=max(low, 0.0), high=min(high, 1.0))


def stderr_of_windows(means: Numbers) -> float | None:
    return float(means.std(ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else None


def block_stderr(values: Numbers) -> float:
    """What a bootstrap of the mean comes to after endless draws: the spread of all blocks' means, by the root of how
    many make up the whole."""
    length = _length(values.shape[1])
    n_blocks = max(values.size / length, 2.0)
    around = np.concatenate([values, values[:, : length - 1]], axis=1)
    sums = np.cumsum(np.pad(around, ((0, 0), (1, 0))), axis=1)
    means = (sums[:, length:] - sums[:, :-length]) / length
    return float(means.std()) / math.sqrt(n_blocks - 1)


def quantile_intervals(values: Numbers, shares: Sequence[float]) -> list[Interval | None]:
    """The quantiles with 95 % intervals (R. S. Woodruff, Journal of the American Statistical Association 47 (1952)
    635-646): the share of tokens beyond a quantile has Student's t over windows, and as many independent tokens' at
    least; the interval holds the quantiles of the shares within it.

    None where fewer than ``ENOUGH_BEYOND`` tokens lie beyond a quantile, of fewer than ``ENOUGH_WINDOWS`` windows, and
    where an end of the interval is not among the tokens.
    """
    return [_quantile(values, share) for share in shares]


def _quantile(values: Numbers, share: float) -> Interval | None:
    n = values.size
    if len(values) < ENOUGH_WINDOWS or n * (1 - share) < ENOUGH_BEYOND:
        return None
    value = float(np.quantile(values, share))
    beyond = stderr_of_windows((values > value).mean(axis=1))
    assert beyond is not None
    of_tokens = NormalDist().inv_cdf(0.975) * math.sqrt(share * (1 - share) / n)
    half = max(student_t_quantile(0.975, len(values) - 1) * beyond, of_tokens)
    if share - half < 0 or share + half > 1 - 1 / n:
        return None
    low, high = np.quantile(values, [share - half, share + half])
    return Interval(value, float(low), float(high))


def _length(n_tokens: int) -> int:
    """Tokens of a block: so few that a window has at least four blocks."""
    return min(BLOCK_TOKENS, max(n_tokens // 4, 1))
