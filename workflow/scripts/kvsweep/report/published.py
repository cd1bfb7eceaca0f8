"""Ours beside what others published, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_between, format_number
from kvsweep.report.parts import Entry, Grid, Section, by_set_up, cell_of, written
from kvsweep.tables.row import Row
from kvsweep.units import plural

COLUMNS = (
    "cell",
    "published by",
    "ours",
    "theirs",
    "ours / theirs",
    "comparable",
    "what differs",
    "what may differ",
)
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
        lines = tuple(map(_line, rows[:MOST_LINES]))
        comparable = sum(row["comparable"] is not False for row in rows)
        summary = f"{plural(len(rows), 'number')} in common, {comparable} comparable as far as is known"
        grid = Grid("Numbers in common", COLUMNS, lines, of_numbers=False, notes=notes)
        yield Section(title, (grid,), summary)


def _line(row: Row) -> tuple[Entry, ...]:
    def value(side: str, status: str) -> Entry:
        number = row[side]
        if number is None:
            return Entry(row[status], measured=False)
        shown = 100 * number if row["unit"] == "fraction" else number
        return Entry(format_number(shown, 4), value=number)

    return (
        Entry(cell_of(row, _NAMES[row["quantity"]])),
        Entry(str(row["published"]).removeprefix("published:"), note=row["published_machine"] or ""),
        value("ours", "our_status"),
        value("theirs", "their_status"),
        written(row["ratio"], lambda ratio: format_between(ratio, row["ratio_low"], row["ratio_high"], 4)),
        Entry(COMPARABLE[row["comparable"]], measured=row["comparable"] is not False),
        Entry("; ".join(row["differs"] or []) or ABSENT),
        Entry(", ".join(row["unknown"] or []) or ABSENT),
    )
