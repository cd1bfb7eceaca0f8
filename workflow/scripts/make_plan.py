#!/usr/bin/env python
"""Shows what a run of the configuration still has to do, what it will need and how long it may take.

Reads the headers of the models and the records of finished cells; runs no engine, builds and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

from kvsweep.engine.backends import choose_backend
from kvsweep.files import read_manifest, sha256, write_json
from kvsweep.inputs.model_header import ModelHeader, from_manifest, read_header
from kvsweep.machine.description import (
    available_memory_bytes,
    gpu_limit_bytes,
    memory_bytes,
    this_machine,
)
from kvsweep.measure.prediction import Curve, measured_curve
from kvsweep.plan import counts
from kvsweep.plan.as_data import as_json
from kvsweep.plan.current import look
from kvsweep.plan.last_run import of_another_study
from kvsweep.plan.missing import missing, needed_for
from kvsweep.plan.needs import ModelFile
from kvsweep.plan.plan import Known, Resources, make_plan
from kvsweep.plan.view import as_text
from kvsweep.plan.warnings import warnings
from kvsweep.program import add_base, run_program, say
from kvsweep.study.cells import all_cells, baseline_runs, throughput_cells
from kvsweep.study.config import Study, parse_study
from kvsweep.study.input_shape import Model
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.study.split_models import part_paths
from kvsweep.tables.raw_cells import RawCell, read_raw_cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    add_base(parser)
    parser.add_argument("--config", required=True, help="the configuration, as JSON")
    parser.add_argument(
        "--warnings", action="store_true", help="say only what will not fit, or not do what its name says"
    )
    arguments = parser.parse_args()
    results: Path = arguments.results
    study = parse_study(json.loads(arguments.config))
    known = read_known(study, results, arguments.base)
    plan = make_plan(study, known)
    needed = needed_for(study, (item.run for item in plan.to_do))
    plan = replace(plan, known=replace(known, missing=tuple(missing(study, arguments.base, needed))))
    if arguments.warnings:
        for warning in warnings(plan):
            say(f"note: {warning}")
        return
    print(as_text(plan, this_machine(study.machine).name), end="", flush=True)
    for note in of_another_study(study, results, known.now):
        say(note)
    write_json(results / "plan.json", as_json(plan))
    say(f"every cell with its figures: {(results / 'plan.json').resolve()}")


def read_known(study: Study, results: Path, base: Path) -> Known:
    """Everything outside the configuration that a plan rests on."""
    cells = read_cells(study, results)
    baselines = {str(run.directory): results / run.directory for run in baseline_runs(study)}
    there = next(path for path in (results.absolute(), *results.absolute().parents) if path.exists())
    return Known(
        Resources(
            memory_bytes(),
            available_memory_bytes(),
            shutil.disk_usage(there).free,
            gpu_limit_bytes(),
        ),
        backends={name: backend(study, name, results) for name in study.engines},
        models=read_models(study, results, base),
        cells=cells,
        baselines={
            name: record
            for name, directory in baselines.items()
            if (record := counts.read_record(directory)) is not None
        },
        without_logits=frozenset(
            name for name, directory in baselines.items() if not (directory / counts.LOGITS).is_file()
        ),
        curves=read_curves(study, results, cells),
        now=look(study, results, base),
    )


def backend(study: Study, engine: str, results: Path) -> str:
    """The back end of the built engine, or the one that would be built."""
    built = read_manifest(results / "engines" / engine / "build.json") or {}
    return str(built.get("backend") or choose_backend(study.engines[engine].backend))


def read_models(study: Study, results: Path, base: Path) -> dict[str, ModelFile]:
    """The models whose files are there."""
    models = {}
    for name, model in study.models.items():
        path = base / model.origin.local_path(results.absolute() / "models" / name).expanduser()
        files = part_paths(path)
        if all(file.is_file() for file in files):
            size_bytes = sum(file.stat().st_size for file in files)
            models[name] = ModelFile(header_of(name, model, path, size_bytes, results), size_bytes)
    return models


def header_of(name: str, model: Model, path: Path, size_bytes: int, results: Path) -> ModelHeader:
    """From the model's manifest if that is of this file: a large vocabulary takes long to read."""
    values = read_manifest(results / "models" / name / "model.json") or {}
    header = from_manifest(values)
    if header is not None and (values.get("path"), values.get("size_bytes")) == (
        str(path.resolve()),
        size_bytes,
    ):
        return header
    say(f"reading the header of {path}")
    return read_header(path, f"models.{name}.{model.origin.kind}")


def read_cells(study: Study, results: Path) -> dict[str, RawCell]:
    return {
        str(cell.directory): read_raw_cell(cell, results / cell.directory)
        for cell in all_cells(study)
        if (results / cell.directory / "run.json").is_file()
    }


def read_curves(study: Study, results: Path, cells: dict[str, RawCell]) -> dict[tuple[str, str, Pair], Curve]:
    """What has been measured of every unfinished pair, and of f16/f16, with the engine and model as they are now."""
    unfinished = {
        (cell.engine, cell.model, pair)
        for cell in throughput_cells(study)
        if str(cell.directory) not in cells
        for pair in (cell.pair, BASELINE_PAIR)
    }
    curves: dict[tuple[str, str, Pair], Curve] = {}
    for engine, model, pair in unfinished:
        build = results / "engines" / engine / "build.json"
        manifest = read_manifest(results / "models" / model / "model.json") or {}
        if build.is_file() and "sha256" in manifest:
            curves[engine, model, pair] = measured_curve(
                results / "throughput" / engine / model, pair, sha256(build), manifest["sha256"]
            )
    return curves


if __name__ == "__main__":
    run_program(main)
