#!/usr/bin/env python
"""Draws every figure from the Parquet tables.

NAME.svg and NAME.png show all set-ups, as in the report; NAME.pdf has a page for each, as wide as a paper's column
(89 mm), NAME-slide.pdf a 16:9 slide for each; NAME.csv has the numbers.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.figures.catalogue import FIGURES
from kvsweep.machine.workers import side_by_side
from kvsweep.program import run_program, say
from kvsweep.tables.row import Row, one_method
from kvsweep.units import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument("--out", type=Path, required=True, help="directory to write the figures to")
    parser.add_argument(
        "--where",
        nargs="*",
        default=[],
        metavar="COLUMN=VALUE",
        help="draw only rows with these values, such as engine=mainline or model=NAME",
    )
    parser.add_argument("--processes", type=int, default=1, help="figures to draw side by side")
    arguments = parser.parse_args()
    work = partial(write_figure, arguments.tables, arguments.out, arguments.where)
    with side_by_side(arguments.processes) as apply:
        for line in apply(work, FIGURES):
            say(line)


def write_figure(tables: Path, folder: Path, where: list[str], name: str) -> str:
    """Writes the figure in every form; returns what there is to say of it."""
    # Takes seconds to import, and the program itself draws nothing where others draw for it.
    from kvsweep.figures.draw import draw, save
    from kvsweep.tables.storage import read_table

    table = FIGURES[name].table
    rows = read_table(tables, table).to_pylist()
    rows = chosen(one_method(rows) if table == "quality" else rows, where)
    drawing = draw(name, rows)
    save(drawing, folder, name)
    return f"figure {name}: {plural(len(drawing.panels), 'panel')} from {plural(len(rows), 'row')} of {table}"


def chosen(rows: list[Row], where: list[str]) -> list[Row]:
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals:
            raise KvsweepError(f"--where {condition}: write COLUMN=VALUE, such as engine=mainline.")
        if rows and column not in rows[0]:
            raise KvsweepError(f"--where {condition}: the table has no column {column}.")
        rows = [row for row in rows if str(row[column]) == value]
    return rows


if __name__ == "__main__":
    run_program(main)
