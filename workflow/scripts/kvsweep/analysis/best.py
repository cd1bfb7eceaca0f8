"""Which pairs are not told from the best, and what would tell them.

A pair is out if another one is told to be quicker: J. C. Hsu's comparison with the best (Annals of Statistics 9 (1981)
1026-1034), here with Bonferroni's share of the error for each of the others and within rounds. What stays in holds the
best pair with 95 %. Where the error from run to run is not known nothing is out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from kvsweep.analysis.curves import Duration
from kvsweep.analysis.estimates import OVER_ROUNDS, Value, error_of
from kvsweep.analysis.gaps import gap, in_log
from kvsweep.numbers import format_between
from kvsweep.statistics import student_t_quantile
from kvsweep.units import format_duration, plural

_T = TypeVar("_T")
MOST_ROUNDS = 10  # beyond which a difference is not worth the night


def told_quicker(a: Duration, b: Duration, others: int) -> bool:
    """Whether ``a`` takes less time than ``b`` by more than the error. The error allows for ``others`` comparisons."""
    error = error_of([*a.terms, *((-weight, value) for weight, value in b.terms)])
    if error is None or not is_over_rounds(a) or not is_over_rounds(b):
        return False
    if not error.stderr:
        return b.seconds - a.seconds > error.bound
    return b.seconds - a.seconds > _t(others, error.freedom) * error.stderr + error.bound


def _t(others: int, freedom: float) -> float:
    return student_t_quantile(1 - 0.05 / max(others, 1), freedom)


def is_over_rounds(duration: Duration) -> bool:
    """Whether the error of the request from run to run is known."""
    return (duration.rounds or 0) > 1


def not_told_from_best(requests: Sequence[Duration]) -> list[bool]:
    """For each of ``requests``, from quick to slow: whether no other request is told to be quicker."""
    return _not_told(requests, partial(told_quicker, others=len(requests) - 1))


def not_told_from_least(divergences: Sequence[Value | None]) -> list[bool]:
    """For each KL divergence, from low to high: whether no other is told to be lower. One that is not known stays."""
    others = len(divergences) - 1

    def told_lower(low: Value | None, high: Value | None) -> bool:
        apart = None if low is None or high is None else gap(high, low)
        if apart is None or apart.t is None or apart.freedom is None or apart.difference <= 0:
            return False
        return apart.t > _t(others, apart.freedom)

    return _not_told(divergences, told_lower)


def _not_told(ordered: Sequence[_T], told_better: Callable[[_T, _T], bool]) -> list[bool]:
    """For each, from the best to the worst: whether none before it is told to be better."""
    return [
        not any(told_better(one, other) for one in ordered[:place]) for place, other in enumerate(ordered)
    ]


def what_decides(requests: Sequence[Duration], others: int, seconds_of_round: float | None) -> str:
    """What would tell the quickest of these from all the others, and how long that takes.

    ``requests``: those not told apart, from quick to slow; ``others``: among how many comparisons, as in
    ``told_quicker``; ``seconds_of_round``: what one round of the set-up takes.
    """
    known = [request for request in requests if request.rounds is not None]
    if len(known) < len(requests):
        return "repetitions over several runs, which were not published"
    rounds = min(request.rounds or 0 for request in known)
    best = requests[0]
    gaps = [(slow.seconds - best.seconds, error_of((slow - best).terms)) for slow in requests[1:]]
    least = min(seconds for seconds, _ in gaps)
    if rounds > 1 and not least:
        return "no number of rounds: what was measured took equally long"
    if rounds < 2 or any(error is None for _, error in gaps):
        return f"two more rounds{_time(2, seconds_of_round)}"
    for n in range(rounds + 1, MOST_ROUNDS + 1):
        shrinks = _t(others, n - 1) * math.sqrt(rounds / n)
        if all(error and error.stderr * shrinks + error.bound < seconds for seconds, error in gaps):
            more = n - rounds
            return f"about {plural(more, 'more round')}{_time(more, seconds_of_round)}"
    half = next(error.half for seconds, error in gaps if error and seconds == least)
    of_best = 100 / best.seconds
    share = format_between(of_best * least, of_best * (least - half), of_best * (least + half), 2)
    time = _time(MOST_ROUNDS, seconds_of_round)
    return f"more than {MOST_ROUNDS} rounds{time}, for a difference of about {share} %"


def _time(rounds: int, seconds: float | None) -> str:
    return "" if not seconds else f", about {format_duration(rounds * seconds)}"


def request_over_rounds(request: Duration) -> Mapping[int, float]:
    """The time of a request in each round that has all of it, in seconds."""
    terms = [(weight, value.rounds) for weight, value in request.terms if value.rounds is not None]
    common = set.intersection(*(set(values) for _, values in terms)) if terms else set()
    return {r: math.fsum(weight * values[r] for weight, values in terms) for r in sorted(common)}


def interval_of(request: Duration) -> tuple[float, float] | tuple[None, None]:
    """Ends of the 95 % interval of a time, in seconds; None where no error is known.

    Over rounds it is that of the logarithm, as of a speed: with few rounds another one would begin below 0.
    """
    seconds, value = request.seconds, summed(request).terms[0][1]
    in_logs = error_of([in_log(1.0, value)]) if is_over_rounds(request) else None
    if in_logs is not None:
        return seconds * math.exp(-in_logs.half), seconds * math.exp(in_logs.half)
    half = request.half
    return (None, None) if half is None else (max(seconds - half, 0.0), seconds + half)


def summed(request: Duration) -> Duration:
    """The same duration as one term, where all its terms have rounds: that is quicker to compare many times."""
    if any(value.rounds is None for _, value in request.terms):
        return request
    rounds = request_over_rounds(request)
    return Duration(request.seconds, ((1.0, Value(request.seconds, kind=OVER_ROUNDS, rounds=rounds)),))
