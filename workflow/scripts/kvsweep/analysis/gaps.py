"""One estimate against another: their difference and their ratio, each with its interval."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from kvsweep.analysis.estimates import Value, error_of

MOST_LOG = 20  # half of the interval of a ratio's logarithm: beyond this the ratio says nothing


class Gap(NamedTuple):
    """a against b: difference in their unit, ratio a/b, and the ends of both; None where no error is known.

    ``t``: how many standard errors the difference, or of speeds the logarithm of the ratio, is from 0.
    """

    difference: float
    difference_low: float | None = None
    difference_high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    interval: str | None = None
    t: float | None = None
    freedom: float | None = None

    @property
    def of_ratio(self) -> dict[str, Any]:
        """The ratio with its interval, as columns of a table."""
        return {name: getattr(self, name) for name in ("ratio", "ratio_low", "ratio_high", "interval")}


def gap(a: Value, b: Value) -> Gap:
    """a against b: within rounds or windows where both have them, else with errors that are independent of each other.

    The ratio's interval is that of its logarithm: over rounds Student's of the rounds' logarithms, else to first order.
    """
    difference = a.value - b.value
    error = error_of([(1, a), (-1, b)])
    found = Gap(difference, ratio=a.value / b.value if b.value else None)
    if error is None:
        return found
    found = found._replace(
        difference_low=difference - error.half,
        difference_high=difference + error.half,
        interval=error.kind,
        t=error.t(difference),
        freedom=error.freedom,
    )
    if found.ratio is None or a.value <= 0 or b.value <= 0:
        return found
    logs = error_of([in_log(1, a), in_log(-1, b)])
    if logs is not None and not logs.stderr and difference and a.windows is not None:
        # One is a multiple of the other in every window.
        logs = error_of(in_log(sign, value._replace(windows=None)) for sign, value in ((1, a), (-1, b)))
        logs = logs if logs is not None and logs.stderr else None
    if logs is None:
        return found if a.rounds is None else Gap(difference, ratio=found.ratio)
    if a.rounds is not None and b.rounds is not None:
        found = found._replace(t=logs.t(math.log(found.ratio)), freedom=logs.freedom)
    if logs.half > MOST_LOG:
        return found
    assert found.ratio is not None
    return found._replace(
        ratio_low=found.ratio * math.exp(-logs.half), ratio_high=found.ratio * math.exp(logs.half)
    )


def in_log(sign: float, value: Value) -> tuple[float, Value]:
    """The logarithm of a value, as a term of a sum."""
    if value.rounds is None:
        return sign / value.value, value
    logs = {round_: math.log(one) for round_, one in value.rounds.items()}
    return sign, value._replace(value=math.log(value.value), rounds=logs)
