"""Tables of answers on disk, beside the measured ones that they are made from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.tables import storage
from kvsweep.tables.schemas import TABLES

EVERY_TABLE = (*TABLES, *ANALYSIS)


def read_table(tables: Path, name: str) -> pa.Table:
    """A measured table or one of answers; one of answers that was not made is an empty one."""
    return storage.read_table(tables, name, if_absent=ANALYSIS.get(name))


def write_answers(tables: Path, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """A table of answers, complete or absent."""
    storage.write_rows(tables, name, rows, ANALYSIS[name])
