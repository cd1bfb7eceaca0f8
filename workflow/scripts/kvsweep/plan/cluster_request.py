"""What a cell asks a cluster for: memory, time and disk, from the plan's figures.

Memory is what the plan counts, and half of it again with 1 GiB on top, because compute buffers are not counted. Time is
three times what measured cells predict, or the configuration's limit where nothing is known or that is less, with 10
minutes for all that is not the engine: reading a model over the network, its checksum.

Before a model's header has been read (its model.json is not there) memory and disk are 0, not known. No cell is handed
to the cluster before that; only Snakemake's own account of what is to come sees these zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, sha256
from kvsweep.inputs.model_header import from_manifest
from kvsweep.measure.prediction import Curve, measured_curve, predicted_seconds
from kvsweep.plan.needs import (
    ModelFile,
    Needs,
    finished_perplexity,
    needs_of,
    perplexity_estimate,
    request_of,
)
from kvsweep.study.cells import BaselineRun, Cell, TaskCell, ThroughputCell, limit_hours
from kvsweep.study.complaints import ConfigError
from kvsweep.study.config import Study
from kvsweep.study.pairs import BASELINE_PAIR

_MEMORY_FACTOR, _MEMORY_MORE = 1.5, 2**30
_TIME_FACTOR, _TIME_MORE_SECONDS = 3.0, 600.0
_DISK_MORE = 2**30


@dataclass(frozen=True)
class Request:
    """In the units that Snakemake gives to executors: MB are 10^6 bytes, ``runtime`` is minutes."""

    mem_mb: int
    disk_mb: int
    runtime: int


def check_nodes(study: Study) -> None:
    """Raise ConfigError for an engine whose entry does not say on which nodes it runs."""
    for engine in study.engines.values():
        if engine.nodes is None:
            raise ConfigError(
                f"engines.{engine.name}.nodes: missing; on a cluster write what its nodes are, at least "
                "{cores: 64}, the cores of one (see docs/cluster.md)."
            )


def request(study: Study, run: Cell | BaselineRun, results: Path) -> Request:
    """What the job that measures ``run`` asks for. Predicted from what is under ``results`` now."""
    needs = _needs(study, run, results)
    memory = disk = 0
    if needs is not None:
        backend = _backend(results / "engines" / run.engine / "build.json")
        memory = _megabytes(needs.memory_bytes(backend) * _MEMORY_FACTOR + _MEMORY_MORE)
        disk = _megabytes(needs.disk_bytes + _DISK_MORE)
    limit = limit_hours(study, run) * 3600
    seconds = _seconds(study, run, results)
    asked = limit if seconds is None else min(limit, seconds * _TIME_FACTOR)
    return Request(memory, disk, math.ceil((asked + _TIME_MORE_SECONDS) / 60))


def _megabytes(size_bytes: float) -> int:
    return math.ceil(size_bytes / 1e6)


def _needs(study: Study, run: Cell | BaselineRun, results: Path) -> Needs | None:
    manifest = results / "models" / run.model / "model.json"
    if not manifest.is_file():
        return None
    model = _model(manifest, manifest.stat().st_mtime_ns)
    return None if model is None else needs_of(study, run, model)


@cache
def _model(manifest: Path, _time_stamp: int) -> ModelFile | None:
    values = read_json(manifest)
    header = from_manifest(values)
    return None if header is None else ModelFile(header, values["size_bytes"])


def _backend(build_json: Path) -> str:
    """The built engine's; before it is built the one that takes most of the machine's memory."""
    return str(read_json(build_json)["backend"]) if build_json.is_file() else "cpu"


def _seconds(study: Study, run: Cell | BaselineRun, results: Path) -> float | None:
    """What measured cells of the same engine and model predict."""
    build = results / "engines" / run.engine / "build.json"
    model = results / "models" / run.model / "model.json"
    if not (build.is_file() and model.is_file()):
        return None
    if isinstance(run, TaskCell):
        return None
    if isinstance(run, ThroughputCell):
        directory = results / "throughput" / run.engine / run.model
        nodes = study.engines[run.engine].nodes
        # What the runner will call the node. Where only the node knows, cells of other nodes than one kind say nothing.
        machine = (nodes and nodes.machine) or study.machine
        own, reference = (
            measured_curve(directory, pair, sha256(build), read_json(model)["sha256"], machine)
            for pair in (run.pair, BASELINE_PAIR)
        )
        # Of a single depth the prediction is too short, and a job that is ended too early has measured nothing.
        if max(_depths(own), _depths(reference)) < 2:
            return None
        return predicted_seconds(request_of(study, run), own, reference)
    assert study.quality is not None
    record = results / BaselineRun(run.engine, run.model, run.corpus, run.n_ctx).directory / "run.json"
    try:
        finished = [finished_perplexity(read_json(record))]
    except (KvsweepError, KeyError):
        return None
    n_tokens = study.quality.chunks[run.n_ctx] * run.n_ctx
    estimate = perplexity_estimate(run.engine, run.model, run.n_ctx, n_tokens, finished)
    return None if estimate is None else estimate.seconds


def _depths(curve: Curve) -> int:
    return sum(depth > 0 for depth in curve)
