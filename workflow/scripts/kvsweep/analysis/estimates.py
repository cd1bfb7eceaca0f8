"""Values with what is known of their errors: the one error model (``row_values`` makes them of table rows, ``gaps``
compares two of them).

A measured speed has one value for each round, because repetitions in one process say nothing of what changes between
processes; whatever is made of several speeds is made in each round that has them all, and its interval is Student's t
over these rounds. One round has no interval.

A measured quality has one value for each window of the text. Windows share no context, tokens of one window do: what is
made of several qualities is made in each window, and its interval is Student's t over the windows. Window values come
from printed running means; the variance that their rounding adds is known and subtracted. Where it is more than half
of all, the first windows tell it, whose values it adds less to. Where it is too much in these, too, it is not
subtracted: then the interval holds the truth in more than 95 %. Every printed value may be off by half a unit of its
last digit; these bounds add up and are part of the interval.

No spread is no certainty. Shares have at least the error of as many independent tokens. Divergences that differ from
each other by the same in every window have the error that takes tokens as independent, speeds that do so in every round
have none that is known. What is equal in every window, and nothing else, is the same computation.

Of a published number only that bound is known; of some values (the tail of the KL divergence, a single window) nothing
is. Tables without windows, which older versions made, have errors that take tokens as independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvsweep.statistics import mean_stderr, student_t_quantile
from kvsweep.tables.skewed import ends_of_skewed, is_rounded_off

OVER_ROUNDS = "95 % interval over rounds"
BY_WINDOW = "95 % interval over windows"
BY_TOKEN = "95 % interval, tokens taken as independent"
ROUNDED = "rounding of the published digits"
EXACT = "exact"

MOST_ROUNDING = 0.5  # part of the variance between windows that rounding may be, for it to be subtracted
SAME = 1e-9  # what rounds or windows differ by less than, as a fraction, was not measured: the same number came twice
SKEWED = 0.25  # standard deviation of windows by their mean: texts of real models have up to 0.14
FIRST = 4  # windows, where rounding is not subtracted: of more, t falls by less than what rounding adds grows


class Value(NamedTuple):
    """A number, and what is known of its error, in its unit.

    ``rounds``: its value in each round, of which ``value`` is the geometric mean. ``windows``: its value in each
    window; ``rounding`` is the standard error that the rounding of the running means alone gives their mean.
    ``tokens``: how many a window has, of a share of tokens. ``positive``: it is not negative, and windows are skewed.
    ``stderr``: a standard error that knows of neither. ``bound``: it is off by no more, beside that. ``kind``: what the
    error is made of where there are no windows; None where no error is known.
    """

    value: float
    stderr: float | None = None
    bound: float = 0.0
    kind: str | None = None
    rounds: Mapping[int, float] | None = None
    windows: NDArray[np.float64] | None = None
    rounding: float = 0.0
    tokens: int | None = None
    positive: bool = False

    @property
    def half(self) -> float | None:
        """Half of its 95 % interval; None where none is known: that printed digits are rounded makes none."""
        return None if self.kind == ROUNDED else half_width([(1, self)])[0]


def exactly(value: float) -> Value:
    return Value(value, 0.0, kind=EXACT)


class Error(NamedTuple):
    """The error of a sum: a standard error with its degrees of freedom, a bound beside it, and what they are made
    of."""

    stderr: float
    freedom: float
    bound: float
    kind: str

    @property
    def half(self) -> float:
        """Half of the 95 % interval."""
        return t_quantile(self.freedom) * self.stderr + self.bound if self.stderr else self.bound

    @property
    def spread(self) -> float:
        """A standard deviation: of a bound that of a uniform distribution."""
        return math.hypot(self.stderr, self.bound / math.sqrt(3))

    def t(self, value: float) -> float:
        """How many standard errors the value is from 0, beyond the bound."""
        beyond = max(abs(value) - self.bound, 0.0)
        return beyond / self.stderr if self.stderr else (math.inf if beyond else 0.0)


def of_rounds(values: Mapping[int, float]) -> Value:
    """A quantity from its value in each round, all above 0."""
    mean = math.exp(fmean(map(math.log, values.values())))
    return Value(mean, kind=OVER_ROUNDS, rounds=values)


def on_common_rounds(*values: Value) -> tuple[Value, ...] | None:
    """The values in those rounds that all of them have, to be compared round by round; None if they share no round.

    Values without rounds stay as they are.
    """
    with_rounds = [value.rounds for value in values if value.rounds is not None]
    common = set.intersection(*map(set, with_rounds)) if with_rounds else set()
    if with_rounds and not common:
        return None
    if all(rounds.keys() == common for rounds in with_rounds):
        return values
    return tuple(
        value
        if value.rounds is None
        else of_rounds({round_: value.rounds[round_] for round_ in sorted(common)})
        for value in values
    )


def error_of(terms: Iterable[tuple[float, Value]]) -> Error | None:
    """The error of a sum of weighted values; None where one of theirs is unknown.

    Values with rounds are summed in each round that has them all, values with windows in each window: what a round or a
    window does to all of them cancels in a difference. That and other standard errors add up in quadrature, with the
    Welch-Satterthwaite degrees of freedom; bounds just add up.
    """
    terms = [(weight, value) for weight, value in terms if weight and value.kind != EXACT]
    if any(value.kind is None for _, value in terms):
        return None
    kinds: dict[str, None] = {}
    errors: list[tuple[float, float]] = []  # standard error, degrees of freedom
    rounds = [(weight, value.rounds) for weight, value in terms if value.rounds is not None]
    if rounds:
        common = set.intersection(*(set(values) for _, values in rounds))
        stderr = mean_stderr([math.fsum(weight * values[r] for weight, values in rounds) for r in common])
        size = math.fsum(abs(weight * value.value) for weight, value in terms if value.rounds is not None)
        if stderr is None or stderr <= SAME * size:
            return None
        errors.append((stderr, len(common) - 1))
        kinds[OVER_ROUNDS] = None
    windowed: dict[int, list[tuple[float, Value]]] = {}  # cells of as many windows read the same ones
    for weight, value in terms:
        if value.windows is not None:
            windowed.setdefault(len(value.windows), []).append((weight, value))
    of_tokens = [(weight, value) for weight, value in terms if value.rounds is None and value.windows is None]
    for alike in windowed.values():
        if _differ_by_the_same(alike):
            if not any(value.stderr for _, value in alike):
                return None
            of_tokens += [(weight, value._replace(kind=BY_TOKEN)) for weight, value in alike]
        else:
            error = _at_least_of_tokens(alike, *_over_windows(alike))
            errors.append(_at_least_of_skewed(*terms[0], *error) if len(terms) == 1 else error)
            kinds[BY_WINDOW] = None
    for weight, value in of_tokens:
        if value.stderr is None:
            return None
        errors.append((weight * value.stderr, math.inf))
        kinds[str(value.kind)] = None
    total = math.fsum(error**2 for error, _ in errors)
    # A sum of squares so small that its square vanishes is none.
    ratio = math.fsum(error**4 / freedom for error, freedom in errors)
    return Error(
        math.sqrt(total),
        total * total / ratio if ratio > 0 else math.inf,
        math.fsum(abs(weight) * value.bound for weight, value in terms),
        " and ".join(kinds) or EXACT,
    )


def _over_windows(terms: Sequence[tuple[float, Value]]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of means over the same windows, two at least.

    The variance of the mean, s^2/n, less what rounding adds to it on average. The difference of a variance and a known
    one has Satterthwaite's degrees of freedom (n - 1) (1 - rounding's part)^2. What rounding adds to a window's value
    grows with its place in the text: where it is too much in all windows, as many of the first as it is not too much
    in tell what one window differs from another by. Where these leave less than one degree of freedom it is not
    subtracted from the variance of the FIRST, and values that were printed alike differ by as much as it hides: that is
    more than the windows' own variance.
    """
    windows = [value.windows for _, value in terms if value.windows is not None]
    n = len(windows[0])
    together = sum((weight * own for (weight, _), own in zip(terms, windows, strict=True)), np.zeros(n))
    offsets = together - together[0]  # exactly 0 where all are equal
    rounding = n * math.fsum((weight * value.rounding) ** 2 for weight, value in terms)
    centred = offsets - offsets.sum() / n
    variance = float(centred @ centred) / (n - 1)
    if rounding == 0:
        return math.sqrt(variance / n), n - 1
    if rounding <= MOST_ROUNDING * variance:
        found = _less_rounding(n, n, variance, rounding)
        if found is not None:
            return found
    numbers = np.arange(2, n + 1)
    variances = (np.cumsum(offsets**2) - np.cumsum(offsets) ** 2 / np.arange(1, n + 1))[1:] / (numbers - 1)
    # As ``statistics.window_stderr`` has it: of the first m windows it is in proportion to m (m + 1).
    roundings = rounding * numbers * (numbers + 1) / (n * (n + 1))
    enough = np.flatnonzero(roundings <= MOST_ROUNDING * variances)
    if len(enough):
        last = enough[-1]
        found = _less_rounding(n, numbers[last], variances[last], roundings[last])
        if found is not None:
            return found
    few = min(n, FIRST) - 2
    return math.sqrt(max(variances[few], roundings[few]) / n), few + 1.0


