"""What was answered with each pair, beside f16's answers to the same items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_number, in_percent
from kvsweep.report.parts import (
    Columns,
    Entry,
    Section,
    by_pair,
    by_set_up,
    count,
    number,
    pair_of_row,
    table_of,
    written,
)
from kvsweep.tables.row import Row
from kvsweep.units import format_count

_NOTES = (
    "Compared item by item with f16 of the same engine: exact test of McNemar, with q-values over all comparisons of "
    "the table (Benjamini and Hochberg).",
)


def task_sections(rows: Sequence[Row]) -> Iterable[Section]:
    """A section for each set-up, from rows of the table `task_shares`."""
    for title, group in by_set_up(rows, SUBJECT):
        ordered = [row for own in by_pair(group).values() for row in own]
        right = [row for row in ordered if row["share"] is not None]
        followed = [row for row in ordered if row["same_tokens"] is not None]
        grids = []
        if right:
            grids.append(table_of("Right answers", _RIGHT, right, notes=_NOTES))
        if followed:
            grids.append(table_of("Likeliest continuations beside f16's", _FOLLOWED, followed))
        if grids:
            yield Section(title, tuple(grids))


def _name(row: Row) -> str:
    return row["task"] if row["question"] in (None, row["kind"]) else f"{row['task']}, {row['question']}"


def _percent(share: float | None) -> str:
    return format_number(in_percent(share), 3)


def _between(row: Row, name: str) -> Entry:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return Entry(ABSENT if low is None or high is None else f"{_percent(low)} to {_percent(high)}")


def _verdict(row: Row) -> Entry:
    unseen = row["detectable"] if row["verdict"] == "no difference shown" else None
    note = ""
    if unseen is not None:
        note = f"one of {format_number(100 * unseen, 2)} points would have shown in 4 of 5 runs"
        if unseen >= 1:
            note = "too few answers to show any difference in 4 of 5 runs"
    return Entry(row["verdict"] or ABSENT, note=note)


_ITEMS: Columns = {
    "pair": pair_of_row,
    "task": lambda row: Entry(_name(row)),
    "context": lambda row: written(row["context"], format_count),
}
_RIGHT: Columns = {
    **_ITEMS,
    "right, %": lambda row: written(row["share"], _percent),
    "95 % interval": lambda row: _between(row, "share"),
    "answers": lambda row: written(row["items"], count),
    "less f16's, points": lambda row: written(row["difference"], _percent),
    "95 % interval ": lambda row: _between(row, "difference"),
    "q": lambda row: number(row["q_value"], 2),
    "verdict": _verdict,
}
_FOLLOWED: Columns = {
    **_ITEMS,
    "same tokens, %": lambda row: written(row["same_tokens"], _percent),
    "first other token (median)": lambda row: number(row["median_first_difference"]),
    "all the same": lambda row: written(row["never_left"], str),
    "of": lambda row: written(row["compared"], count),
}
