"""The tables of quality: one for each engine, model, corpus and context, a row for each pair."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kvsweep.analysis.estimates import BY_TOKEN, Value, half_width, t_quantile
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.groups import QUALITY_SUBJECT
from kvsweep.analysis.reference import control_of, is_control
from kvsweep.analysis.row_values import quality_of
from kvsweep.numbers import ABSENT, format_between, format_number, format_with_error
from kvsweep.report.parts import (
    NO_DIFFERENCE,
    Columns,
    Entry,
    Grid,
    Section,
    by_pair,
    by_set_up,
    count,
    marks_of,
    pair_entry,
)
from kvsweep.tables.row import Row, is_measured, pair_of, with_ends
from kvsweep.tables.skewed import is_carried_by_one

AT_THE_FLOOR = "at the floor"
BY_TOKEN_NOTE = (
    "† No interval of 95 %: the table has no windows, and tokens are taken as independent. Where windows are known it "
    "is 1.1 to 5 times as much."
)
CARRIED_NOTE = (
    "‡ Few windows, one of which bears more than half of it: how rare such windows are is not known, and on a text "
    "with rare ones the interval holds the truth in fewer than 95 %. More windows decide."
)


def quality_sections(rows: Sequence[Row]) -> Iterable[Section]:
    """A section for every engine, machine, model, corpus and context: a line for each row, ordered by pair."""
    for title, group in by_set_up(rows, QUALITY_SUBJECT):
        control = control_of(group)
        lines = tuple(_line(row, control) for own in by_pair(group).values() for row in own)
        names = ("pair", *_columns(control))
        notes = (*_notes(lines), *note_of_windows(group))
        yield Section(title, (Grid("Perplexity, divergence, agreement", names, lines, notes=notes),))


def _line(row: Row, control: Row | None) -> tuple[Entry, ...]:
    head, columns = pair_entry([row]), _columns(control)
    head = Entry(head.text + (" (control)" if is_control(row) else ""), head.marks + marks_of(row))
    if not is_measured(row):
        ppl = with_half(row, "ppl").text if row["ppl"] is not None else row["status"]
        return (head, Entry(ppl, measured=False), *[Entry(ABSENT)] * (len(columns) - 1))
    return (head, *(entry(row) for entry in columns.values()))


def _columns(control: Row | None) -> Columns:
    """The columns of a measured row behind that of the pair."""
    return {
        "PPL": lambda row: with_half(row, "ppl"),
        "PPL − PPL(base)": _difference,
        "ln PPL ratio": lambda row: with_half(
            row, "ln_ppl_ratio", findings=(NO_DIFFERENCE,) if _may_be_equal(row) else ()
        ),
        "mean KLD, nats": lambda row: with_half(
            row, "kld_mean", findings=(AT_THE_FLOOR,) if is_at_the_floor(row, control) else ()
        ),
        "99.9 % KLD, nats": _tail,
        "same top-1, %": lambda row: with_half(row, "top1_agreement"),
        "bits K / V": lambda row: Entry(
            " / ".join(format_number(row[f"bits_per_value_{side}"], 4) for side in "kv")
        ),
        "windows": lambda row: Entry(count(row["chunks"])),
    }


def _difference(row: Row) -> Entry:
    value, stderr = row["ppl_difference"], row["ppl_difference_stderr"]
    return Entry(format_with_error(value, stderr and t_quantile(math.inf) * stderr), value=value)


# As it is shown.
_POSSIBLE = {"kld_mean": (0.0, math.inf), "ppl": (1.0, math.inf), "top1_agreement": (0.0, 100.0)}


def with_half(row: Row, column: str, unit: str = "", findings: tuple[str, ...] = ()) -> Entry:
    """A value ± half of its 95 % interval, a share in percent; † where tokens are taken as independent, ‡ where one
    window bears most of it."""
    value = quality_of(row, column)
    if value is None:
        return Entry(ABSENT, findings=findings)
    if column == "ppl" and row["ppl_stderr"] is not None:
        value = Value(row["ppl"], row["ppl_stderr"], kind=BY_TOKEN)  # of published ones, too
    half, kind = value.half, half_width([(1, value)])[1]
    factor = 100 if column == "top1_agreement" else 1
    possible = _POSSIBLE.get(column, (-math.inf, math.inf))
    text = format_with_error(factor * value.value, None if half is None else factor * half, *possible)
    mark = " †" if kind == BY_TOKEN and column != "ppl" else " ‡" if _is_carried_by_one(value) else ""
    return Entry(text + unit + mark, findings=findings, value=value.value)


def _is_carried_by_one(value: Value) -> bool:
    return value.positive and value.windows is not None and is_carried_by_one(value.windows, value.rounding)


def notes_of_marks(entries: Iterable[Entry]) -> tuple[str, ...]:
    """What † and ‡ behind a number mean, where one stands."""
    marks = {entry.text[-1:] for entry in entries}
    return tuple(note for note in (BY_TOKEN_NOTE, CARRIED_NOTE) if note[0] in marks)


def note_of_windows(rows: Iterable[Row]) -> tuple[str, ...]:
    """Which pairs of one text and context were scored on other windows than most; nothing where all were on as many."""
    windows = {str(pair_of(row)): row["chunks"] for row in rows if is_measured(row) and row["chunks"]}
    numbers = list(windows.values())
    if len(set(numbers)) < 2:
        return ()
    most = max(numbers, key=lambda number: (numbers.count(number), number))
    named = [f"{pair} {number}" for pair, number in windows.items() if number != most]
    others = f"the others {most}" if len(named) < len(numbers) else ""
    return (
        f"Not all were scored on as many windows ({', '.join(filter(None, [*named, others]))}): the PPL of these "
        "pairs is of less or more text, and what is compared between them is not paired.",
    )


def _tail(row: Row) -> Entry:
    """The 99.9 % quantile. The scorer gives its interval; llama-perplexity prints no error of it."""
    value, low, high = with_ends(row, "kld_p999")
    if value is None or low is None or high is None:
        return Entry(ABSENT if value is None else f"{format_number(value, 3)} ± {ABSENT}", value=value)
    return Entry(format_between(value, low, high), value=value)


def _may_be_equal(row: Row) -> bool:
    """Whether the interval of ln(PPL/PPL(base)) covers zero."""
    value = quality_of(row, "ln_ppl_ratio")
    return value is not None and value.half is not None and abs(value.value) <= value.half


def is_at_the_floor(row: Row, control: Row | None) -> bool:
    """Whether the divergence is not told to be above the control's, window by window."""
    if control is None or is_control(row):
        return False
    own, floor = (quality_of(one, "kld_mean") for one in (row, control))
    if own is None or floor is None:
        return False
    low = gap(own, floor).difference_low
    return low is not None and low <= 0


def _notes(lines: Sequence[Sequence[Entry]]) -> Iterable[str]:
    """The notes below a table: they explain only what stands in it."""
    entries = [entry for line in lines for entry in line]
    findings = {finding for entry in entries for finding in entry.findings}
    if any("±" in entry.text for entry in entries):
        yield (
            "± is half of the 95 % interval: Student's t over the windows, with half a printed digit; a single window "
            "has none. Of PPL and PPL − PPL(base) it is 1.96 standard errors that take tokens as independent, which is "
            "too little where windows differ; compare pairs by the ln PPL ratio, which is paired."
        )
    if any("[" in entry.text for entry in entries):
        yield "[ ] is what is left of the interval where part of it would be a value that cannot be."
    yield from notes_of_marks(entries)
    if NO_DIFFERENCE in findings:
        yield f"“{NO_DIFFERENCE}”: the interval of the ln PPL ratio covers zero."
    if AT_THE_FLOOR in findings:
        yield (
            f"“{AT_THE_FLOOR}”: the interval of the divergence less the control's, window by window, covers zero; "
            "it cannot be told from f16."
        )
