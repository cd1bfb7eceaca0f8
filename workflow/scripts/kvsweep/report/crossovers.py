"""Where one pair overtakes another in speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT
from kvsweep.report.parts import Entry, Grid, Section, by_set_up
from kvsweep.tables.row import Row
from kvsweep.units import format_count, plural

COLUMNS = ("phase", "pairs", "overtakes", "at depth, tokens", "95 % interval", "between measured", "verdict")
MOST_LINES = 100


def crossover_sections(crossovers: Sequence[Row]) -> Iterable[Section]:
    """Tables of the crossings only; how many pairs have none is said below."""
    for title, rows in by_set_up(crossovers, SUBJECT):
        crossing = sorted(
            (row for row in rows if row["depth"] is not None),
            key=lambda row: (row["verdict"] != "crosses", row["depth"]),
        )
        others = Counter(row["verdict"] for row in rows if row["depth"] is None)
        summary = plural(len(crossing), "crossing")
        notes = (
            [f"Without a crossing: {', '.join(f'{n} ({verdict})' for verdict, n in others.items())}."]
            if others
            else []
        )
        if len(crossing) > MOST_LINES:
            notes.append(f"{len(crossing) - MOST_LINES} more in crossovers.parquet.")
        if crossing:
            lines = tuple(map(_line, crossing[:MOST_LINES]))
            grid = Grid("Crossings", COLUMNS, lines, of_numbers=False, notes=tuple(notes))
            yield Section(title, (grid,), summary)


def _line(row: Row) -> tuple[Entry, ...]:
    ends = (row["depth_low"], row["depth_high"])
    return (
        Entry(row["phase"]),
        Entry(f"{row['pair_a']} : {row['pair_b']}"),
        Entry(f"{row['ahead_after']} overtakes {row['ahead_before']}"),
        Entry(f"{row['depth']:,.0f}", value=row["depth"]),
        Entry(ABSENT if None in ends else f"{ends[0]:,.0f} to {ends[1]:,.0f}"),
        Entry(f"{format_count(row['between_low'])} and {format_count(row['between_high'])}"),
        Entry(row["verdict"], measured=row["verdict"] == "crosses"),
    )
