"""Rows of data frames, with None for what is missing."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa


def rows_of(frame: pd.DataFrame, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
    """The frame's rows, with None for every kind of missing value that pandas knows.

    Raises ValueError for a column that the schema, if given, does not have.
    """
    if schema is not None:
        unknown = set(frame.columns) - set(schema.names)
        if unknown:
            raise ValueError(f"columns without a schema: {sorted(unknown)}")
    columns = {
        str(name): [
            value if known else None for value, known in zip(column.tolist(), column.notna(), strict=True)
        ]
        for name, column in frame.items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
