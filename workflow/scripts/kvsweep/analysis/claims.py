"""The study's statements as computations with a verdict.

A statement consists of parts: a number, how it must stand to an expected one, and how far it may be off. Two things
make the tolerance; both follow from how a statement is worded and how a number was printed or measured, never from the
verdict:

- **margin**, what the statement itself leaves open. "About 12 times" is 12 rounded to its last digit: 12 -+ 0.5.
  "Matches", "closely" and "nearly" give no number; the study gives one in statement 9, where "nearly converged" is
  "within 2 %": CLOSE, in either direction. An order ("slower", "between", "ahead") has no margin.
- **error** of the number. Published: half a unit of the last digit of every number that goes in, added up, because
  repetitions were not published. Measured: the 95 % interval over rounds (speed), or over windows, window by window
  where two pairs are compared (quality). One round has no interval: then nothing about speed is decided. Where no error
  of a quality is known, none is allowed for, and the tolerance's reason says so.

An "about" fails beyond margin + error, and holds within if the error is not larger than the margin; an order holds or
fails beyond the error. Everything else is `no data`: a large error makes no statement hold. A part that fails decides
the statement; it holds only if all parts do.

A row counts as the cell of a pair only if that pair ran: where the engine's log shows other cache types, or that work
left the device, the pair's own cell is missing. Statement 8 is about that very fallback and takes such a row.
Rows of different engines, models, machines, corpora or sources are never mixed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from kvsweep.analysis.estimates import (
    BY_TOKEN,
    ROUNDED,
    Value,
    gap,
    half_width,
    on_common_rounds,
    quality_of,
    speed_of,
)
from kvsweep.numbers import format_number
from kvsweep.study.pairs import Pair
from kvsweep.tables.published import name_of, rounding, rounding_of
from kvsweep.tables.row import SET_UP, problem_with
from kvsweep.units import format_count

Row = Mapping[str, Any]

STUDY = "m5max-part2"  # the published source whose statements these are

HOLDS, FAILS, NO_DATA = "holds", "fails", "no data"
AGREES = "agrees"

CLOSE = 0.02  # relative difference: the study's own "within 2 %", see above
CONTEXT = 4096  # tokens: where the study measured quality
TOKENS = {"prefill": 512, "decode": 128}  # its pp512 and tg128
K = 1024

_ONE_ROUND = "one round: what changes from one process to the next is not known"
_UNKNOWN = "no error is known"


# --- numbers and parts --------------------------------------------------------------------------------------


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
        if self.estimate is None:
            return f"{self.name}: {self.remark or self.verdict}"
        value, error = _in(unit, self.estimate.value), "?"
        remark = f" ({self.remark})" if self.remark else ""
        if self.estimate.error == math.inf:
            remark = f" ({self.estimate.kind})"
        else:
            error = _in(unit, self.estimate.error)
        asked = f"{self.relation} {_in(unit, self.expected or 0.0)}"
        if self.margin:
            asked += f" ± {_in(unit, self.margin)}"
        if self.relation == "about" and self.verdict == FAILS:
            needed = abs(self.estimate.value - (self.expected or 0.0)) - self.estimate.error
            remark += f", would hold within {_in(unit, needed)}"
        verdict = "undecided" if self.verdict == NO_DATA else self.verdict
        if self.remark == AGREES:
            verdict, remark = "agrees", " (not one of the stated figures)"
        return f"{self.name}: {value} ± {error}, {asked}: {verdict}{remark}"


def _in(unit: str, value: float) -> str:
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


_AS_IN_9 = "the study's 'nearly' of statement 9, here for"


def above(name: str, estimate: Estimate | None) -> Part:
    """Must be above 0 by more than its error."""
    if estimate is None:
        return Part(name, NO_DATA)
    value, error, _ = estimate
    verdict = HOLDS if value > error else FAILS if value < -error or error == 0 else NO_DATA
    return Part(name, verdict, estimate, "above", 0.0)


def below(name: str, estimate: Estimate | None) -> Part:
    """Must be below 0 by more than its error."""
    if estimate is None:
        return Part(name, NO_DATA)
    value, error, _ = estimate
    verdict = HOLDS if value < -error else FAILS if value > error or error == 0 else NO_DATA
    return Part(name, verdict, estimate, "below", 0.0)


def not_below(name: str, estimate: Estimate | None) -> Part:
    """Must not be below 0 by more than its error: the absence of an order."""
    if estimate is None:
        return Part(name, NO_DATA)
    verdict = (
        FAILS if estimate.value < -estimate.error else HOLDS if math.isfinite(estimate.error) else NO_DATA
    )
    return Part(name, verdict, estimate, "not below", 0.0)


def is_so(name: str, found: bool | None, expected: bool, remark: str = "") -> Part:
    """A yes or no; None where it is not known."""
    verdict = NO_DATA if found is None else HOLDS if found is expected else FAILS
    return Part(name, verdict, remark=remark)


# --- cells --------------------------------------------------------------------------------------------------


@dataclass
class Cells:
    """The rows of one set-up, by cell. Keeps which were used, and what is wrong with those that could not be."""

    by_name: Mapping[str, Sequence[Row]]
    used: list[str] = field(default_factory=list)
    # What is wrong -> cells.
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

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
            return Estimate(ratio - 1, math.inf, _ONE_ROUND)
        if between.interval == ROUNDED:
            return Estimate(ratio - 1, ratio * math.log(high / ratio), ROUNDED)
        return Estimate(ratio - 1, max(ratio - low, high - ratio), str(between.interval))

    def fits(self, pair: str, depth: int) -> bool | None:
        """Whether there was memory: not if a phase ran out of it, else if one was measured; None: not known."""
        names = [_cell(pair, depth, phase) for phase in TOKENS]
        found = {name: self._find(name, among=("measured", "oom")) for name in names}
        outcomes = {name: row["status"] for name, (row, _) in found.items() if row is not None}
        self.used += outcomes
        if not outcomes:
            for name, (_, problem) in found.items():
                self.problems[problem].append(name)
            return None
        return "oom" not in outcomes.values()

    def stayed_on_device(self, pair: str, depth: int, phase: str) -> bool:
        """Whether it is known that no work left the device while the pair was measured."""
        name = _cell(pair, depth, phase)
        row, _ = self._find(name)
        if row is None or row.get("fallback") is None:
            return False
        self.used += [name] if name not in self.used else []
        return True

    def _all_measured(self, names: Sequence[str], fallback: str | None = None) -> list[Row | None]:
        """The measured rows of these cells; they count as used only if all are there."""
        found = {name: self._find(name, fallback=name == fallback) for name in names}
        for name, (row, problem) in found.items():
            if row is None and name not in self.problems[problem]:
                self.problems[problem].append(name)
        rows = [row for row, _ in found.values()]
        if None not in rows:
            self.used += [name for name in names if name not in self.used]
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


def by_name(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each cell; more than one where another number of tokens was timed."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(name_of(row), []).append(row)
    return found


def _cell(pair: str, depth: int, phase: str) -> str:
    return f"throughput {Pair.parse(pair)} d{depth} {phase}"


def _difference(a: Row | None, b: Row | None, column: str) -> Estimate | None:
    """a - b in a quality, window by window where both have windows."""
    ours, theirs = (None if row is None else quality_of(row, column) for row in (a, b))
    if ours is None or theirs is None:
        return None
    half, kind = half_width([(1, ours), (-1, theirs)])
    return Estimate(ours.value - theirs.value, half or 0.0, kind or _UNKNOWN)


def _ratio(a: Row | None, b: Row | None, column: str) -> Estimate | None:
    """a / b likewise; its error to first order."""
    ours, theirs = (None if row is None else quality_of(row, column) for row in (a, b))
    if ours is None or theirs is None or not theirs.value:
        return None
    between = gap(ours, theirs)
    assert between.ratio is not None
    if between.ratio_high is None:
        # Relative errors so large that they have no first order decide nothing.
        known = between.interval is not None
        return Estimate(
            between.ratio, math.inf if known else 0.0, str(between.interval) if known else _UNKNOWN
        )
    error = between.ratio * math.log(between.ratio_high / between.ratio)
    return Estimate(between.ratio, error, str(between.interval))


def _worse_ppl(a: Row | None, b: Row | None) -> Estimate | None:
    """How much higher a's PPL is: from the paired logarithms where both have them, else from the PPLs."""
    paired = _difference(a, b, "ln_ppl_ratio")
    return _difference(a, b, "ppl") if paired is None else paired


