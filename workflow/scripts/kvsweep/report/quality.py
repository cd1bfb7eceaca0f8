"""The tables of quality: one for each engine, model, corpus and context, a row for each pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import QUALITY_SUBJECT
from kvsweep.analysis.reference import at_least_rounding, control_of, is_control, kld_error
from kvsweep.numbers import ABSENT, format_error, format_number, format_with_error, in_percent
from kvsweep.report.parts import (
    NO_DIFFERENCE,
    Entry,
    Grid,
    Section,
    by_pair,
    by_set_up,
    count,
    marks_of,
    pair_entry,
)
from kvsweep.statistics import larger
from kvsweep.tables.row import Row, is_measured

AT_THE_FLOOR = "at the floor"
TWO_SIDED_95 = 1.96  # standard errors of a normal distribution
FLOOR_ERRORS = 2.0  # so many of its own standard errors above the control, a pair is told from f16
MOSTLY_ROUNDING = 0.5  # from this part of an error on, rounding is what it may show

QUALITY_COLUMNS = (
    "pair",
    "PPL",
    "PPL − PPL(base)",
    "ln PPL ratio",
    "mean KLD, nats",
    "99.9 % KLD",
    "same top-1, %",
    "bits K / V",
    "windows",
)


def quality_sections(rows: Sequence[Row]) -> Iterable[Section]:
    for title, group in by_set_up(rows, QUALITY_SUBJECT):
        floor = _floor_of(group)
        lines = [_quality_line(row, floor) for own in by_pair(group).values() for row in own]
        grid = Grid(
            "Perplexity, divergence, agreement", QUALITY_COLUMNS, tuple(lines), notes=tuple(_notes(lines))
        )
        yield Section(title, (grid,))


def _floor_of(rows: Sequence[Row]) -> float | None:
    """The control's mean KLD; None where there is no control, or something else ran in its place."""
    control = control_of(rows)
    return None if control is None else control["kld_mean"]


def _quality_line(row: Row, floor: float | None) -> tuple[Entry, ...]:
    head = pair_entry([row])
    head = Entry(head.text + (" (control)" if is_control(row) else ""), head.marks + marks_of(row))
    if not is_measured(row):
        ppl = format_with_error(row["ppl"], row["ppl_stderr"]) if row["ppl"] is not None else row["status"]
        return (head, Entry(ppl, measured=False), *(Entry(ABSENT) for _ in QUALITY_COLUMNS[2:]))
    return (
        head,
        Entry(format_with_error(row["ppl"], row["ppl_stderr"])),
        Entry(
            format_with_error(row["ppl_difference"], row["ppl_difference_stderr"]),
            value=row["ppl_difference"],
        ),
        _ln_ppl_ratio_entry(row),
        _kld_entry(row, floor),
        Entry(format_number(row["kld_p999"], 3), value=row["kld_p999"]),
        Entry(format_with_error(in_percent(row["top1_agreement"]), in_percent(row["top1_agreement_stderr"]))),
        Entry(f"{format_number(row['bits_per_value_k'], 4)} / {format_number(row['bits_per_value_v'], 4)}"),
        Entry(count(row["chunks"])),
    )


def _ln_ppl_ratio_entry(row: Row) -> Entry:
    return Entry(
        format_with_error(row["ln_ppl_ratio"], row["ln_ppl_ratio_stderr"]),
        note=_window_note(row["ln_ppl_ratio_window_stderr"], row["ln_ppl_ratio_window_rounding"]),
        value=row["ln_ppl_ratio"],
        findings=(NO_DIFFERENCE,) if _may_be_equal(row) else (),
    )


def _may_be_equal(row: Row) -> bool:
    """Whether the 95 % interval of ln(PPL/PPL(base)), from the larger of its two errors, covers zero."""
    error = larger(row["ln_ppl_ratio_stderr"], row["ln_ppl_ratio_window_stderr"])
    if row["ln_ppl_ratio"] is None or error is None:
        return False
    return bool(abs(row["ln_ppl_ratio"]) <= TWO_SIDED_95 * error)


def _kld_entry(row: Row, floor: float | None) -> Entry:
    return Entry(
        format_with_error(row["kld_mean"], at_least_rounding(row["kld_mean_stderr"])),
        note=_window_note(row["kld_window_stderr"], row["kld_window_rounding"]),
        value=row["kld_mean"],
        findings=(AT_THE_FLOOR,) if _is_at_the_floor(row, floor) else (),
    )


def _is_at_the_floor(row: Row, floor: float | None) -> bool:
    error = kld_error(row)
    if floor is None or is_control(row) or row["kld_mean"] is None or error is None:
        return False
    return bool(row["kld_mean"] < floor + FLOOR_ERRORS * error)


def _window_note(error: float | None, rounding: float | None) -> str:
    """The error between windows; with a dagger where it may be mere rounding, which bounds what is even less."""
    if error is None:
        return ""
    if rounding is None or rounding < MOSTLY_ROUNDING * error:
        return f"windows ± {format_error(error)}"
    if rounding > error:
        return f"windows < {format_error(rounding)} †"
    return f"windows ± {format_error(error)} †"


def _notes(lines: Sequence[Sequence[Entry]]) -> Iterable[str]:
    """What is to be said below a table, of what stands in it only."""
    entries = [entry for line in lines for entry in line]
    findings = {finding for entry in entries for finding in entry.findings}
    notes = [entry.note for entry in entries if entry.note]
    if notes:
        yield (
            "± is one standard error that takes tokens as independent; “windows ±” the one from the spread "
            "between windows."
        )
    if any(note.endswith("†") for note in notes):
        yield (
            "† Half of this error or more can be rounding, because it comes from running means, which "
            "llama-perplexity prints with five decimals only; after “<” stands the rounding."
        )
    if NO_DIFFERENCE in findings:
        yield f"“{NO_DIFFERENCE}”: ln PPL ratio ± {TWO_SIDED_95:g} of the larger of its two errors covers zero."
    if AT_THE_FLOOR in findings:
        yield (
            f"“{AT_THE_FLOOR}”: below the control's mean KLD plus {FLOOR_ERRORS:g} of the larger of the pair's "
            "own two errors; it cannot be told from f16."
        )
