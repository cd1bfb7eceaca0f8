"""Speeds of many cells beside many others at once: what ``gaps.gap`` says of two, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from kvsweep.analysis.estimates import OVER_ROUNDS, ROUNDED, SAME
from kvsweep.analysis.frames import either
from kvsweep.analysis.gaps import MOST_LOG
from kvsweep.tables.published import rounding_of
from kvsweep.tables.row import Row

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rates:
    """Tokens/s: a row a cell, a column a round, NaN where a cell lacks it.

    A published rate stands in the first column. ``bounds``: by how much it may be off, infinite where that is not
    known; NaN of measured ones.
    """

    rounds: Sequence[int]
    in_rounds: Reals
    bounds: Reals

    def __getitem__(self, cells: NDArray[np.intp] | slice) -> Rates:
        return Rates(self.rounds, self.in_rounds[cells], self.bounds[cells])

    @property
    def is_measured(self) -> Flags:
        found: Flags = np.isnan(self.bounds)
        return found

    def means(self, where: Flags | None = None) -> Reals:
        """Geometric means over the rounds ``where`` it says, else over all; NaN without any."""
        where = ~np.isnan(self.in_rounds) if where is None else where
        with np.errstate(invalid="ignore"):
            logs = np.log(np.where(where, self.in_rounds, 1.0)).sum(axis=1) / where.sum(axis=1)
        # A published rate is one number: the exponential of its logarithm is another one in the last digit.
        return np.where(self.is_measured | np.isnan(logs), np.exp(logs), self.in_rounds[:, 0])


def rates_of(cells: Sequence[Row]) -> Rates:
    """Rows of ``speed.over_rounds`` or of the table ``speed``."""
    rounds = sorted({one for row in cells for one in row["rounds"] or ()}) or [1]
    column = {one: at for at, one in enumerate(rounds)}
    found = Rates(rounds, np.full((len(cells), len(rounds)), np.nan), np.full(len(cells), np.nan))
    for at, row in enumerate(cells):
        if row["rounds"]:
            for one, seconds in zip(row["rounds"], row["seconds_per_token"], strict=True):
                found.in_rounds[at, column[one]] = 1 / seconds
        elif row["tokens_per_second"] is not None:
            bound = rounding_of(row, "tokens_per_second")
            found.in_rounds[at, 0] = row["tokens_per_second"]
            found.bounds[at] = np.inf if bound is None else bound
    return found


def in_both(a: Rates, b: Rates) -> Flags:
    """The rounds that a cell of ``a`` and that of ``b`` have."""
    return ~(np.isnan(a.in_rounds) | np.isnan(b.in_rounds))


def gaps_of(a: Rates, b: Rates) -> pd.DataFrame:
    """Each cell of ``a`` against that of ``b`` in its place, of the same source: the fields of ``Gap``, both values,
    and ``n``, in how many rounds both were measured: 0 of published ones. NaN where they share no round.
    """
    both = in_both(a, b)
    n = both.sum(axis=1)
    ours, theirs = (np.where(both, side.in_rounds, 1.0) for side in (a, b))
    value_a, value_b = a.means(both), b.means(both)
    difference, ratio = value_a - value_b, value_a / value_b
    stderr = _stderr(ours - theirs, both)
    log_stderr = _stderr(np.log(ours) - np.log(theirs), both)
    over_rounds = (stderr > SAME * (value_a + value_b)) & (
        log_stderr > SAME * (np.abs(np.log(value_a)) + np.abs(np.log(value_b)))
    )
    bound = a.bounds + b.bounds
    printed = np.isfinite(bound) & (n > 0)
    known = over_rounds | printed
    freedom = np.where(printed, np.inf, n - 1.0)
    quantile = stdtrit(n - 1.0, 0.975)
    half = np.where(printed, bound, quantile * stderr)
    log_half = np.where(printed, a.bounds / value_a + b.bounds / value_b, quantile * log_stderr)
    log_half = np.where(known & (log_half <= MOST_LOG), log_half, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(
            printed, np.where(np.abs(difference) > bound, np.inf, 0.0), np.abs(np.log(ratio)) / log_stderr
        )
    found = {
        "value_a": value_a,
        "value_b": value_b,
        "difference": difference,
        "difference_low": np.where(known, difference - half, np.nan),
        "difference_high": np.where(known, difference + half, np.nan),
        "ratio": ratio,
        "ratio_low": ratio * np.exp(-log_half),
        "ratio_high": ratio * np.exp(log_half),
        "interval": either(None, {ROUNDED: printed, OVER_ROUNDS: over_rounds}),
        "t": np.where(known, t, np.nan),
        "freedom": np.where(known, freedom, np.nan),
        "n": np.where(a.is_measured, n, 0),
    }
    return pd.DataFrame(found)


def _stderr(values: Reals, where: Flags) -> Reals:
    """Standard errors of the means of rows, over the columns ``where`` it says; NaN below two."""
    n = where.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = values - np.where(where, values, 0.0).sum(axis=1, keepdims=True) / n[:, None]
        found: Reals = np.sqrt(np.where(where, apart**2, 0.0).sum(axis=1) / (n - 1) / n)
        return np.where(n > 1, found, np.nan)
