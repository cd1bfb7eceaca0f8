#!/usr/bin/env python
"""Writes tables for other tools into results/export: every table as CSV, and speeds as llama-bench's own database.

Of this study, or with SLICE=file of a slice, which is checked and read as in a run.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.errors import KvsweepError
from kvsweep.program import run_program, say
from kvsweep.slices.archive import open_slice
from kvsweep.slices.layout import LIMITS
from kvsweep.slices.llama_bench import Database, database_of, write_database
from kvsweep.slices.read import rows_in
from kvsweep.tables.as_csv import write_columns, write_csv
from kvsweep.tables.schemas import TABLES
from kvsweep.units import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    parser.add_argument("--slice", type=Path, help="a slice: an archive or a directory")
    arguments = parser.parse_args()
    target: Path = arguments.results / "export"
    if arguments.slice is None:
        rows, database = of_this_study(arguments.results)
    else:
        rows, database = of_slice(arguments.slice)
        target /= arguments.slice.stem
    schemas = {name: schema for name, schema in {**TABLES, **ANALYSIS}.items() if name in rows}
    for name, schema in schemas.items():
        write_csv(target / f"{name}.csv", rows[name], schema)
    write_columns(target / "columns.csv", schemas)
    say(f"{target}: {plural(len(schemas), 'table')} as CSV; columns.csv says what each column is")
    if database.rows:
        write_database(target / "llama-bench.sqlite", database)
        builds = list(database.builds.values())
        of = f"the build{'' if len(builds) == 1 else 's'} {', '.join(builds)}"
        say(f"{target / 'llama-bench.sqlite'}: {plural(len(database.rows), 'speed')} of {of}")
    if database.missing:
        missing = plural(database.missing, "measured speed")
        are = "is" if database.missing == 1 else "are"
        say(f"note: {missing} cannot be read from a log, and {are} not in a database")


def of_this_study(results: Path) -> tuple[dict[str, list[dict[str, Any]]], Database]:
    found = {path.stem: path for path in sorted((results / "tables").glob("*.parquet"))}
    if "throughput" not in found:
        raise KvsweepError(f"{results / 'tables'}: there are no tables; run the workflow first.")
    rows = {name: pq.read_table(path).to_pylist() for name, path in found.items()}
    # Our own logs may be of any length.
    with open_slice(results, replace(LIMITS, log_bytes=2**40)) as contents:
        own = [row for row in rows["throughput"] if row["source"] == "measured"]
        return rows, database_of(contents, own)


def of_slice(place: Path) -> tuple[dict[str, list[dict[str, Any]]], Database]:
    if not place.exists():
        raise KvsweepError(f"{place}: is not there; give the path of a slice with SLICE=.")
    try:
        with open_slice(place) as contents:
            rows = rows_in(contents).rows
            return rows, database_of(contents, rows["throughput"])
    except KvsweepError as error:
        raise KvsweepError(f"{place}: {error}") from None


if __name__ == "__main__":
    run_program(main)
