#!/usr/bin/env python
"""Writes what the scorer recorded of each token of a cell as Parquet."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.files import read_json
from kvsweep.measure.record import read_recorded
from kvsweep.program import run_program, say
from kvsweep.tables.tokens import write_tokens
from kvsweep.units import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="run.json of the cell")
    parser.add_argument("--build-json", type=Path, required=True, help="build.json of its engine")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    recorded = read_recorded(arguments.run.parent)
    n_rows = write_tokens(recorded, read_json(arguments.build_json), arguments.output)
    say(f"{arguments.output}: {plural(n_rows, 'token')}")


if __name__ == "__main__":
    run_program(main)
