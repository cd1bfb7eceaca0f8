#!/usr/bin/env python
"""Reads all raw cells, decides how each ended and what really ran, and writes the Parquet tables."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kvsweep import schemas, tables
from kvsweep.cells import quality_cells, throughput_cells
from kvsweep.config import parse_study
from kvsweep.files import complete_or_absent, read_json
from kvsweep.program import run_program, say
from kvsweep.recorded import read_recorded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    results: Path = parser.parse_args().results
    study = parse_study(read_json(results / "config.json"))
    builds = {name: read_json(results / "engines" / name / "build.json") for name in study.engines}
    models = {name: read_json(results / "models" / name / "model.json") for name in study.models}

    throughput: list[tables.Row] = []
    for cell in throughput_cells(study):
        recorded = read_recorded(results / cell.directory)
        throughput += tables.throughput_rows(cell, recorded, builds[cell.engine], models[cell.model])
    tables.mark_fallback(throughput, tables.throughput_peers)

    quality = [
        tables.quality_row(
            cell, read_recorded(results / cell.directory), builds[cell.engine], models[cell.model]
        )
        for cell in quality_cells(study)
    ]
    tables.mark_fallback(quality, tables.quality_peers)

    write(results, "engines", [tables.engine_row(build) for build in builds.values()])
    write(results, "models", [tables.model_row(model) for model in models.values()])
    write(results, "throughput", throughput)
    write(results, "quality", quality)


def write(results: Path, name: str, rows: list[dict[str, Any]]) -> None:
    table: pa.Table = tables.as_table(rows, schemas.TABLES[name])
    path = results / "tables" / f"{name}.parquet"
    with complete_or_absent(path) as beside:
        pq.write_table(table, beside, compression="zstd")
    say(f"{path}: {table.num_rows} rows")


if __name__ == "__main__":
    run_program(main)