# --- the statements -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    number: int
    text: str
    unit: str  # of the numbers of its parts
    of_quality: bool
    counted: bool  # the value is the number of parts that are as stated
    parts: Callable[[Cells], list[Part]]
    note: str


STATEMENTS: dict[int, Statement] = {}


def statement(
    number: int,
    text: str,
    unit: str = "",
    *,
    of_quality: bool = False,
    counted: bool = False,
    note: str = "",
) -> Callable[[Callable[[Cells], list[Part]]], Callable[[Cells], list[Part]]]:
    def register(parts: Callable[[Cells], list[Part]]) -> Callable[[Cells], list[Part]]:
        STATEMENTS[number] = Statement(number, text, unit, of_quality, counted, parts, note)
        return parts

    return register


@statement(
    1, "q8_0 is free at 4K: its PPL differs from f16's by less than the standard error", of_quality=True
)
def _q8_0_is_free(cells: Cells) -> list[Part]:
    q8_0, f16 = cells.quality("q8_0"), cells.quality("f16")
    difference, remark = _difference(q8_0, f16, "ppl"), ""
    if q8_0 is not None and q8_0.get("ppl_difference") is not None:
        paired, stderr = q8_0["ppl_difference"], q8_0.get("ppl_difference_stderr")
        # What both runs share is in either PPL's standard error, but not in that of their difference.
        half = None if stderr is None else Value(paired, stderr, kind=BY_TOKEN).half
        difference = Estimate(paired, *((0.0, _UNKNOWN) if half is None else (half, BY_TOKEN)))
        if half is not None and abs(paired) > half:
            remark = "yet not 0 by its own, paired error"
    if f16 is None or f16["ppl_stderr"] is None:
        return [Part("PPL", NO_DATA)]
    margin = f16["ppl_stderr"] + (rounding_of(f16, "ppl_stderr") or 0.0)
    return [about("PPL", difference, 0.0, margin, "standard error of f16's PPL, as stated", remark)]


