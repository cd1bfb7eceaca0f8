"""The figures as the report shows them: the drawing, and the numbers behind it."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.catalogue import Entry as Listed
from kvsweep.numbers import ABSENT, format_number
from kvsweep.report.parts import Entry, Grid


@dataclass(frozen=True)
class Figure:
    """A figure as the report shows it. Where `numbers` is empty `listed.nothing` stands in its place, if that is
    not."""

    name: str
    listed: Listed
    svg: str
    numbers: tuple[Grid, ...]  # one for each set-up


def read_figures(folder: Path) -> list[Figure]:
    """NAME.svg and NAME.csv of every figure. Raises KvsweepError where one is missing."""
    try:
        return [
            Figure(
                name,
                listed,
                (folder / f"{name}.svg").read_text(encoding="utf-8"),
                numbers_of((folder / f"{name}.csv").read_text(encoding="utf-8")),
            )
            for name, listed in FIGURES.items()
        ]
    except FileNotFoundError as error:
        raise KvsweepError(
            f"{error.filename}: this figure is missing; run the workflow again to draw it."
        ) from None


def numbers_of(text: str) -> tuple[Grid, ...]:
    """A figure's CSV, whose first column names the set-up, as a table for each."""
    columns, *rows = list(csv.reader(text.splitlines())) or [[]]
    by_set_up: dict[str, list[list[str]]] = {}
    for row in rows:
        by_set_up.setdefault(row[0], []).append(row)
    return tuple(_table(title, columns, own) for title, own in by_set_up.items())


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Grid:
    # Columns in which nothing is known say nothing.
    kept = [i for i in range(1, len(columns)) if any(row[i] for row in rows)]
    return Grid(
        title,
        tuple(columns[i] for i in kept),
        tuple(tuple(_entry(row[i]) for i in kept) for row in rows),
        of_numbers=False,
    )


def _entry(text: str) -> Entry:
    if re.fullmatch(r"-?\d+", text):
        return Entry(f"{int(text):,}")
    try:
        number = float(text)
    except ValueError:
        return Entry(text or ABSENT)
    return Entry(format_number(number, 5))
