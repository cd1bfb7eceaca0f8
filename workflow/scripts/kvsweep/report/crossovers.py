"""Where one pair overtakes another in speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT
from kvsweep.report.parts import Columns, Entry, Section, by_set_up, table_of
from kvsweep.tables.row import Row
from kvsweep.units import format_count, plural

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
        notes = []
        if others:
            notes.append(
                f"Without a crossing: {', '.join(f'{n} ({verdict})' for verdict, n in others.items())}."
            )
        if len(crossing) > MOST_LINES:
            notes.append(f"{len(crossing) - MOST_LINES} more in crossovers.parquet.")
        if crossing:
            grid = table_of("Crossings", _COLUMNS, crossing[:MOST_LINES], of_numbers=False, notes=notes)
            yield Section(title, (grid,), summary)


def _interval(row: Row) -> Entry:
    low, high = row["depth_low"], row["depth_high"]
    return Entry(ABSENT if low is None or high is None else f"{low:,.0f} to {high:,.0f}")


_COLUMNS: Columns = {
    "phase": lambda row: Entry(row["phase"]),
    "pairs": lambda row: Entry(f"{row['pair_a']} : {row['pair_b']}"),
    "overtakes": lambda row: Entry(f"{row['ahead_after']} overtakes {row['ahead_before']}"),
    "at depth, tokens": lambda row: Entry(f"{row['depth']:,.0f}", value=row["depth"]),
    "95 % interval": _interval,
    "between measured": lambda row: Entry(
        f"{format_count(row['between_low'])} and {format_count(row['between_high'])}"
    ),
    "verdict": lambda row: Entry(row["verdict"], measured=row["verdict"] == "crosses"),
}