@statement(2, "turbo3 costs about 1 % of PPL, and about 5 percentage points of top-1 agreement against q8_0",
           "fraction", of_quality=True)  # fmt: skip
def _cost_of_turbo3(cells: Cells) -> list[Part]:
    turbo3, q8_0 = cells.quality("turbo3"), cells.quality("q8_0")
    ln_ratio = None if turbo3 is None else quality_of(turbo3, "ln_ppl_ratio")
    if ln_ratio is not None:
        half, kind = half_width([(1, ln_ratio)])
        own = Estimate(ln_ratio.value, half or 0.0, kind or _UNKNOWN)
        ppl: Estimate | None = Estimate(math.expm1(own.value), math.exp(own.value) * own.error, own.kind)
    else:
        ratio = _ratio(turbo3, cells.quality("f16"), "ppl")
        ppl = ratio and ratio._replace(value=ratio.value - 1)
    return [
        about_printed("PPL against f16", ppl, "0.01"),
        about_printed("top-1 agreement", _difference(q8_0, turbo3, "top1_agreement"), "0.05"),
    ]


@statement(3, "turbo3's KL divergence is about 12 times q8_0's", "times", of_quality=True)
def _kl_of_turbo3(cells: Cells) -> list[Part]:
    return [about_printed("KL", _ratio(cells.quality("turbo3"), cells.quality("q8_0"), "kld_mean"), "12")]


@statement(4, "turbo4 lies between q8_0 and turbo3 in PPL, KL divergence and top-1 agreement",
           of_quality=True, counted=True)  # fmt: skip
def _turbo4_lies_between(cells: Cells) -> list[Part]:
    by_cost = [(pair, cells.quality(pair)) for pair in ("q8_0", "turbo4", "turbo3")]
    parts = []
    for (better, good), (worse, bad) in pairwise(by_cost):
        parts += [
            above(f"PPL {worse} - {better}", _worse_ppl(bad, good)),
            above(f"KL {worse} - {better}", _difference(bad, good, "kld_mean")),
            above(f"top-1 {better} - {worse}", _difference(good, bad, "top1_agreement")),
        ]
    return parts


@statement(5, "at 256K q8_0/turbo4 matches q8_0 in prefill and decode", "fraction")
def _matches_q8_0(cells: Cells) -> list[Part]:
    return [
        close(phase, cells.relative_speed("q8_0/turbo4", "q8_0", 256 * K, phase), f"{_AS_IN_9} 'matches'")
        for phase in TOKENS
    ]


@statement(6, "q8_0/turbo4 fits 512K, q8_0 does not", counted=True)
def _fits_512k(cells: Cells) -> list[Part]:
    return [_fitting(cells, "q8_0/turbo4", 512 * K, True), _fitting(cells, "q8_0", 512 * K, False)]


def _fitting(cells: Cells, pair: str, depth: int, expected: bool) -> Part:
    found = cells.fits(pair, depth)
    remark = "not known" if found is None else "fits" if found else "out of memory"
    return is_so(f"{pair} at {format_count(depth)}", found, expected, remark)


