"""What a column of a table is: its name, type, unit and meaning; and a schema, which is a list of them.

Unit and meaning travel in each Parquet field's metadata under the keys ``unit`` and ``meaning``.
"""

from __future__ import annotations

import pyarrow as pa

TEXT = pa.string()
INTEGER = pa.int64()
REAL = pa.float64()
FLAG = pa.bool_()
TIME = pa.timestamp("ms", tz="UTC")
TEXTS = pa.list_(pa.string())
REALS = pa.list_(pa.float64())
INTEGERS = pa.list_(pa.int64())
FLAGS = pa.list_(pa.bool_())

Column = tuple[str, pa.DataType, str, str]

# Of every table in which rows of others stand.
FROM: list[Column] = [
    ("slice", TEXT, "", "the slice that the row is from, as the configuration names it; null for all others"),
    (
        "made_from",
        TEXT,
        "",
        "raw: made here of the slice's raw logs; tables: as the slice's own tables say it; null for all others",
    ),
]

# Of every table with a pair: last, so that older readers find all columns where they were. ``as_table`` fills it.
PAIR: Column = ("pair", TEXT, "", "K and V as the configuration writes them: q8_0/turbo4; q8_0 for q8_0/q8_0")


def as_schema(columns: list[Column]) -> pa.Schema:
    """A schema whose fields carry unit and meaning. One with ``ctk`` and ``ctv`` has ``pair`` as well."""
    if {"ctk", "ctv"} <= {column[0] for column in columns}:
        columns = [*columns, PAIR]
    return pa.schema(
        [
            pa.field(name, kind, metadata={"unit": unit, "meaning": meaning})
            for name, kind, unit, meaning in columns
        ]
    )
