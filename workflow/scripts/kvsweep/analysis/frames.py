"""Data frames of table rows: in with the schema's columns and types, out with None for what is missing.

The pyarrow schema of a table is the one source of its columns; another column is a mistake of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa

from kvsweep.tables.row import Row

_TYPES = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def frame_of(rows: Iterable[Row], schema: pa.Schema, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """The columns of these rows, all of the schema's by default, with its types.

    Raises ValueError for a column that the schema does not have.
    """
    names = list(schema.names if columns is None else columns)
    _check(names, schema)
    part = pa.schema([schema.field(name) for name in names])
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], part)
    frame: pd.DataFrame = table.to_pandas(types_mapper=_TYPES.get)
    return frame


def rows_of(frame: pd.DataFrame, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
    """The frame's rows, with None for every kind of missing value that pandas knows.

    Raises ValueError for a column that the schema, if given, does not have.
    """
    if schema is not None:
        _check(frame.columns, schema)
    columns = {
        str(name): [
            value if known else None for value, known in zip(column.tolist(), column.notna(), strict=True)
        ]
        for name, column in frame.items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _check(names: Iterable[str], schema: pa.Schema) -> None:
    unknown = set(names) - set(schema.names)
    if unknown:
        raise ValueError(f"columns without a schema: {sorted(unknown)}")
