"""The study's statements: what each comes to on what was published, on what was measured, and on every slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kvsweep.analysis.claim_parts import NO_DATA
from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_number
from kvsweep.report.parts import Columns, Entry, Section, by_set_up, table_of
from kvsweep.tables.row import Row


def claim_sections(claims: Sequence[Row]) -> Iterable[Section]:
    """A table of statements for each subject, from rows of the table `claims`."""
    # The table names what it is about `subject`, the others `source`: the same words.
    rows = [{**row, "source": row["subject"]} for row in claims]
    for title, own in by_set_up(rows, SUBJECT):
        counts = Counter(row["verdict"] for row in own)
        in_order = sorted(own, key=lambda row: (row["claim"], str(row["corpus"])))
        grid = table_of("Statements", _COLUMNS, in_order, of_numbers=False)
        summary = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        yield Section(title, (grid,), summary, set(counts) != {NO_DATA})


def _expected(row: Row) -> Entry:
    relation = {"about": "", None: ""}.get(row["relation"], f"{row['relation']} ")
    return Entry(ABSENT if row["expected"] is None else relation + in_unit(row["expected"], row["unit"]))


def in_unit(value: float | None, unit: str | None) -> str:
    """A number with its unit; a fraction in percent."""
    if value is None:
        return ABSENT
    if unit == "fraction":
        return f"{format_number(100 * value, 3)} %"
    return f"{format_number(value, 4)}{f' {unit}' if unit else ''}"


_COLUMNS: Columns = {
    "no.": lambda row: Entry(str(row["claim"]), value=row["claim"]),
    "statement": lambda row: Entry(row["statement"] + (f" ({row['corpus']})" if row["corpus"] else "")),
    "verdict": lambda row: Entry(
        row["verdict"], measured=row["verdict"] != NO_DATA, note=row.get("basis") or ""
    ),
    "value": lambda row: Entry(in_unit(row["value"], row["unit"]), value=row["value"]),
    "expected": _expected,
    "tolerance": lambda row: Entry(
        in_unit(row["tolerance"], row["unit"]), note=row["tolerance_reason"] or ""
    ),
    "how it was decided": lambda row: Entry(row["note"] or ABSENT),
}
