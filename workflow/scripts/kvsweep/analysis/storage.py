"""Tables on disk for those who make answers of them and show them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.tables import storage
from kvsweep.tables.schemas import TABLES, TASK_ITEMS, TASKS

EVERY_TABLE = (*TABLES, *ANALYSIS)
# An older kvsweep made no tables of tasks, and not all of today's answers.
_MAY_BE_ABSENT = {"tasks": TASKS, "task_items": TASK_ITEMS, **ANALYSIS}


def read_table(tables: Path, name: str) -> pa.Table:
    """A measured table or one of answers; one that may be absent is then an empty one."""
    return storage.read_table(tables, name, if_absent=_MAY_BE_ABSENT.get(name))
