"""The tokens of one of the scorer's cells as Parquet, a row group for each window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kvsweep.engine.scorer_file import Window
from kvsweep.errors import UnparsableOutput
from kvsweep.files import complete_or_absent
from kvsweep.measure.record import Recorded
from kvsweep.study.pairs import Pair
from kvsweep.tables.quality_schemas import TOKENS
from kvsweep.tables.scored import windows_of


def write_tokens(recorded: Recorded, build: Mapping[str, Any], path: Path) -> int:
    """Write a cell's tokens, holding one window at a time, and return their number. ``build`` is build.json.

    A cell that was not measured, or not to its end, has none.
    """
    cell = _cell(recorded.run, build)
    n_rows = 0
    with complete_or_absent(path) as beside:
        try:
            with pq.ParquetWriter(beside, TOKENS, compression="zstd") as writer:
                for window in windows_of(recorded):
                    table = _table(window, cell)
                    writer.write_table(table, row_group_size=table.num_rows)
                    n_rows += table.num_rows
        except UnparsableOutput:
            n_rows = 0
            pq.write_table(TOKENS.empty_table(), beside, compression="zstd")
    return n_rows


def _cell(run: Mapping[str, Any], build: Mapping[str, Any]) -> dict[str, Any]:
    same = ("engine", "model", "model_sha256", "corpus", "n_ctx", "positions", "ctk", "ctv")
    return {name: run[name] for name in same} | {
        "engine_commit": build["commit"],
        "backend": build["backend"],
        "machine": run["machine"]["name"],
        "pair": str(Pair(run["ctk"], run["ctv"])),
    }


def _table(window: Window, cell: Mapping[str, Any]) -> pa.Table:
    scores = window.scores
    columns = {name: scores[name] for name in scores.dtype.names if name in TOKENS.names}
    columns |= {"depth": scores["position"] + 1, "same_top": scores["same_top"] == 1}
    constant = {**cell, "window": window.index}
    return pa.table(
        [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.repeat(pa.scalar(constant[field.name], field.type), len(scores))
            for field in TOKENS
        ],
        schema=TOKENS,
    )
