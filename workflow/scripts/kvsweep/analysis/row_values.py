"""Values of table rows with what is known of their errors (``estimates``).

Window values come from printed running means; every printed value may be off by half a unit of its last digit. Of a
published number only that bound is known; of some values (the tail of the KL divergence) nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kvsweep.analysis.estimates import BY_TOKEN, BY_WINDOW, ROUNDED, Value, exactly, of_rounds
from kvsweep.statistics import larger
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.published import rounding_of
from kvsweep.tables.row import Row, Why, pair_of, problem_with


def speed_of(row: Row) -> Value:
    """Tokens/s of a cell: a row of ``speed.over_rounds`` or of the table ``speed``, or a published one."""
    if row["rounds"]:
        seconds = dict(zip(row["rounds"], row["seconds_per_token"], strict=True))
        return of_rounds({round_: 1 / value for round_, value in seconds.items()})
    return _printed(row, "tokens_per_second")


def seconds_per_token(row: Row) -> Value:
    """The reciprocal of ``speed_of``, taken in every round; the bound of a printed rate by the derivative of 1/x."""
    if row["rounds"]:
        return of_rounds(dict(zip(row["rounds"], row["seconds_per_token"], strict=True)))
    rate = speed_of(row)
    return Value(1 / rate.value, bound=rate.bound / rate.value**2, kind=rate.kind)


class _Printed(NamedTuple):
    """What else stands in a row of a quality value: its standard error, its windows, and half its last digit."""

    stderr: str | None
    windows: str | None
    rounding: str | None
    half_digit: float


# llama-perplexity prints six decimals, a share in percent with three.
_PRINTED = {
    "ppl": _Printed("ppl_stderr", None, None, 5e-7),
    "ln_ppl_ratio": _Printed(
        "ln_ppl_ratio_stderr", "ln_ppl_ratio_windows", "ln_ppl_ratio_window_rounding", 5e-7
    ),
    "kld_mean": _Printed("kld_mean_stderr", "kld_windows", "kld_window_rounding", 5e-7),
    "top1_agreement": _Printed("top1_agreement_stderr", "top1_windows", None, 5e-6),
    "kld_p999": _Printed(None, None, None, 5e-7),
}


def quality_of(row: Row, column: str) -> Value | None:
    """A value of a quality row; None where the row has none."""
    value, printed = row[column], _PRINTED[column]
    if value is None:
        return None
    stderr = row.get(printed.stderr) if printed.stderr else None
    windows = row.get(printed.windows) if printed.windows else None
    if rounding_of(row, column) is not None or (stderr is None and not _many(windows)):
        return _printed(row, column)
    if windows is not None and len(windows) == 1:
        return Value(value)  # what sets it apart from others is not seen in it
    rounding, tokens = row.get(printed.rounding) if printed.rounding else None, None
    by_window = np.asarray(windows, dtype=float) if _many(windows) else None
    if by_window is None and printed.rounding:
        # Older slices have the spread between windows, but not the windows.
        stderr = larger(stderr, row.get(printed.rounding.replace("_rounding", "_stderr")))
    if by_window is not None and column == "top1_agreement":
        by_window = by_window / row["window_tokens"]
        tokens = int(row["window_tokens"])
    return Value(
        value,
        stderr,
        0.0 if row.get("method") == "scorer" else printed.half_digit,
        BY_TOKEN if stderr is not None else BY_WINDOW,
        None,
        by_window,
        rounding or 0.0,
        tokens,
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
