#!/usr/bin/env python
"""Says which pair is best for which work, from what was measured."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kvsweep.analysis.advice import advice
from kvsweep.analysis.speed import over_rounds
from kvsweep.analysis.storage import read_table, write_answers
from kvsweep.analysis.workloads import deepest_measured, up_to
from kvsweep.program import run_program, say
from kvsweep.study.config import parse_workloads
from kvsweep.tables import storage
from kvsweep.tables.row import is_published
from kvsweep.tables.schemas import TASKS
from kvsweep.tables.storage import read_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument("--workloads", help="the configuration's workloads, as JSON; kvsweep's own if absent")
    arguments = parser.parse_args()
    tables: Path = arguments.tables
    asked = json.loads(arguments.workloads) if arguments.workloads else None
    workloads = parse_workloads(asked)
    throughput, quality, models = (read_rows(tables, name) for name in ("throughput", "quality", "models"))
    if asked is None:
        workloads = up_to(workloads, deepest_measured(throughput))
    if asked:
        # What others published was measured for other work than this configuration's.
        throughput, quality = (
            [row for row in rows if not is_published(row)] for rows in (throughput, quality)
        )
    shares = read_table(tables, "task_shares").to_pylist()
    tasks = storage.read_table(tables, "tasks", if_absent=TASKS).to_pylist()
    rows = advice(over_rounds(throughput), quality, models, workloads.values(), shares, tasks)
    write_answers(tables, "advice", rows)
    for row in rows:
        if row["verdict"] == "pick":
            pair = row["ctk"] if row["ctk"] == row["ctv"] else f"{row['ctk']}/{row['ctv']}"
            say(f"{row['workload']} on {row['machine']} ({row['source']}): {pair}; {row['why']}")


if __name__ == "__main__":
    run_program(main)
