#!/usr/bin/env python
"""Works out what each cell needs in memory, the largest context that fits, and how fast a cache is read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kvsweep.analysis.bandwidth import bandwidth, read_bandwidths
from kvsweep.analysis.memory import largest_contexts, memory
from kvsweep.analysis.speed import over_rounds
from kvsweep.analysis.storage import write_answers
from kvsweep.program import run_program
from kvsweep.tables.storage import read_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument(
        "--memories", default="[]", help="sizes to compute the largest context for, in bytes, as JSON"
    )
    arguments = parser.parse_args()
    tables: Path = arguments.tables
    throughput, models = over_rounds(read_rows(tables, "throughput")), read_rows(tables, "models")
    needed = list(memory(throughput, models))
    write_answers(tables, "memory", needed)
    write_answers(tables, "bandwidth", bandwidth(throughput, needed, read_bandwidths()))
    write_answers(
        tables, "largest_context", largest_contexts(throughput, models, json.loads(arguments.memories))
    )


if __name__ == "__main__":
    run_program(main)
