"""The rows that a statement looks at: one cell each, and what two of them differ by.

A row counts as the cell of a pair only if that pair ran: where the engine's log shows other cache types, or that work
left the device, the pair's own cell is missing. Rows of different engines, models, machines, corpora or sources are
never mixed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kvsweep.analysis.claim_parts import UNKNOWN, Estimate
from kvsweep.analysis.estimates import ROUNDED, Value, half_width, on_common_rounds
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.row_values import quality_of, speed_of
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import Row, problem_with

CONTEXT = 4096  # tokens: where the study measured quality
TOKENS = {"prefill": 512, "decode": 128}  # its pp512 and tg128

_ONE_ROUND = "one round: what changes from one process to the next is not known"


@dataclass
class Cells:
    """The rows of one set-up, by cell. Keeps which were used, and what is wrong with those that could not be."""

    by_name: Mapping[str, Sequence[Row]]
    used: dict[str, None] = field(default_factory=dict)
    # What is wrong -> cells.
    problems: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def quality(self, pair: str) -> Row | None:
        return self._all_measured([f"quality {Pair.parse(pair)} c{CONTEXT}"])[0]

    def relative_speed(
        self, pair: str, reference: str, depth: int, phase: str, fallback: bool = False
    ) -> Estimate | None:
        """Speed of a pair / speed of the reference - 1, as a fraction.

        With `fallback`, work may have left the device in the reference's cell.
        """
        names = [_cell(pair, depth, phase), _cell(reference, depth, phase)]
        ours, theirs = self._all_measured(names, fallback=names[1] if fallback else None)
        if ours is None or theirs is None:
            return None
        speeds = on_common_rounds(speed_of(ours), speed_of(theirs))
        if speeds is None:
            return None
        between = gap(*speeds)
        ratio, low, high = between.ratio, between.ratio_low, between.ratio_high
        assert ratio is not None
        if low is None or high is None:
            one = speeds[0].rounds is not None and len(speeds[0].rounds) == 1
            return Estimate(ratio - 1, math.inf, _ONE_ROUND if one else UNKNOWN)
        if between.interval == ROUNDED:
            return Estimate(ratio - 1, ratio * math.log(high / ratio), ROUNDED)
        return Estimate(ratio - 1, max(ratio - low, high - ratio), str(between.interval))

    def fits(self, pair: str, depth: int) -> bool | None:
        """Whether the memory was enough: false if a phase ran out of it, true if one was measured, else None (not
        known)."""
        names = [_cell(pair, depth, phase) for phase in TOKENS]
        found = {name: self._find(name, among=("measured", "oom")) for name in names}
        outcomes = {name: row["status"] for name, (row, _) in found.items() if row is not None}
        self.used |= dict.fromkeys(outcomes)
        if not outcomes:
            for name, (_, problem) in found.items():
                self.problems[problem][name] = None
            return None
        return "oom" not in outcomes.values()

    def stayed_on_device(self, pair: str, depth: int, phase: str) -> bool:
        """Whether it is known that no work left the device while the pair was measured."""
        name = _cell(pair, depth, phase)
        row, _ = self._find(name)
        if row is None or row.get("fallback") is None:
            return False
        self.used[name] = None
        return True

    def _all_measured(self, names: Sequence[str], fallback: str | None = None) -> list[Row | None]:
        """The measured rows of these cells; they count as used only if all are there."""
        found = {name: self._find(name, fallback=name == fallback) for name in names}
        for name, (row, problem) in found.items():
            if row is None:
                self.problems[problem][name] = None
        rows = [row for row, _ in found.values()]
        if None not in rows:
            self.used |= dict.fromkeys(names)
        return rows

    def _find(
        self, name: str, *, fallback: bool = False, among: tuple[str, ...] = ("measured",)
    ) -> tuple[Row | None, str]:
        """The one row of a cell, or None and why there is none that counts."""
        rows = self.by_name.get(name, [])
        timed = [row for row in rows if "phase" not in row or row["n_tokens"] == TOKENS[row["phase"]]]
        if not timed:
            other = ", ".join(f"{row['n_tokens']} tokens timed" for row in rows)
            return None, f"only with {other}" if other else "no row"
        if len(timed) > 1:
            return None, "several rows"
        (row,) = timed
        problem = problem_with(row, among=among, fallback=fallback)
        return (row, "") if problem is None else (None, str(problem))


def _cell(pair: str, depth: int, phase: str) -> str:
    return f"throughput {Pair.parse(pair)} d{depth} {phase}"


def combined(*terms: tuple[float, Value]) -> Estimate:
    """A weighted sum of values; its error is infinite where it is not known."""
    half, kind = half_width(terms)
    value = sum(weight * one.value for weight, one in terms)
    return Estimate(value, math.inf if half is None else half, kind or UNKNOWN)


def difference_of(a: Row | None, b: Row | None, column: str) -> Estimate | None:
    """a - b in a quality, window by window where both have windows."""
    ours, theirs = (None if row is None else quality_of(row, column) for row in (a, b))
    return None if ours is None or theirs is None else combined((1, ours), (-1, theirs))


def ratio_of(a: Row | None, b: Row | None, column: str) -> Estimate | None:
    """a / b likewise; its error to first order."""
    ours, theirs = (None if row is None else quality_of(row, column) for row in (a, b))
    if ours is None or theirs is None or not theirs.value:
        return None
    between = gap(ours, theirs)
    assert between.ratio is not None
    if between.ratio_high is None:
        # Relative errors that are not known, or so large that they have no first order, decide nothing.
        return Estimate(between.ratio, math.inf, between.interval or UNKNOWN)
    error = between.ratio * math.log(between.ratio_high / between.ratio)
    return Estimate(between.ratio, error, str(between.interval))


def worse_ppl(a: Row | None, b: Row | None) -> Estimate | None:
    """How much higher a's PPL is: from the paired logarithms where both have them, else from the PPLs."""
    paired = difference_of(a, b, "ln_ppl_ratio")
    return difference_of(a, b, "ppl") if paired is None else paired
