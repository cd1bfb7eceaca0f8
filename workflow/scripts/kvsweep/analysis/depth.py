"""Quality by the depth of the cache: what the scorer's cells say of each part of their positions, a row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kvsweep.tables.row import SCORED, SET_UP, Row, problem_with

_OF_CELL = (*SET_UP, *SCORED, "ctk", "ctv", "chunks", "positions")


def by_depth(quality: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Rows of the table ``depth``: of the scorer's cells in which the pair that was asked for ran."""
    for row in quality:
        if row.get("by_position") and problem_with(row, fallback=True) is None:
            for part in row["by_position"]:
                yield {name: row[name] for name in _OF_CELL} | part
