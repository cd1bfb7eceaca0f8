"""Many comparisons at once: p-values of Student's t, and the rate of false discoveries among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Numbers = NDArray[np.float64]


def p_values(t: ArrayLike, freedom: ArrayLike) -> Numbers:
    """P(|T| > t) of Student's t with these degrees of freedom, which may be infinite; NaN where either is NaN."""
    found: Numbers = 2 * special.stdtr(freedom, -np.abs(np.asarray(t, float)))
    return found


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
