"""Slices: the tables that kvsweep made on another machine, read as rows of our own, with source ``slice:NAME``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kvsweep.errors import KvsweepError
from kvsweep.study.pairs import Pair
from kvsweep.tables.published import OtherRows
from kvsweep.tables.schemas import MODELS, QUALITY, THROUGHPUT
from kvsweep.tables.status import STATUSES

_IDENTITY = ("engine", "engine_commit", "backend", "machine", "model", "model_sha256")
# What a row cannot do without, and its value: of a table.
_NEEDED = {
    "throughput": ("engine", "machine", "model", "ctk", "ctv", "depth", "phase", "n_tokens", "status"),
    "quality": ("engine", "machine", "model", "corpus", "n_ctx", "ctk", "ctv", "status"),
    "models": ("model",),
}
_VALUE = {"throughput": "tokens_per_second", "quality": "kld_mean"}
_CELL = {
    "throughput": (*_IDENTITY, "ctk", "ctv", "depth", "phase", "n_tokens", "round"),
    "quality": (*_IDENTITY, "ctk", "ctv", "corpus", "n_ctx"),
    "models": ("model", "model_sha256"),
}


def read_slice(name: str, directory: Path) -> OtherRows:
    """The measured rows in ``directory``'s throughput.parquet and quality.parquet, and models.parquet if it is there.

    Either of the first two may be missing. What the slice had itself from elsewhere (published numbers, other slices)
    is left out. Columns that an older kvsweep did not write are null. Raises KvsweepError for anything else.
    """
    found = {
        table: _read(directory / f"{table}.parquet", table, schema, name)
        for table, schema in (("throughput", THROUGHPUT), ("quality", QUALITY), ("models", MODELS))
    }
    if not any(path.is_file() for path in (directory / f"{table}.parquet" for table in _VALUE)):
        raise KvsweepError(
            f"slices.{name}: there is no throughput.parquet or quality.parquet in {directory}; "
            "give the directory of the tables."
        )
    return OtherRows(**found)


def _read(path: Path, table: str, schema: pa.Schema, name: str) -> tuple[dict[str, Any], ...]:
    if not path.is_file():
        return ()
    try:
        # A file's own, not ParquetDataset's: directories named key=value are no columns here.
        content = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise KvsweepError(f"slices.{name}: {path} cannot be read as Parquet ({error}).") from None
    unknown = [column for column in content.column_names if column not in schema.names]
    if unknown:
        raise KvsweepError(
            f"slices.{name}: {path} has a column {unknown[0]!r}, which this kvsweep does not know; "
            "a newer one may have written it."
        )
    missing = [column for column in _NEEDED[table] if column not in content.column_names]
    if missing:
        raise KvsweepError(
            f"slices.{name}: {path} has no column {missing[0]!r}; it is not a table of kvsweep."
        )
    arrays = []
    for field in schema:
        try:
            arrays.append(
                content[field.name].cast(field.type)
                if field.name in content.column_names
                else pa.nulls(content.num_rows, field.type)
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise KvsweepError(
                f"slices.{name}: {path}: the column {field.name!r} is {content[field.name].type}, not {field.type}."
            ) from None
    rows = pa.table(arrays, schema=schema).to_pylist()
    # An older table of models does not say; then it was measured.
    own = [row for row in rows if (row["source"] or "measured") == "measured"]
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(own, start=1):
        problem = _problem(row, table)
        cell = tuple(row[column] for column in _CELL[table])
        if problem is None and cell in seen:
            problem = "the same cell stands in it twice"
        if problem is not None:
            raise KvsweepError(f"slices.{name}: {path}, row {number} of those measured: {problem}.")
        seen.add(cell)
    # The pair is said again from its two types, whoever wrote the file.
    again = {"pair": None} if "pair" in schema.names else {}
    return tuple(row | again | {"source": f"slice:{name}"} for row in own)


def _problem(row: dict[str, Any], table: str) -> str | None:
    """What makes a row unusable, if anything does."""
    for column in _NEEDED[table]:
        if row[column] is None:
            return f"{column} is missing"
    if table == "models":
        return None
    try:
        Pair.parse(f"{row['ctk']}/{row['ctv']}")
    except ValueError as error:
        return str(error)
    if row["status"] not in STATUSES:
        return f"the status is {row['status']!r}, not one of {', '.join(STATUSES)}"
    if table == "throughput" and row["phase"] not in ("prefill", "decode"):
        return f"the phase is {row['phase']!r}, neither prefill nor decode"
    if row.get("depth", 0) < 0 or row.get("n_ctx", 1) < 1:
        return "depth or n_ctx is negative"
    value = row[_VALUE[table]]
    if (row["status"] == "measured") != (value is not None):
        return f"{_VALUE[table]} is {value} at status {row['status']}"
    if value is not None and not (math.isfinite(value) and (value > 0 or table == "quality")):
        return f"{_VALUE[table]} is {value}"
    return None
