"""Compares each cell that was measured here with the same cell as others published it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_number
from kvsweep.report.parts import Columns, Entry, Section, by_set_up, cell_of, ratio_entry, table_of
from kvsweep.tables.row import Row
from kvsweep.units import plural

_NAMES = {
    "tokens_per_second": "tokens/s",
    "ppl": "PPL",
    "kld_mean": "mean KLD",
    "top1_agreement": "same top-1, %",
}
COMPARABLE = {True: "yes", None: "as far as known", False: "no"}
MOST_LINES = 200  # of a set-up; the others stand in the table's file


def comparison_sections(comparisons: Sequence[Row]) -> Iterable[Section]:
    """A table for each of our set-ups."""
    for title, rows in by_set_up(comparisons, SUBJECT):
        notes: tuple[str, ...] = ()
        if len(rows) > MOST_LINES:
            notes = (f"{len(rows) - MOST_LINES:,} more rows in comparisons.parquet.",)
        comparable = sum(row["comparable"] is not False for row in rows)
        summary = f"{plural(len(rows), 'number')} in common, {comparable} comparable as far as is known"
        grid = table_of("Numbers in common", _COLUMNS, rows[:MOST_LINES], of_numbers=False, notes=notes)
        yield Section(title, (grid,), summary)


def _value(row: Row, side: str, status: str) -> Entry:
    number = row[side]
    if number is None:
        return Entry(row[status], measured=False)
    shown = 100 * number if row["unit"] == "fraction" else number
    return Entry(format_number(shown, 4), value=number)


_COLUMNS: Columns = {
    "cell": lambda row: Entry(cell_of(row, _NAMES[row["quantity"]])),
    "published by": lambda row: Entry(
        str(row["published"]).removeprefix("published:"), note=row["published_machine"] or ""
    ),
    "ours": lambda row: _value(row, "ours", "our_status"),
    "theirs": lambda row: _value(row, "theirs", "their_status"),
    "ours / theirs": ratio_entry,
    "comparable": lambda row: Entry(COMPARABLE[row["comparable"]], measured=row["comparable"] is not False),
    "what differs": lambda row: Entry("; ".join(row["differs"] or []) or ABSENT),
    "what may differ": lambda row: Entry(", ".join(row["unknown"] or []) or ABSENT),
}
