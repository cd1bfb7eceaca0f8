"""The parts of a statement: a number with its error, how it must stand to an expected one, and the verdict of that.

Two things make the tolerance; both follow from how a statement is worded and how a number was printed or measured,
never from the verdict:

- **margin**, what the statement itself leaves open. "About 12 times" is 12 rounded to its last digit: 12 -+ 0.5.
  "Matches", "closely" and "nearly" give no number; the study gives one in statement 9, where "nearly converged" is
  "within 2 %": CLOSE, in either direction. An order ("slower", "between", "ahead") has no margin.
- **error** of the number. Published: half a unit of the last digit of every number that goes in, added up, because
  repetitions were not published. Measured: the 95 % interval over rounds (speed), or over windows, window by window
  where two pairs are compared (quality). One round and one window have no interval: then nothing is decided.

An "about" fails beyond margin + error, and holds within if the error is not larger than the margin; an order holds or
fails beyond the error. Everything else is `no data`: a large error makes no statement hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from kvsweep.numbers import format_number
from kvsweep.tables.published import rounding

HOLDS, FAILS, NO_DATA = "holds", "fails", "no data"
AGREES = "agrees"

CLOSE = 0.02  # relative difference: the study's own "within 2 %", see above
UNKNOWN = "no error is known"


class Estimate(NamedTuple):
    """A number, its error in the same unit, and what the error is. An infinite error is one that is not known."""

    value: float
    error: float
    kind: str


@dataclass(frozen=True)
class Part:
    """One number of a statement, or one yes or no, with its own verdict."""

    name: str
    verdict: str
    estimate: Estimate | None = None
    relation: str | None = None
    expected: float | None = None
    margin: float = 0.0
    margin_reason: str = ""
    remark: str = ""

    @property
    def tolerance(self) -> float | None:
        """How far the estimate may lie from what is expected: margin and error added. None where it is not known."""
        if self.estimate is None or self.estimate.error == math.inf:
            return None
        return self.margin + self.estimate.error

    @property
    def says_something(self) -> bool:
        return self.estimate is not None or self.verdict != NO_DATA

    @property
    def strain(self) -> float:
        """Where several parts have one verdict, the most strained stands for the statement."""
        if self.estimate is None or self.expected is None or not self.tolerance:
            return 0.0
        return abs(self.estimate.value - self.expected) / self.tolerance if self.relation == "about" else 0.0

    def describe(self, unit: str) -> str:
        """The part in one line: what was found with its error, what was asked, and the verdict."""
        if self.estimate is None:
            return f"{self.name}: {self.remark or self.verdict}"
        value, error = in_unit(unit, self.estimate.value), "?"
        remark = f" ({self.remark})" if self.remark else ""
        if self.estimate.error == math.inf:
            remark = f" ({self.estimate.kind})"
        else:
            error = in_unit(unit, self.estimate.error)
        asked = f"{self.relation} {in_unit(unit, self.expected or 0.0)}"
        if self.margin:
            asked += f" ± {in_unit(unit, self.margin)}"
        if self.relation == "about" and self.verdict == FAILS:
            needed = abs(self.estimate.value - (self.expected or 0.0)) - self.estimate.error
            remark += f", would hold within {in_unit(unit, needed)}"
        verdict = "undecided" if self.verdict == NO_DATA else self.verdict
        if self.remark == AGREES:
            verdict, remark = "agrees", " (not one of the stated figures)"
        return f"{self.name}: {value} ± {error}, {asked}: {verdict}{remark}"


def in_unit(unit: str, value: float) -> str:
    """``value`` to three digits; one in ``fraction`` as a percentage."""
    return f"{format_number(100 * value, 3)} %" if unit == "fraction" else format_number(value, 3)


def about(
    name: str, estimate: Estimate | None, expected: float, margin: float, why: str, remark: str = ""
) -> Part:
    """Must be `expected` within `margin`; `why` says where the margin comes from."""
    if estimate is None:
        return Part(name, NO_DATA)
    off = abs(estimate.value - expected)
    verdict = FAILS if off > margin + estimate.error else HOLDS if estimate.error <= margin else NO_DATA
    return Part(name, verdict, estimate, "about", expected, margin, why, remark)


def about_printed(name: str, estimate: Estimate | None, expected: str) -> Part:
    """Must be the number that the statement prints, as far as its digits tell."""
    return about(name, estimate, float(expected), rounding(expected), f"last digit of the stated {expected}")


def close(name: str, estimate: Estimate | None, why: str) -> Part:
    """A relative difference must be nearly 0, in either direction."""
    return about(name, estimate, 0.0, CLOSE, why)


def above(name: str, estimate: Estimate | None) -> Part:
    """Must be above 0 by more than its error."""
    return _in_order(name, estimate, "above", 1)


def below(name: str, estimate: Estimate | None) -> Part:
    """Must be below 0 by more than its error."""
    return _in_order(name, estimate, "below", -1)


def _in_order(name: str, estimate: Estimate | None, relation: str, sign: int) -> Part:
    if estimate is None:
        return Part(name, NO_DATA)
    value, error = sign * estimate.value, estimate.error
    verdict = HOLDS if value > error else FAILS if value < -error or error == 0 else NO_DATA
    return Part(name, verdict, estimate, relation, 0.0)


def not_below(name: str, estimate: Estimate | None) -> Part:
    """Must not be below 0 by more than its error: the absence of an order."""
    if estimate is None:
        return Part(name, NO_DATA)
    verdict = (
        FAILS if estimate.value < -estimate.error else HOLDS if math.isfinite(estimate.error) else NO_DATA
    )
    return Part(name, verdict, estimate, "not below", 0.0)


def is_so(name: str, found: bool | None, expected: bool, remark: str) -> Part:
    """A yes or no; None where it is not known."""
    verdict = NO_DATA if found is None else HOLDS if found is expected else FAILS
    return Part(name, verdict, remark=remark)
