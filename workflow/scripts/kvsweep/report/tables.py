"""The Parquet tables that figures and report are made from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.errors import KvsweepError
from kvsweep.tables.schemas import TABLES

SCHEMAS: dict[str, pa.Schema] = {**TABLES, **ANALYSIS}


def read_table(folder: Path, name: str) -> pa.Table:
    """NAME.parquet; a table of answers that was not made is an empty one.

    Raises KvsweepError where a table cannot be read.
    """
    path = folder / f"{name}.parquet"
    if name in ANALYSIS and not path.exists():
        return SCHEMAS[name].empty_table()
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise KvsweepError(f"{path}: cannot be read ({error}); run the workflow again to make it.") from error