@statement(7, "q8_0/turbo3 decodes slower than q8_0/turbo4 at every depth but 8K", "fraction", counted=True,
           note="at 8K the statement says that it is not slower")  # fmt: skip
def _tighter_v_is_slower(cells: Cells) -> list[Part]:
    parts = []
    for depth in (0, 8 * K, 32 * K, 64 * K, 128 * K, 256 * K, 512 * K):
        difference = cells.relative_speed("q8_0/turbo3", "q8_0/turbo4", depth, "decode")
        parts.append((not_below if depth == 8 * K else below)(format_count(depth), difference))
    return parts


@statement(8, "f16/turbo4 is a fallback: in prefill 34 times slower than f16 at 8K, 78 times at 128K", "times",
           note="64K decides only if its slowdown does not lie between the two that are stated")  # fmt: skip
def _is_a_fallback(cells: Cells) -> list[Part]:
    def slowdown(depth: int) -> Estimate | None:
        ratio = cells.relative_speed("f16", "f16/turbo4", depth, "prefill", fallback=True)
        return ratio and ratio._replace(value=ratio.value + 1)

    stated = [about_printed(f"{at}K", slowdown(at * K), times) for at, times in ((8, "34"), (128, "78"))]
    low, high = 34, 78  # a slowdown that grows with depth, as these two do, lies between them at 64K
    middle, half = (low + high) / 2, (high - low) / 2
    between = about("64K", slowdown(64 * K), middle, half, "between the slowdowns stated at 8K and 128K")
    if between.estimate is not None:
        # Where a stated figure is not known, that another depth agrees decides nothing; that it does not decides all.
        agrees = between.verdict == HOLDS and not all(part.estimate for part in stated)
        verdict, remark = (NO_DATA, AGREES) if agrees else (between.verdict, "")
        stated.insert(0, replace(between, verdict=verdict, remark=remark))
    # Slow for another reason is no fallback. Null, as in what was published, says nothing.
    return stated + [
        is_so(f"fallback at {at}K", False, True, "no work left the device")
        for at in (8, 64, 128)
        if cells.stayed_on_device("f16/turbo4", at * K, "prefill")
    ]


@statement(9, "at 64K prefill has nearly converged: turbo3 is within 2 % of q8_0", "fraction")
def _prefill_converges(cells: Cells) -> list[Part]:
    return [close("64K", cells.relative_speed("turbo3", "q8_0", 64 * K, "prefill"), "the stated 2 %")]


@statement(
    10, "turbo3's prefill crosses q8_0's between 64K and 128K: behind at 64K, ahead at 128K", "fraction"
)
def _prefill_crosses(cells: Cells) -> list[Part]:
    return [
        above("128K", cells.relative_speed("turbo3", "q8_0", 128 * K, "prefill")),
        below("64K", cells.relative_speed("turbo3", "q8_0", 64 * K, "prefill")),
    ]


@statement(11, "at 64K q8_0/turbo4 and q8_0/turbo3 track q8_0's prefill closely", "fraction")
def _pairs_track_q8_0(cells: Cells) -> list[Part]:
    return [
        close(pair, cells.relative_speed(pair, "q8_0", 64 * K, "prefill"), f"{_AS_IN_9} 'closely'")
        for pair in ("q8_0/turbo4", "q8_0/turbo3")
    ]


@statement(12, "at 256K turbo3 is about 27 % faster than turbo4 in prefill, turbo4 about 11 % faster in decode",
           "fraction")  # fmt: skip
def _each_has_its_phase(cells: Cells) -> list[Part]:
    return [
        about_printed("prefill", cells.relative_speed("turbo3", "turbo4", 256 * K, "prefill"), "0.27"),
        about_printed("decode", cells.relative_speed("turbo4", "turbo3", 256 * K, "decode"), "0.11"),
    ]


@statement(13, "of the study's pairs only turbo3 fits 1M", counted=True,
           note="f16/turbo4 is left out: the study did not run it beyond 128K")  # fmt: skip
def _only_turbo3_fits(cells: Cells) -> list[Part]:
    others = ("f16", "q8_0", "turbo4", "q8_0/turbo4", "q8_0/turbo3")
    return [
        _fitting(cells, "turbo3", 1024 * K, True),
        *(_fitting(cells, pair, 1024 * K, False) for pair in others),
    ]


# --- verdicts -----------------------------------------------------------------------------------------------


