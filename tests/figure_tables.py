"""Parquet tables to draw every figure from."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import recorded_study
from kvsweep.analysis.schemas import EVERY_TABLE
from kvsweep.figures import draw as draw_module
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.drawing import Drawing
from kvsweep.tables.row import one_method
from kvsweep.tables.storage import read_table
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


def all_panels(tables: dict[str, Path]) -> dict[str, Drawing]:
    """Every figure with all its panels, of which a page has the first few."""
    found = {}
    with mock.patch.object(draw_module, "MOST_PANELS", 1000):
        for name, entry in FIGURES.items():
            rows = read_table(tables[name], entry.table).to_pylist()
            found[name] = draw_module.draw(name, one_method(rows) if entry.table == "quality" else rows)
    return found
