#!/usr/bin/env python
"""Reads all raw cells, decides how each ended and what really ran, and writes the Parquet tables."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from kvsweep.code_identity import code_identity
from kvsweep.files import CHECKOUT, complete_or_absent, manifest_identity, read_json, write_json
from kvsweep.program import add_base, run_program, say
from kvsweep.slices.join import joined
from kvsweep.slices.places import bring_slice
from kvsweep.slices.read import read_slice
from kvsweep.study.cells import quality_cells, task_cells, throughput_cells
from kvsweep.study.config import parse_slices, parse_study
from kvsweep.tables import schemas, set_up_schemas
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import OtherRows, of_models, read_published
from kvsweep.tables.read_cells import Group, MachineUse, groups_of, read_tables
from kvsweep.tables.set_up_rows import engine_row, machine_row, model_row
from kvsweep.units import plural


def main() -> None:
    arguments = parse_arguments()
    results: Path = arguments.results
    published = read_published(CHECKOUT / "resources" / "published")
    slices = joined(
        [
            read_slice(name, bring_slice(name, one, results / "slices" / name, say, arguments.base))
            for name, one in parse_slices(json.loads(arguments.slices)).items()
        ]
    )
    if arguments.only_published or arguments.only_slices:
        for name in schemas.TABLES:
            write(results, name, of_others(name, [published] if arguments.only_published else slices))
        return
    others = [*([] if arguments.others == "none" else [published]), *slices]
    study = parse_study(read_json(results / "config.json"))
    build_paths = {name: results / "engines" / name / "build.json" for name in study.engines}
    model_paths = {name: results / "models" / name / "model.json" for name in study.models}
    builds = {name: read_json(path) for name, path in build_paths.items()}
    models = {name: read_json(path) for name, path in model_paths.items()}
    if arguments.others == "same-model":
        theirs = [row | {"path": "", "sha256": row["model_sha256"]} for one in slices for row in one.models]
        others[0] = of_models(published, models.values() if models else theirs)
    ours = as_table([engine_row(build) for build in builds.values()], set_up_schemas.ENGINES)
    write(results, "engines", [ours, *of_others("engines", others)])
    ours = as_table([model_row(model) for model in models.values()], set_up_schemas.MODELS)
    write(results, "models", [ours, *of_others("models", others)])
    throughput = groups_of("throughput", throughput_cells(study), builds, models)
    quality = groups_of("quality", quality_cells(study), builds, models)
    code = code_identity(Path(__file__))
    tasks, items = (groups_of(kind, task_cells(study), builds, models) for kind in ("tasks", "task_items"))
    write_cells(results, [*throughput, *quality, *tasks, *items], code, arguments.processes, others)
    # By this the workflow knows whether one of them has changed since.
    seen = {str(path): manifest_identity(path) for path in [*build_paths.values(), *model_paths.values()]}
    write_json(results / "parsed" / "manifests.json", seen)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="how many read cells side by side"
    )
    parser.add_argument(
        "--others",
        choices=("all", "same-model", "none"),
        default="all",
        help="which published numbers stand beside those measured here",
    )
    parser.add_argument(
        "--slices", default="{}", help="slices by name, as JSON, as the configuration has them"
    )
    add_base(parser)
    parser.add_argument(
        "--only-published", action="store_true", help="make the tables of the published numbers alone"
    )
    parser.add_argument(
        "--only-slices",
        action="store_true",
        help="make the tables of slices alone: nothing was measured here",
    )
    return parser.parse_args()


def of_others(name: str, others: Sequence[OtherRows]) -> list[pa.Table]:
    """What was measured elsewhere, for one table."""
    return [as_table(getattr(other, name), schemas.TABLES[name]) for other in others]


def write_cells(
    results: Path, groups: Sequence[Group], code: str, processes: int, others: Sequence[OtherRows]
) -> None:
    """The tables of the cells, one engine and model after the other, then those of others, and that of the machines
    that the cells ran on."""
    machines: dict[str, MachineUse] = {}
    found = read_tables(results, groups, code, processes, machines)
    for kind in ("throughput", "quality", "tasks", "task_items"):
        ours = (next(found) for group in groups if group.kind == kind)
        write(results, kind, chain(ours, of_others(kind, others)))
    rows = [
        machine_row(read_json(results / use.cell / "run.json")["machine"], use.hosts, use.n_cells)
        for use in machines.values()
    ]
    rows.sort(key=lambda row: (row["machine"], row["machine_record"]))
    ours = as_table(rows, set_up_schemas.MACHINES)
    write(results, "machines", [ours, *of_others("machines", others)])


def write(results: Path, name: str, parts: Iterable[pa.Table]) -> None:
    path, n_rows = results / "tables" / f"{name}.parquet", 0
    with (
        complete_or_absent(path) as beside,
        pq.ParquetWriter(beside, schemas.TABLES[name], compression="zstd") as writer,
    ):
        for part in parts:
            writer.write_table(part)
            n_rows += part.num_rows
    say(f"{path}: {plural(n_rows, 'row')}")


if __name__ == "__main__":
    run_program(main)
