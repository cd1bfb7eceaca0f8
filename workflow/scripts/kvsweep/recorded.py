"""The raw record of one cell on disk: run.json and what the engine printed, verified before anyone reads it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvsweep.bench_output import parse_bench
from kvsweep.cache_types import Pair
from kvsweep.errors import KvsweepError
from kvsweep.files import read_json
from kvsweep.prediction import Rates


@dataclass(frozen=True)
class Recorded:
    """``run`` is run.json; ``stdout`` and ``stderr`` are the engine's output as text."""

    directory: Path
    run: dict[str, Any]
    stdout: str
    stderr: str


def read_recorded(directory: Path) -> Recorded:
    """Read a cell's record. Raises KvsweepError if a file is missing or is not the one that run.json describes."""
    run = read_json(directory / "run.json")
    texts = []
    for stream in run["streams"]:
        path = directory / stream["name"]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise KvsweepError(
                f"{path}: cannot be read ({error.strerror}); measure the cell again."
            ) from error
        if hashlib.sha256(data).hexdigest() != stream["sha256"]:
            raise KvsweepError(
                f"{path}: changed since it was measured (its sha256 is not the one in run.json); "
                f"remove {directory} to measure the cell again."
            )
        texts.append(data.decode("utf-8", errors="replace"))
    return Recorded(directory, run, texts[0], texts[1])


def measured_curve(
    curve_directory: Path, pair: Pair, build_sha256: str, model_sha256: str, machine: str | None = None
) -> dict[int, Rates]:
    """Prefill and decode rates by depth that have been measured for a pair with the same engine and model.

    ``curve_directory`` holds one directory for each depth. Records of another engine or model, of another machine than
    the one named, and records that cannot be read, are left out: they predict nothing. Where no machine is named and
    the records are of several, there is no curve: two machines are never one.
    """
    curve, machines = {}, set()
    for directory in sorted(curve_directory.glob(f"d*/k-{pair.ctk}/v-{pair.ctv}")):
        try:
            recorded = read_recorded(directory)
            tests = parse_bench(recorded.stdout)
        except KvsweepError:
            continue
        run = recorded.run
        if run["build_sha256"] != build_sha256 or run["model_sha256"] != model_sha256:
            continue
        if machine is not None and run["machine"]["name"] != machine:
            continue
        rates = {test.phase: test.tokens_per_second for test in tests}
        if "prefill" in rates:
            curve[int(run["depth"])] = Rates(rates["prefill"], rates.get("decode"))
            machines.add(run["machine"]["name"])
    return curve if len(machines) <= 1 else {}