def _differ_by_the_same(terms: Sequence[tuple[float, Value]]) -> bool:
    """Whether a sum is the same in every window and not 0, although nothing was rounded and no tokens were counted."""
    if any(value.rounding or value.tokens for _, value in terms):
        return False
    weighted = np.array([weight * value.windows for weight, value in terms if value.windows is not None])
    together, dust = weighted.sum(axis=0), SAME * float(np.abs(weighted).max())
    return bool(np.ptp(together) <= dust < np.abs(together).max())


def _at_least_of_tokens(
    terms: Sequence[tuple[float, Value]], stderr: float, freedom: float
) -> tuple[float, float]:
    """The larger one of the windows' error and, of shares, that of as few tokens as can differ.

    Two shares that are d tokens apart differ in d tokens at least, which one of them has and the other has not: with
    half a token added to both kinds the standard error is that of A. Agresti and Y. Min (Statistics in Medicine 24
    (2005) 729-740, as ``statistics.paired_difference``). Of a single share d counts the tokens of the rarer kind.
    """
    shares = [(w, v.windows.sum(), len(v.windows)) for w, v in terms if v.tokens and v.windows is not None]
    if not shares:
        return stderr, freedom
    tokens = terms[0][1].tokens or 0
    n = tokens * shares[0][2]
    largest = max(abs(weight) for weight, _ in terms)
    have = abs(math.fsum(weight * own * tokens for weight, own, _ in shares)) / largest
    have_not = abs(math.fsum(weight * (windows - own) * tokens for weight, own, windows in shares)) / largest
    apart = min(have, have_not)
    least = largest * math.sqrt(max(apart + 1 - apart * apart / (n + 2), 1.0)) / (n + 2)
    enough = t_quantile(freedom) * stderr >= t_quantile(math.inf) * least
    return (stderr, freedom) if enough else (least, math.inf)


