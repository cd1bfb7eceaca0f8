#!/usr/bin/env python
"""Checks the study's statements on its own numbers, on the measured ones and on slices; writes the table of claims."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from kvsweep.analysis import claims
from kvsweep.analysis.speed import over_rounds
from kvsweep.analysis.storage import write_answers
from kvsweep.program import run_program, say
from kvsweep.tables.storage import read_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    arguments = parser.parse_args()
    throughput, quality = (
        filter(claims.is_subject, read_rows(arguments.tables, table)) for table in ("throughput", "quality")
    )
    rows = claims.evaluate(over_rounds(throughput), quality)
    write_answers(arguments.tables, "claims", rows)
    for subject in dict.fromkeys(row["subject"] for row in rows):
        counts = Counter(row["verdict"] for row in rows if row["subject"] == subject)
        say(f"claims on {subject}: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}")


if __name__ == "__main__":
    run_program(main)
