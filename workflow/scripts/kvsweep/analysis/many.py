"""Many comparisons at once: p-values of Student's t, and the rate of false discoveries among them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

Numbers = NDArray[np.float64]

FALSE_DISCOVERIES = 0.05  # the rate of them among what is told of one set-up and quantity


def p_values(t: ArrayLike, freedom: ArrayLike) -> Numbers:
    """P(|T| > t) of Student's t with these degrees of freedom, which may be infinite; NaN where either is NaN."""
    found: Numbers = 2 * special.stdtr(freedom, -np.abs(np.asarray(t, float)))
    return found


def with_q_values(found: pd.DataFrame, *family: str) -> pd.DataFrame:
    """With ``p_value`` of the columns ``t`` and ``freedom``, and ``q_value`` among the rows alike in ``family``."""
    found = found.assign(p_value=p_values(found.t.astype(float), found.freedom.astype(float)))
    found["q_value"] = found.groupby(list(family), dropna=False, sort=False).p_value.transform(q_values)
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
