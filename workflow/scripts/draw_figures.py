#!/usr/bin/env python
"""Draws every figure of the report from the Parquet tables: NAME.svg and NAME.png for each."""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow.parquet as pq
from kvsweep.figures import FIGURES, save
from kvsweep.files import complete_or_absent
from kvsweep.program import run_program, say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument("--out", type=Path, required=True, help="directory to write the figures to")
    arguments = parser.parse_args()
    for name, picture in FIGURES.items():
        path = arguments.tables / f"{picture.table}.parquet"
        table = pq.read_table(path).to_pandas()
        figure = picture.draw(table)
        for kind in ("svg", "png"):
            with complete_or_absent(arguments.out / f"{name}.{kind}") as beside:
                save(figure, beside, kind)
        say(f"figure {name}: {len(figure.axes)} panels from {len(table)} rows of {path.name}")


if __name__ == "__main__":
    run_program(main)
