"""What the parts of the report are made of: tables of finished text, warnings, evidence, and the names of things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvsweep.analysis.groups import QUALITY_SUBJECT, SUBJECT, compare
from kvsweep.analysis.set_ups import by_columns
from kvsweep.numbers import ABSENT, format_between, format_number
from kvsweep.study.pairs import Pair, pair_label, pair_order
from kvsweep.tables.row import Row, pair_of, ran_as, source_order, with_ends
from kvsweep.units import format_count

NO_DIFFERENCE = "no difference shown"
PHASES = (("prefill", "Prefill (prompt processing)"), ("decode", "Decode (text generation)"))


@dataclass(frozen=True)
class Entry:
    """One field of a table: finished text, what else there is to say of it, and the cell it leads to."""

    text: str
    marks: tuple[str, ...] = ()  # need attention before the number is used
    target: int | None = None  # the number of a cell, whose evidence the entry opens
    measured: bool = True
    note: str = ""  # a second, lesser line
    findings: tuple[str, ...] = ()  # what the number says, in words
    value: float | None = None  # what a column is sorted by, where the text's first number would mislead


@dataclass(frozen=True)
class Grid:
    """A table: its first column names the rows; notes stand below it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    of_numbers: bool = True
    notes: tuple[str, ...] = ()
    of_status: bool = False


@dataclass(frozen=True)
class Caution:
    """One kind of thing that a reader must know before the numbers: what it concerns, in lines, and how much that is.

    Cells of which there is the same to say share a line.
    """

    kind: str
    cells: tuple[str, ...]
    extent: str  # `12 cells`


@dataclass(frozen=True)
class Cell:
    """The evidence of one cell: how it ended, and (name, value) of what is known about its run."""

    title: str
    set_up: str
    status: str
    reason: str
    log_line: str
    command: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """What there is to say of one set-up."""

    title: str
    grids: tuple[Grid, ...]
    summary: str = ""
    says_something: bool = True
    sentences: tuple[str, ...] = ()


Columns = Mapping[str, Callable[[Row], Entry]]  # what stands in a column, by its name


def table_of(
    caption: str, columns: Columns, rows: Iterable[Row], of_numbers: bool = True, notes: Iterable[str] = ()
) -> Grid:
    """A line for each row."""
    lines = tuple(tuple(entry(row) for entry in columns.values()) for row in rows)
    return Grid(caption, tuple(columns), lines, of_numbers, tuple(notes))


def by_depth(
    caption: str,
    rows: Iterable[Row],
    entry: Callable[[Row], Entry],
    head: Callable[[Sequence[Row]], Entry],
    notes: Iterable[str] = (),
) -> Grid:
    """Pairs down, depths across; what was never asked for stays empty."""
    rows = list(rows)
    depths = sorted({row["depth"] for row in rows})
    lines = []
    for own in by_pair(rows).values():
        cells = {row["depth"]: row for row in own}
        entries = (entry(cells[depth]) if depth in cells else Entry("") for depth in depths)
        lines.append((head(own), *entries))
    return Grid(caption, ("pair \\ depth", *map(format_count, depths)), tuple(lines), notes=tuple(notes))


def by_set_up(rows: Iterable[Row], subject: Sequence[str]) -> list[tuple[str, tuple[Row, ...]]]:
    """Title and rows of each set-up: what was measured here first, what others published last."""
    comparison = compare(sorted(rows, key=source_order), subject)
    return [(comparison.full_title(group), group.rows) for group in comparison.groups]


# --- names of things ----------------------------------------------------------------------------------------


def label_of(row: Row) -> str:
    return pair_label(row["ctk"], row["ctv"], row["effective_ctk"], row["effective_ctv"])


def marks_of(row: Row) -> tuple[str, ...]:
    return ("fallback",) if row["fallback"] else ()


def pair_of_row(row: Row) -> Entry:
    """The pair that was asked for, of a table that has only cells in which it ran."""
    return Entry(str(pair_of(row)))


def pair_entry(rows: Iterable[Row]) -> Entry:
    """A pair as the head of a row. If one of its cells ran as another pair, the name says so."""
    rows = list(rows)
    another = next((row for row in rows if ran_as(row)), None)
    return Entry(label_of(another or rows[0]), marks=("another pair ran",) if another else ())


def listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values if value is not None})) or ABSENT


def by_pair(rows: Iterable[Row]) -> dict[Pair, list[Row]]:
    """Rows by the pair that was asked for, in the order in which pairs are always shown."""
    in_order = sorted(rows, key=lambda row: pair_order(row["ctk"], row["ctv"]))
    return {Pair(*pair): own for pair, own in by_columns(in_order, ("ctk", "ctv")).items()}


def number(value: float | None, significant: int = 3) -> Entry:
    """A number, by which its column is sorted; a dash for none."""
    return Entry(format_number(value, significant), value=value)


def written(value: Any, text: Callable[[Any], str]) -> Entry:
    """A value as ``text`` writes it; its column is sorted by the value, and a dash stands for none."""
    return Entry(ABSENT if value is None else text(value), value=value)


def cell_of(row: Row, quantity: str) -> str:
    """`q8_0/turbo4, decode at 64K, tokens/s`."""
    where = f"context {format_count(row['n_ctx'])}"
    if row["phase"] is not None:
        where = f"{row['phase']} at {format_count(row['depth'])}"
    return f"{pair_of(row)}, {where}, {quantity}"


def ratio_entry(row: Row) -> Entry:
    """The ratio of two numbers with the ends of its interval, where they are known."""
    return written(row["ratio"], lambda _: format_between(*with_ends(row, "ratio"), 4))


def count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def cells_of(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows by cell: both phases of a throughput cell come from one process."""
    own = ("ctk", "ctv", "depth", "round", "method", "reference", "task")
    columns = dict.fromkeys((*SUBJECT, *QUALITY_SUBJECT, *own))
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(tuple(row.get(column) for column in columns), []).append(row)
    return list(cells.values())
