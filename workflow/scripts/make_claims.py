#!/usr/bin/env python
"""Checks the study's statements on its own numbers, on the measured ones and on slices; writes the table of claims."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kvsweep import claims, schemas
from kvsweep.errors import KvsweepError
from kvsweep.files import complete_or_absent
from kvsweep.program import run_program, say
from kvsweep.tables import as_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    arguments = parser.parse_args()
    rows = claims.evaluate(
        *(
            filter(claims.is_subject, read(arguments.tables / f"{table}.parquet"))
            for table in ("throughput", "quality")
        )
    )
    with complete_or_absent(arguments.out) as beside:
        pq.write_table(as_table(rows, schemas.CLAIMS), beside, compression="zstd")
    for subject in dict.fromkeys(row["subject"] for row in rows):
        counts = Counter(row["verdict"] for row in rows if row["subject"] == subject)
        say(f"claims on {subject}: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}")


def read(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise KvsweepError(f"{path}: cannot be read ({error}); run the workflow again to make it.") from error
    return rows


if __name__ == "__main__":
    run_program(main)
