"""Values of table rows with what is known of their errors, and how two of them differ.

A measured speed has one value for each round, because repetitions in one process say nothing of what changes between
processes; whatever is made of several speeds is made in each round that has them all, and its interval is Student's t
over these rounds. One round has no interval. A measured quality has the error that the engine printed or the larger one
from the windows; of a published number the rounding of its digits is known, half a unit of the last one; of some values
(the tail of the KL divergence) nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import NormalDist, fmean, variance
from typing import Any, NamedTuple

from kvsweep.statistics import larger, mean_stderr, student_t_quantile
from kvsweep.tables.published import rounding_of

Row = Mapping[str, Any]

OVER_ROUNDS = "95 % interval over rounds"
SCORED = "95 % interval from the standard errors, tokens taken as independent"
BY_WINDOW = "95 % interval, paired by window"
ROUNDED = "rounding of the published digits"
EXACT = "exact"

_NORMAL = math.inf  # degrees of freedom of an error that is known well


class Value(NamedTuple):
    """``stderr`` with its degrees of freedom, or ``bound``: the value is off by no more. Both in its unit.

    A measured speed has neither but ``rounds``: its value in each round, of which ``value`` is the geometric mean.
    """

    value: float
    stderr: float | None = None
    freedom: float = _NORMAL
    bound: float | None = None
    kind: str | None = None
    rounds: Mapping[int, float] | None = None

    @property
    def spread(self) -> float | None:
        """A standard deviation for sums of errors of either sort: of a bound that of a uniform distribution."""
        return self.stderr if self.bound is None else self.bound / math.sqrt(3)


class Gap(NamedTuple):
    """a against b: difference in their unit, ratio a/b, and the ends of both; None where no error is known."""

    difference: float
    difference_low: float | None = None
    difference_high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    interval: str | None = None


def speed_of(row: Row) -> Value:
    """Tokens/s of a cell: a row of ``speed.over_rounds`` or of the table ``speed``, or a published one."""
    if row["rounds"]:
        seconds = dict(zip(row["rounds"], row["seconds_per_token"], strict=True))
        return of_rounds({round_: 1 / value for round_, value in seconds.items()})
    return _printed(row, "tokens_per_second")


def seconds_per_token(row: Row) -> Value:
    rate = speed_of(row)
    if rate.rounds is not None:
        return of_rounds({round_: 1 / value for round_, value in rate.rounds.items()})
    bound = None if rate.bound is None else rate.bound / rate.value**2
    return Value(1 / rate.value, bound=bound, kind=rate.kind)


def of_rounds(values: Mapping[int, float]) -> Value:
    """A quantity from its value in each round, all above 0."""
    mean = math.exp(fmean(map(math.log, values.values())))
    return Value(mean, kind=OVER_ROUNDS, rounds=values)


def on_common_rounds(*values: Value) -> tuple[Value, ...] | None:
    """The values in the rounds that all have, for what is compared is compared within rounds; None without one.

    Values without rounds stay as they are.
    """
    with_rounds = [value.rounds for value in values if value.rounds is not None]
    common = set.intersection(*map(set, with_rounds)) if with_rounds else set()
    if with_rounds and not common:
        return None
    return tuple(
        value
        if value.rounds is None
        else of_rounds({round_: value.rounds[round_] for round_ in sorted(common)})
        for value in values
    )


_STDERRS = {
    "ppl": ("ppl_stderr",),
    "kld_mean": ("kld_mean_stderr", "kld_window_stderr"),
    "top1_agreement": ("top1_agreement_stderr",),
    "kld_p999": (),
}


def quality_of(row: Row, column: str) -> Value | None:
    """A value of a quality row; None where the row has none."""
    if row[column] is None:
        return None
    stderr = larger(*(row[name] for name in _STDERRS[column]))
    if stderr is not None:
        return Value(row[column], stderr, _NORMAL, None, SCORED)
    return _printed(row, column)


def _printed(row: Row, column: str) -> Value:
    bound = rounding_of(row, column)
    return Value(row[column], bound=bound, kind=None if bound is None else ROUNDED)


def half_width(terms: Iterable[tuple[float, Value]]) -> tuple[float | None, str | None]:
    """Half of the 95 % interval of a sum of weighted values, and what it is made of; None where an error is unknown.

    Values with rounds are summed in each round that has them all: what a round does to all of them cancels in a
    difference. That and standard errors add up in quadrature, with t for the Welch-Satterthwaite degrees of freedom;
    bounds just add up.
    """
    errors: list[tuple[float, float]] = []  # standard error, degrees of freedom
    bounds = 0.0
    rounds: list[tuple[float, Mapping[int, float]]] = []
    kinds: dict[str, None] = {}
    for weight, value in terms:
        if weight == 0:
            continue
        if value.kind is None:
            return None, None
        kinds[value.kind] = None
        if value.rounds is not None:
            rounds.append((weight, value.rounds))
        elif value.bound is not None:
            bounds += abs(weight) * value.bound
        else:
            errors.append((weight * (value.stderr or 0.0), value.freedom))
    if rounds:
        common = set.intersection(*(set(values) for _, values in rounds))
        stderr = mean_stderr([math.fsum(weight * values[r] for weight, values in rounds) for r in common])
        if stderr is None:
            return None, None
        errors.append((stderr, len(common) - 1))
    total = math.fsum(error**2 for error, _ in errors)
    # A sum of squares so small that its square vanishes is none.
    ratio = math.fsum(error**4 / freedom for error, freedom in errors)
    half = (
        t_quantile(total * total / ratio if ratio > 0 else _NORMAL) * math.sqrt(total) if total > 0 else 0.0
    )
    return half + bounds, " and ".join(kinds) or EXACT


_NODES = 4096


@cache
def _t_at(node: int) -> float:
    return student_t_quantile(0.975, _NODES / node) if node else NormalDist().inv_cdf(0.975)


def t_quantile(freedom: float) -> float:
    """The t for a 95 % interval, to six digits: on a line between equidistant 1/freedom, as many are asked for."""
    if freedom < 1:
        return student_t_quantile(0.975, freedom)
    node, part = divmod(_NODES / freedom, 1.0)
    low = _t_at(int(node))
    return low + part * (_t_at(int(node) + 1) - low) if part else low


def gap(a: Value, b: Value) -> Gap:
    """a against b: within rounds where both have them, else with errors that are independent of each other.

    The ratio's interval is that of its logarithm: over rounds Student's of the rounds' logarithms, else with a variance
    that is the sum of the relative ones to first order.
    """
    half, kind = half_width([(1, a), (-1, b)])
    difference = a.value - b.value
    found = Gap(difference, interval=kind)
    if half is not None:
        found = found._replace(difference_low=difference - half, difference_high=difference + half)
    if b.value == 0:
        return found
    ratio = a.value / b.value
    found = found._replace(ratio=ratio)
    if half is None or a.value <= 0 or b.value <= 0:
        return found
    in_log, _ = half_width([_in_log(1, a), _in_log(-1, b)])
    assert in_log is not None
    # Beyond this the relative errors are so large that the ratio says nothing.
    if in_log > 20:
        return found
    return found._replace(ratio_low=ratio * math.exp(-in_log), ratio_high=ratio * math.exp(in_log))


def _in_log(sign: float, value: Value) -> tuple[float, Value]:
    """The logarithm of a value, as a term of ``half_width``."""
    if value.rounds is None:
        return sign / value.value, value
    logs = {round_: math.log(one) for round_, one in value.rounds.items()}
    return sign, value._replace(value=math.log(value.value), rounds=logs)


def gap_by_window(a: Row, b: Row) -> Gap | None:
    """How the mean KL divergences of two rows differ, from the windows that both scored; None if unknown.

    Both pairs were run on the same text, so that what makes a window hard for both cancels: the interval is Student's
    of the windows' differences. That of the ratio r is Student's of a - r b over the mean of b (W. G. Cochran, Sampling
    Techniques, 3rd edition, section 6.3).
    """
    windows_a: Sequence[float] | None = a["kld_windows"]
    windows_b: Sequence[float] | None = b["kld_windows"]
    if windows_a is None or windows_b is None or len(windows_a) != len(windows_b) or len(windows_a) < 2:
        return None
    n = len(windows_a)
    t = t_quantile(n - 1)
    difference = a["kld_mean"] - b["kld_mean"]
    half = t * math.sqrt(variance([x - y for x, y in zip(windows_a, windows_b, strict=True)]) / n)
    found = Gap(difference, difference - half, difference + half, interval=BY_WINDOW)
    mean_b = fmean(windows_b)
    if not b["kld_mean"] > 0 or not mean_b > 0:
        return found
    ratio = a["kld_mean"] / b["kld_mean"]
    residuals = [x - ratio * y for x, y in zip(windows_a, windows_b, strict=True)]
    half = t * math.sqrt(variance(residuals) / n) / mean_b
    return found._replace(ratio=ratio, ratio_low=max(ratio - half, 0.0), ratio_high=ratio + half)
