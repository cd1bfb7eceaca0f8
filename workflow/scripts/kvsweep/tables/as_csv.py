"""A table as CSV: a list is JSON, what is missing is empty, and no text is a spreadsheet's formula."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from kvsweep.files import complete_or_absent

# What a spreadsheet takes for the beginning of a formula; an apostrophe before it makes it a text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    with complete_or_absent(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        # With the line ends of RFC 4180: others leave a bare carriage return unquoted.
        lines = csv.writer(file)
        lines.writerow(schema.names)
        lines.writerows([_cell(row.get(name)) for name in schema.names] for row in rows)


def write_columns(path: Path, schemas: Mapping[str, pa.Schema]) -> None:
    """What each column of these tables is: unit and meaning, which CSV cannot carry."""
    rows = [
        {
            "table": table,
            "column": field.name,
            "unit": field.metadata[b"unit"].decode(),
            "meaning": field.metadata[b"meaning"].decode(),
        }
        for table, schema in schemas.items()
        for field in schema
    ]
    write_csv(path, rows, pa.schema([(name, pa.string()) for name in ("table", "column", "unit", "meaning")]))


def _cell(value: Any) -> str | int | float | bool | None:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case datetime():
            return value.isoformat()
    return json.dumps(value, ensure_ascii=False)