def is_subject(row: Row) -> bool:
    """Whether the statements are checked on this row: on the study's own numbers, on no other published ones."""
    return row["source"] == f"published:{STUDY}" or not row["source"].startswith("published:")


def evaluate(throughput: Iterable[Row], quality: Iterable[Row]) -> list[dict[str, Any]]:
    """A row of the table `claims` for each set-up in the tables and each statement. Speeds are cells over rounds.

    Statements about quality are evaluated for each corpus. A value that is not known must be None, not NaN:
    Arrow's `to_pylist` makes such rows.
    """
    set_ups: dict[tuple[Any, ...], tuple[list[Row], dict[str | None, list[Row]]]] = {}
    for row in throughput:
        set_ups.setdefault(_identity(row), ([], {}))[0].append(row)
    for row in quality:
        set_ups.setdefault(_identity(row), ([], {}))[1].setdefault(row["corpus"], []).append(row)
    found = []
    for identity, (speeds, by_corpus) in set_ups.items():
        shared = dict(zip(SET_UP, identity, strict=True))
        shared["subject"] = shared.pop("source")
        of_speed = by_name(speeds)
        of_quality = {corpus: by_name(rows) for corpus, rows in (by_corpus or {None: []}).items()}
        for known in STATEMENTS.values():
            for corpus, rows in of_quality.items() if known.of_quality else [(None, of_speed)]:
                found.append(_judged(known, Cells(rows)) | shared | {"corpus": corpus})
    return found


def _identity(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in SET_UP)


def _judged(known: Statement, cells: Cells) -> dict[str, Any]:
    parts = known.parts(cells)
    verdicts = [part.verdict for part in parts]
    verdict = next((v for v in (FAILS, NO_DATA) if v in verdicts), HOLDS)
    deciding = max((part for part in parts if part.verdict == verdict), key=lambda part: part.strain)
    row: dict[str, Any] = {
        "claim": known.number,
        "statement": known.text,
        "verdict": verdict,
        "unit": known.unit,
        "cells": cells.used if any(part.says_something for part in parts) else [],
        "note": _note(known, parts, cells.problems),
        "basis": _basis(known, parts, verdict),
    }
    if known.counted:
        decided = len(verdicts) - verdicts.count(NO_DATA)
        kinds = ", ".join(dict.fromkeys(part.estimate.kind for part in parts if part.estimate is not None))
        row |= {
            "value": None if verdict == NO_DATA else float(verdicts.count(HOLDS)),
            "expected": float(len(parts) if verdict == NO_DATA else decided),
            "tolerance": 0.0,
            "unit": "parts as stated",
            "relation": "about",
            "tolerance_reason": f"each part allows for its own error ({kinds})" if kinds else "yes or no",
        }
    elif deciding.estimate is not None:
        row |= {
            "value": deciding.estimate.value,
            "expected": deciding.expected,
            "tolerance": deciding.tolerance,
            "relation": deciding.relation,
            "tolerance_reason": _tolerance_reason(deciding, known.unit),
        }
    return row


def _tolerance_reason(part: Part, unit: str) -> str:
    assert part.estimate is not None
    if part.estimate.error == math.inf:
        return part.estimate.kind
    error = f"{_in(unit, part.estimate.error)} ({part.estimate.kind})"
    return f"{_in(unit, part.margin)} ({part.margin_reason}) + {error}" if part.margin else error


def _note(known: Statement, parts: Sequence[Part], problems: Mapping[str, Sequence[str]]) -> str | None:
    said = [part.describe(known.unit) for part in parts if part.says_something]
    missing = [f"{problem}: {', '.join(names)}" for problem, names in problems.items() if names]
    return "; ".join([*said, *missing, *([known.note] if known.note else [])]) or None


def _basis(known: Statement, parts: Sequence[Part], verdict: str) -> str | None:
    """How far the verdict goes: what was checked and what was not. None where nothing was."""
    checked = [part for part in parts if part.says_something]
    if not checked:
        return None
    said = []
    if verdict == NO_DATA:
        agreeing = [part.name for part in checked if part.remark == AGREES]
        said.append("not decided" + (f"; {', '.join(agreeing)} agrees" if agreeing else ""))
    kinds = {part.estimate.kind for part in checked if part.estimate is not None}
    if kinds == {ROUNDED}:
        unknown = "the error from text to text" if known.of_quality else "the error from run to run"
        said.append(f"on the printed digits; {unknown} is not known")
    unchecked = [part.name for part in parts if not part.says_something]
    if unchecked:
        said.append(f"not checked: {', '.join(unchecked)}")
    return "; ".join(said) or None
