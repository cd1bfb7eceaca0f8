"""Reading tables and writing tables of answers, for the programs between the tables and the report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.errors import KvsweepError
from kvsweep.files import complete_or_absent
from kvsweep.program import say
from kvsweep.tables.rows import Row, as_table


def read_rows(tables: Path, name: str) -> list[Row]:
    """All rows of a table in the directory ``tables``. Raises KvsweepError if it cannot be read."""
    path = tables / f"{name}.parquet"
    try:
        rows: list[Row] = pq.ParquetFile(path).read().to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise KvsweepError(f"{path}: cannot be read ({error}); run the workflow again to make it.") from error
    return rows


def write_rows(tables: Path, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """A table of answers, complete or absent."""
    path = tables / f"{name}.parquet"
    table = as_table(rows, ANALYSIS[name])
    with complete_or_absent(path) as beside:
        pq.write_table(table, beside, compression="zstd")
    say(f"{path}: {table.num_rows} rows")
