"""Ours beside what others published, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_number
from kvsweep.report.parts import Entry, Grid, Section, by_set_up
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import Row
from kvsweep.units import format_count, plural

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

    ratio = format_number(row["ratio"], 4)
    if row["ratio_low"] is not None and row["ratio_high"] is not None:
        ratio += f" [{format_number(row['ratio_low'], 4)}, {format_number(row['ratio_high'], 4)}]"
    return (
        Entry(cell_of(row)),
        Entry(str(row["published"]).removeprefix("published:"), note=row["published_machine"] or ""),
        value("ours", "our_status"),
        value("theirs", "their_status"),
        Entry(ratio, value=row["ratio"]),
        Entry(COMPARABLE[row["comparable"]], measured=row["comparable"] is not False),
        Entry("; ".join(row["differs"] or []) or ABSENT),
        Entry(", ".join(row["unknown"] or []) or ABSENT),
    )


def cell_of(row: Row) -> str:
    """`q8_0/turbo4, decode at 64K, tokens/s`."""
    where = (
        f"{row['phase']} at {format_count(row['depth'])}"
        if row["phase"] is not None
        else f"context {format_count(row['n_ctx'])}"
    )
    return f"{Pair(row['ctk'], row['ctv'])}, {where}, {_NAMES.get(row['quantity'], row['quantity'])}"
