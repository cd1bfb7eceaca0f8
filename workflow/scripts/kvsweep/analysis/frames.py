"""Data frames of the rows of a table, whose schema says which columns and types there are; and rows of data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

# Integers and flags of which some are missing stay what they are.
_KINDS: dict[pa.DataType, Any] = {pa.int64(): "Int64", pa.float64(): "float64", pa.bool_(): "boolean"}


def frame_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema, *columns: str) -> pd.DataFrame:
    """These columns of the rows, in the types of the schema; what a row lacks is missing.

    Raises KeyError for a column that the schema does not have, TypeError or ValueError for a value of another type.
    """
    rows = list(rows)
    kinds = {name: _KINDS.get(schema.field(name).type, "object") for name in columns}
    return pd.DataFrame(
        {name: pd.array([row.get(name) for row in rows], dtype=kind) for name, kind in kinds.items()}
    )


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows, with None for every kind of missing value that pandas knows."""
    columns = {str(name): _or_none(column) for name, column in frame.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _or_none(column: pd.Series[Any]) -> list[Any]:
    missing = column.isna().to_numpy()
    if not missing.any():
        return column.tolist()
    values = column.to_numpy(object, copy=True)
    values[missing] = None
    return list(values)


def either(otherwise: Any, cases: Mapping[Any, ArrayLike]) -> NDArray[np.object_]:
    """For each row the first of the cases that holds in it, else ``otherwise``."""
    found = np.full(np.shape(next(iter(cases.values()))), otherwise, dtype=object)
    for value, holds in reversed(list(cases.items())):
        found[np.asarray(holds, dtype=bool)] = value
    return found
