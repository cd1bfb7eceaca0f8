"""The one reader and writer of Parquet tables after the measured ones are made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kvsweep.errors import KvsweepError
from kvsweep.files import complete_or_absent
from kvsweep.program import say
from kvsweep.tables.columns import as_table
from kvsweep.units import plural


def read_table(tables: Path, name: str) -> pa.Table:
    """NAME.parquet in the directory ``tables``. Raises KvsweepError if it cannot be read."""
    path = tables / f"{name}.parquet"
    try:
        return pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise KvsweepError(f"{path}: cannot be read ({error}); run the workflow again to make it.") from error


def write_rows(tables: Path, name: str, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """A table of answers, complete or absent."""
    path = tables / f"{name}.parquet"
    table = as_table(rows, schema)
    with complete_or_absent(path) as beside:
        pq.write_table(table, beside, compression="zstd")
    say(f"{path}: {plural(table.num_rows, 'row')}")
