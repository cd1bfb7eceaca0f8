"""Values of table rows with what is known of their errors (``estimates``).

Window values come from printed running means; every printed value may be off by half a unit of its last digit. Of a
published number only that bound is known; of some values (the tail of the KL divergence) nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvsweep.analysis.estimates import BY_TOKEN, BY_WINDOW, ROUNDED, Value, exactly, of_rounds
from kvsweep.statistics import larger
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.published import rounding_of
from kvsweep.tables.row import Row, Why, pair_of, problem_with


def speed_of(row: Row) -> Value:
    """Tokens/s of a cell: a row of ``speed.over_rounds`` or of the table ``speed``, or a published one."""
    if row["rounds"]:
        seconds = zip(row["rounds"], row["seconds_per_token"], strict=True)
        return of_rounds({round_: 1 / value for round_, value in seconds})
    return _printed(row, "tokens_per_second")


def seconds_per_token(row: Row) -> Value:
    """The reciprocal of ``speed_of``, taken in every round; the bound of a printed rate by the derivative of 1/x."""
    if row["rounds"]:
        return of_rounds(dict(zip(row["rounds"], row["seconds_per_token"], strict=True)))
    rate = speed_of(row)
    return Value(1 / rate.value, bound=rate.bound / rate.value**2, kind=rate.kind)


# What the columns of a value's windows begin with, where it is not its own name.
_WINDOWS = {"kld_mean": "kld", "top1_agreement": "top1"}


def quality_of(row: Row, column: str) -> Value | None:
    """A value of a quality row; None where the row has none."""
    value, own = row[column], _WINDOWS.get(column, column)
    if value is None:
        return None
    stderr, windows = row.get(f"{column}_stderr"), row.get(f"{own}_windows")
    if rounding_of(row, column) is not None or (stderr is None and not _many(windows)):
        return _printed(row, column)
    if windows is not None and len(windows) == 1:
        return Value(value)  # what sets it apart from others is not seen in it
    by_window, tokens = None, None
    if _many(windows):
        by_window = np.asarray(windows, dtype=float)
        if column == "top1_agreement":
            tokens = int(row["window_tokens"])
            by_window = by_window / tokens
    else:  # older slices have the spread between windows, but not the windows
        stderr = larger(stderr, row.get(f"{own}_window_stderr"))
    # llama-perplexity prints six decimals, a share in percent with three.
    half_digit = 5e-6 if column == "top1_agreement" else 5e-7
    return Value(
        value,
        stderr,
        0.0 if row.get("method") == "scorer" else half_digit,
        BY_TOKEN if stderr is not None else BY_WINDOW,
        windows=by_window,
        rounding=row.get(f"{own}_window_rounding") or 0.0,
        tokens=tokens,
        positive=column == "kld_mean",
    )


def kld_of(row: Row) -> Value | None:
    """The mean KL divergence of a row; None where it does not count as its pair.

    0 of f16/f16 where nobody measured it or its control failed, as it is the reference; of an engine that is compared
    with another engine's f16 it is not.
    """
    problem = problem_with(row)
    if problem is None and (value := quality_of(row, "kld_mean")) is not None:
        return value
    is_reference = pair_of(row) == BASELINE_PAIR and row.get("reference") in (None, row["engine"])
    unknown = problem is None or problem.why == Why.NOT_MEASURED
    return exactly(0.0) if is_reference and unknown else None


def _many(windows: Sequence[float] | None) -> bool:
    return windows is not None and len(windows) >= 2


def _printed(row: Row, column: str) -> Value:
    bound = rounding_of(row, column)
    return Value(row[column]) if bound is None else Value(row[column], 0.0, bound, ROUNDED)