def _at_least_of_skewed(weight: float, value: Value, stderr: float, freedom: float) -> tuple[float, float]:
    """The windows' error; of a divergence by itself whose windows are SKEWED so much that Student's t reaches as far as
    the farther end of the interval of skewed values (``skewed``). Not where rounding, which is not skewed, adds
    much of the variance: there half a printed digit is a part of the interval, too."""
    if not value.positive or value.windows is None or value.value <= 0:
        return stderr, freedom
    n, own = len(value.windows), stderr / abs(weight)
    if is_rounded_off(value.rounding, own) or own * math.sqrt(n) <= SKEWED * value.value:
        return stderr, freedom
    ends = ends_of_skewed(value.windows, own)
    reach = max(ends.high - value.value, value.value - ends.low)
    return max(stderr, abs(weight) * reach / t_quantile(freedom)), freedom


def _less_rounding(n: int, used: float, variance: float, rounding: float) -> tuple[float, float] | None:
    """Standard error of the mean of ``n`` windows and degrees of freedom, by ``used``; None below one degree."""
    freedom = float(used - 1) * (1 - rounding / variance) ** 2
    return None if freedom < 1 else (math.sqrt((variance - rounding) / n), freedom)


def half_width(terms: Iterable[tuple[float, Value]]) -> tuple[float | None, str | None]:
    """Half of the 95 % interval of a sum of weighted values, and what it is made of; None where an error is unknown."""
    error = error_of(terms)
    return (None, None) if error is None else (error.half, error.kind)


def ends_of_kld(value: Value | None) -> dict[str, float | None]:
    """The columns of the interval of a divergence, which is not negative; null where none is known."""
    half = None if value is None else value.half
    if value is None or half is None:
        return {"kld_mean_low": None, "kld_mean_high": None}
    # Printed rounded, and of 16 bits, f16's own may be a little below 0.
    return {
        "kld_mean_low": max(value.value - half, min(value.value, 0.0)),
        "kld_mean_high": value.value + half,
    }


def t_quantile(freedom: float) -> float:
    """The t for a 95 % interval."""
    return student_t_quantile(0.975, freedom)
