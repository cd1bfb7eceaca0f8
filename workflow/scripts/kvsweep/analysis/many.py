"""Many comparisons at once: p-values of Student's t, and the rate of false discoveries among them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


def p_values(t: ArrayLike, freedom: ArrayLike) -> Numbers:
    """P(|T| > t) of Student's t with these degrees of freedom, which may be infinite; NaN where either is NaN.

    I_x(df/2, 1/2) with x = df/(df + t^2) (Abramowitz and Stegun, 26.5.27 and 26.7.1).
    """
    t, freedom = np.broadcast_arrays(np.abs(np.asarray(t, float)), np.asarray(freedom, float))
    found = np.array([math.erfc(one / math.sqrt(2)) for one in np.where(np.isnan(t), 0, t).ravel()])
    found = found.reshape(t.shape)
    finite = np.isfinite(freedom) & np.isfinite(t)
    df, of = freedom[finite], t[finite]
    found[finite] = _incomplete_beta(df / 2, np.full(df.shape, 0.5), df / (df + of * of))
    found[np.isnan(t) | np.isnan(freedom)] = np.nan
    return found


def _incomplete_beta(a: Numbers, b: Numbers, x: Numbers) -> Numbers:
    """I_x(a, b), as in ``statistics.regularized_incomplete_beta``, for many at once."""
    swap: NDArray[np.bool_] = x > (a + 1) / (a + b + 2)
    a, b, x = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1 - x, x)
    lgamma = np.vectorize(math.lgamma, otypes=[float])
    with np.errstate(divide="ignore"):
        ln_front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * np.log(x) + b * np.log1p(-x) - np.log(a)
    tiny = 1e-300

    def away_from_zero(value: Numbers) -> Numbers:
        return np.where(np.abs(value) > tiny, value, tiny)

    ratio, inverse = np.ones_like(x), 1 / away_from_zero(1 - (a + b) * x / (a + 1))
    fraction = inverse.copy()
    for m in range(1, 500):
        for coefficient in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            inverse = 1 / away_from_zero(1 + coefficient * inverse)
            ratio = away_from_zero(1 + coefficient / ratio)
            fraction *= inverse * ratio
        if x.size == 0 or np.abs(inverse * ratio - 1).max() < 1e-14:
            break
    found: Numbers = np.exp(ln_front) * fraction
    return np.where(swap, 1 - found, found)


def q_values(p: ArrayLike) -> Numbers:
    """Each p-value's q: the smallest rate of false discoveries at which it is one of those shown. NaN stays NaN.

    Y. Benjamini and Y. Hochberg, Journal of the Royal Statistical Society B 57 (1995) 289-300.
    """
    p = np.asarray(p, float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    found = np.full(p.shape, np.nan)
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return found
