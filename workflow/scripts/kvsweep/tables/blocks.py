"""Errors of what is made of tokens that share their context: by windows, or by blocks where windows do not tell.

Tokens of a window are not independent; windows are. Of a single window, and of tails of fewer than ``MANY_WINDOWS``,
blocks of neighbouring tokens are taken as the independent units (circular blocks, Politis and Romano 1992), so that
what spreads less far than a block is no reason for a too small error. What makes a whole window hard is then not seen.
All arrays have a row for each window and a column for each scored token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvsweep.statistics import Interval, student_t_quantile

Numbers = NDArray[np.float64]

MANY_WINDOWS = 8
BLOCK_TOKENS = 64
# Fewer tokens beyond a quantile than this say too little of where it lies.
ENOUGH_BEYOND = 10
_DRAWS = 400
_SEED = 1
_FARTHEST = 100
_MOST_AT_ONCE = 2**18  # tokens of samples in memory
BY_WINDOWS, BY_BLOCKS = "windows", "blocks"


class Mean(NamedTuple):
    """A mean with its standard error and 95 % interval (Student's t), and the units that the error is made of."""

    value: float
    stderr: float
    low: float
    high: float
    by: str


def mean_of(values: Numbers, positive: bool = False) -> Mean:
    """The mean of at least two tokens, as ``mean_of_windows``."""
    return mean_of_windows(*_by_window(values), positive)


def share_of(values: Numbers) -> Mean:
    """The mean of at least two 0 and 1, as ``share_of_windows``."""
    return share_of_windows(*_by_window(values))


def _by_window(values: Numbers) -> tuple[Numbers, int, float | None]:
    return values.mean(axis=1), values.shape[1], block_stderr(values) if len(values) < 2 else None


def mean_of_windows(
    means: Numbers, window_tokens: int, of_blocks: float | None = None, positive: bool = False
) -> Mean:
    """The mean of windows of as many tokens, of which ``means`` are the means. ``of_blocks`` is the standard error by
    blocks of a single window.

    Of what cannot be negative, and is skewed, the interval is that of the logarithm, to first order: farther up than
    down, and no farther than a factor of 100.
    """
    by_windows = len(means) >= 2
    stderr = stderr_of_windows(means) if by_windows else of_blocks
    assert stderr is not None
    units = len(means) if by_windows else max(window_tokens // _length(window_tokens), 2)
    value, half = float(means.mean()), student_t_quantile(0.975, units - 1) * stderr
    low, high = value - half, value + half
    if positive and value > 0:
        factor = math.exp(min(half / value, math.log(_FARTHEST)))
        low, high = value / factor, value * factor
    return Mean(value, stderr, low, high, BY_WINDOWS if by_windows else BY_BLOCKS)


def share_of_windows(shares: Numbers, window_tokens: int, of_blocks: float | None = None) -> Mean:
    """Likewise of shares. The interval is at least that of as many independent tokens (Wilson 1927), so that a share of
    1 is no certainty."""
    found = mean_of_windows(shares, window_tokens, of_blocks)
    n, z = window_tokens * len(shares), NormalDist().inv_cdf(0.975)
    middle = (found.value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(found.value * (1 - found.value) / n + (z / (2 * n)) ** 2)
    low, high = min(found.low, middle - half), max(found.high, middle + half)
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
    """The quantiles, and 95 % intervals by a bootstrap of whole windows or blocks (percentiles of the draws).

    None where fewer than ``ENOUGH_BEYOND`` tokens lie beyond a quantile.
    """
    carried = [share for share in shares if values.size * (1 - share) >= ENOUGH_BEYOND]
    if not carried:
        return [None] * len(shares)
    order = np.argsort(values, axis=None)[::-1][: math.ceil(values.size * (1.2 - min(carried)))]
    sorted_down = values.ravel()[order]
    drawn, random = [], np.random.default_rng(_SEED)
    at_once = max(_MOST_AT_ONCE // values.size, 1)
    for first in range(0, _DRAWS, at_once):
        times = _times_drawn(values, min(at_once, _DRAWS - first), random)
        beyond = np.cumsum(times[:, order], axis=1)
        allowed = np.outer(times.sum(axis=1), [1 - share for share in carried])
        # The first token with more than the share beyond it, itself included.
        places = (beyond[:, :, None] <= allowed[:, None, :]).sum(axis=1)
        drawn.append(sorted_down[np.minimum(places, len(sorted_down) - 1)])
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975], axis=0)
    found = {
        share: Interval(float(np.quantile(values, share)), float(low[i]), float(high[i]))
        for i, share in enumerate(carried)
    }
    return [found.get(share) for share in shares]


def _times_drawn(values: Numbers, draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """How often each token is in samples of as many tokens, drawn with replacement by windows or blocks, a row each."""
    n_windows, n_tokens = values.shape
    if n_windows >= MANY_WINDOWS:
        windows = random.multinomial(n_windows, np.full(n_windows, 1 / n_windows), draws)
        return np.repeat(windows, n_tokens, axis=1)
    length = _length(values.shape[1])
    n_blocks = -(-values.size // length)
    # One place behind each window, for the ends of blocks.
    rows = np.arange(draws)[:, None] * n_windows + random.integers(0, n_windows, (draws, n_blocks))
    rows *= n_tokens + 1
    begins = random.integers(0, n_tokens, (draws, n_blocks))
    ends = begins + length
    around = ends > n_tokens
    size = draws * n_windows * (n_tokens + 1)
    steps = np.bincount(np.concatenate([(rows + begins).ravel(), rows[around]]), minlength=size)
    steps -= np.bincount((rows + np.where(around, ends - n_tokens, ends)).ravel(), minlength=size)
    times: NDArray[np.int64] = np.cumsum(steps.reshape(draws, n_windows, n_tokens + 1), axis=2)
    return times[:, :, :n_tokens].reshape(draws, -1)


def _length(n_tokens: int) -> int:
    """Of a block: never so long that a window has fewer than four."""
    return min(BLOCK_TOKENS, max(n_tokens // 4, 1))
