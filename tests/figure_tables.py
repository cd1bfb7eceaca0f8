"""Parquet tables to draw every figure from."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import recorded_study
from kvsweep.analysis.schemas import EVERY_TABLE
from kvsweep.figures.catalogue import FIGURES
from support import ROOT
from synthetic_analysis import answers
from synthetic_tables import study

# What neither the recorded study nor a shipped slice has: answers, and one model on two machines.
MADE_UP = ("right_by_context", "speed_across", "speed_by_machine")


@cache
def made_up_tables() -> dict[str, list[dict[str, Any]]]:
    """Rows that every figure has something to draw of."""
    tables = {name: table.to_pylist() for name, table in (study() | answers()).items()}
    elsewhere = {"source": "slice:attic", "machine": "NVIDIA H200"}
    tables["speed"] += [row | elsewhere for row in tables["speed"] if row["source"] == "measured"]
    return tables


def write_figure_tables(place: Path) -> dict[str, Path]:
    """By figure the directory with its table: of the recorded study, of all shipped slices and of what was published;
    of MADE_UP figures made-up ones."""
    shutil.copytree(recorded_study.RESULTS, place / "results")
    slices = {path.stem: str(path) for path in sorted((ROOT / "examples" / "slices").glob("*.zip"))}
    recorded_study.tables_of(place / "results", None, "--slices", json.dumps(slices))
    (place / "made-up").mkdir()
    schemas = study() | answers()
    for name, rows in made_up_tables().items():
        table = pa.Table.from_pylist(rows, schema=schemas[name].schema)
        pq.write_table(table, place / "made-up" / f"{name}.parquet")
    assert {figure.table for figure in FIGURES.values()} <= set(EVERY_TABLE)
    return {name: place / ("made-up" if name in MADE_UP else "results/tables") for name in FIGURES}
