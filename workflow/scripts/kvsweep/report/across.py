"""The same cells on two machines, engines or slices, each against its own f16."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kvsweep.analysis.across import RELATIVE_SPEED
from kvsweep.analysis.groups import SUBJECT
from kvsweep.analysis.set_ups import by_columns
from kvsweep.numbers import format_between
from kvsweep.report.parts import Columns, Entry, Section, cell_of, ratio_entry, table_of
from kvsweep.tables.row import Row, with_ends
from kvsweep.units import plural

MOST_LINES = 60  # of two set-ups; the others stand in the table's file
_QUANTITIES = {
    RELATIVE_SPEED: "speed, % of f16",
    "kld_mean": "mean KLD, nats",
    "top1_agreement": "same top-1",
}
_OTHER = tuple(f"other_{name}" for name in SUBJECT)


def across_sections(across: Sequence[Row]) -> Iterable[Section]:
    """A table for each two set-ups that have cells in common; what sets them apart stands below it."""
    for rows in by_columns(across, (*SUBJECT, *_OTHER)).values():
        first = rows[0]
        title = f"{_named(first, '')} (here) beside {_named(first, 'other_')} (there)"
        shown = [row for row in rows if row["comparable"] is not False]
        refused = Counter(text for row in rows for text in row["prevents"] or ())
        summary = f"{plural(len(rows), 'number')} in common, {len(shown)} comparable as far as is known"
        if not shown:
            what = "; ".join(text for text, _ in refused.most_common(4))
            none = f"Nothing of the two can be compared: {plural(len(rows), 'number')} in common differ in {what}."
            yield Section(title, (), "nothing comparable", sentences=(none,))
            continue
        notes = _notes(rows, refused, len(shown))
        grid = table_of("Each against its f16", _COLUMNS, shown[:MOST_LINES], of_numbers=False, notes=notes)
        yield Section(title, (grid,), summary)


def _named(row: Row, side: str) -> str:
    parts = [row[f"{side}{name}"] for name in ("engine", "machine", "model")]
    source = row[f"{side}source"]
    return " · ".join(str(part) for part in (*parts, None if source == "measured" else source) if part)


def _notes(rows: Sequence[Row], refused: Counter[str], shown: int) -> Iterable[str]:
    if refused:
        what = "; ".join(text for text, _ in refused.most_common(4))
        yield f"Not compared: {plural(len(rows) - shown, 'number')}, because of {what}."
    if shown:
        yield f"Divergences and speeds are from {'; '.join(sorted({row['reference'] for row in rows}))}."
    beside = Counter(
        text for row in rows for text in row["differs"] or () if text not in (row["prevents"] or ())
    )
    if beside:
        yield f"What also differs: {'; '.join(text for text, _ in beside.most_common(8))}."
    unknown = sorted({text for row in rows for text in row["unknown"] or ()})
    if unknown:
        yield f"What may differ, because a side does not say: {', '.join(unknown)}."
    if shown > MOST_LINES:
        yield f"{shown - MOST_LINES:,} more rows in across.parquet."


def _value(row: Row, side: str) -> Entry:
    factor, unit = (1, "") if row["quantity"] == "kld_mean" else (100, " %")
    return Entry(format_between(*with_ends(row, side, factor), 4, unit), value=row[side])


_COLUMNS: Columns = {
    "cell": lambda row: Entry(cell_of(row, _QUANTITIES[row["quantity"]])),
    "here": lambda row: _value(row, "value"),
    "there": lambda row: _value(row, "other_value"),
    "here / there": ratio_entry,
}
