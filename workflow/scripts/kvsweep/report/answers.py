"""What was answered with each pair, beside f16's answers to the same items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_number, in_percent
from kvsweep.report.parts import Entry, Grid, Section, by_pair, by_set_up, count, number, written
from kvsweep.tables.row import Row, pair_of
from kvsweep.units import format_count

COLUMNS = (
    "pair",
    "task",
    "context",
    "right, %",
    "95 % interval",
    "answers",
    "less f16's, points",
    "95 % interval ",
    "q",
    "verdict",
)
_NOTES = (
    "Compared item by item with f16 of the same engine: exact test of McNemar, with q-values over all comparisons of "
    "the table (Benjamini and Hochberg).",
)
_OF_TRAJECTORIES = (
    "pair",
    "task",
    "context",
    "same tokens, %",
    "first other token (median)",
    "all the same",
    "of",
)


def task_sections(rows: Sequence[Row]) -> Iterable[Section]:
    """A section for each set-up, from rows of the table `task_shares`."""
    for title, group in by_set_up(rows, SUBJECT):
        ordered = [row for own in by_pair(group).values() for row in own]
        right = [row for row in ordered if row["share"] is not None]
        followed = [row for row in ordered if row["same_tokens"] is not None]
        grids = []
        if right:
            grids.append(Grid("Right answers", COLUMNS, tuple(map(_right, right)), notes=_NOTES))
        if followed:
            lines = tuple(map(_followed, followed))
            grids.append(Grid("Likeliest continuations beside f16's", _OF_TRAJECTORIES, lines))
        if grids:
            yield Section(title, tuple(grids))


def _name(row: Row) -> str:
    return row["task"] if row["question"] in (None, row["kind"]) else f"{row['task']}, {row['question']}"


def _percent(share: float | None) -> str:
    return format_number(in_percent(share), 3)


def _between(row: Row, name: str) -> Entry:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return Entry(ABSENT if low is None or high is None else f"{_percent(low)} to {_percent(high)}")


def _right(row: Row) -> tuple[Entry, ...]:
    unseen = row["detectable"] if row["verdict"] == "no difference shown" else None
    note = ""
    if unseen is not None:
        note = f"one of {format_number(100 * unseen, 2)} points would have shown in 4 of 5 runs"
        if unseen >= 1:
            note = "too few answers to show any difference in 4 of 5 runs"
    return (
        Entry(str(pair_of(row))),
        Entry(_name(row)),
        written(row["context"], format_count),
        written(row["share"], _percent),
        _between(row, "share"),
        written(row["items"], count),
        written(row["difference"], _percent),
        _between(row, "difference"),
        number(row["q_value"], 2),
        Entry(row["verdict"] or ABSENT, note=note),
    )


def _followed(row: Row) -> tuple[Entry, ...]:
    return (
        Entry(str(pair_of(row))),
        Entry(_name(row)),
        written(row["context"], format_count),
        written(row["same_tokens"], _percent),
        number(row["median_first_difference"]),
        written(row["never_left"], str),
        written(row["compared"], count),
    )
