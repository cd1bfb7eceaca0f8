"""What several test files need: recorded output, a tiny model file, a results directory that is ready to measure."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import gguf
import numpy as np
from kvsweep import program
from kvsweep.files import sha256
from kvsweep.study.cells import ThroughputCell
from kvsweep.study.pairs import Pair
from kvsweep.tables.published import OtherRows

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SCRIPTS = ROOT / "workflow" / "scripts"
RECORDED = TESTS / "data" / "engine-output"
STAND_IN = TESTS / "stand_in"


def recorded(name: str) -> str:
    """A file of recorded engine output, such as ``fork/bench-f16-f16.stderr``."""
    return (RECORDED / name).read_text(encoding="utf-8")


def machine_output(name: str) -> str:
    """What a command said of a machine, such as ``nvidia-smi-query.csv``."""
    return (TESTS / "data" / "machine-output" / name).read_text(encoding="utf-8")


def of_source(published: OtherRows, name: str) -> OtherRows:
    """The published rows of one source."""
    own = {
        table: tuple(row for row in rows if row["source"] == f"published:{name}")
        for table, rows in vars(published).items()
    }
    return OtherRows(**own)


TINY = {
    "llama.context_length": 131072,
    "llama.embedding_length": 512,
    "llama.block_count": 4,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.key_length": 128,
    "llama.attention.value_length": 128,
    "llama.vocab_size": 259,
}


def write_model(path: Path, architecture: str = "llama", values: Mapping[str, Any] = TINY) -> Path:
    """A GGUF file with this header and two small tensors; by default in the shape of the recorded ``tiny-gqa2``."""
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in values.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_uint32(name, value)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float16))
    writer.add_tensor("output_norm.weight", np.zeros(32, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@dataclass(frozen=True)
class Workplace:
    """A results directory with the manifests of the stand-in engine, a tiny model and a corpus."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def build_json(self) -> Path:
        return self.results / "engines" / "stand-in" / "build.json"

    @property
    def model_json(self) -> Path:
        return self.results / "models" / "tiny" / "model.json"

    @property
    def corpus_json(self) -> Path:
        return self.results / "corpora" / "text" / "corpus.json"

    @property
    def baseline(self) -> Path:
        return self.results / "baseline" / "stand-in" / "tiny" / "text" / "c1024"

    def quality(self, pair: str) -> Path:
        ctk, ctv = pair.split("/")
        return self.results / "quality" / "stand-in" / "tiny" / "text" / "c1024" / f"k-{ctk}" / f"v-{ctv}"

    def throughput(self, pair: str, depth: int = 0, round_: int = 1) -> Path:
        cell = ThroughputCell("stand-in", "tiny", depth, Pair.parse(pair), round_)
        return self.results / cell.directory

    def baseline_command(self, cell_hours: float = 1) -> list[str | Path]:
        return self._command("baseline", self.baseline, cell_hours) + self._windows()

    def quality_command(self, pair: str, cell_hours: float = 1) -> list[str | Path]:
        command = self._command("quality", self.quality(pair), cell_hours) + self._windows()
        return [*command, "--pair", pair, "--logits", self.baseline / "logits.kld"]

    def throughput_command(
        self, pair: str, depth: int = 0, cell_hours: float = 1, round_: int = 1
    ) -> list[str | Path]:
        command = self._command("throughput", self.throughput(pair, depth, round_), cell_hours)
        lengths = ("--depth", str(depth), "--prompt", "64", "--generate", "16", "--repetitions", "3")
        return [*command, "--pair", pair, *lengths]

    def _windows(self) -> list[str | Path]:
        return ["--corpus", self.corpus_json, "--n-ctx", "1024", "--chunks", "8"]

    def _command(self, kind: str, directory: Path, cell_hours: float) -> list[str | Path]:
        return [
            *(kind, "--results", self.results, "--cell", str(directory.relative_to(self.results))),
            *("--engine", self.build_json, "--model", self.model_json),
            *("--cell-hours", str(cell_hours), "--log-mebibytes", "1"),
        ]


def with_server(place: Workplace) -> Workplace:
    """The same with an engine that has a llama-server, the stand-in's."""
    build = json.loads(place.build_json.read_text())
    build["files"]["llama-server"] = sha256(STAND_IN / "llama-server")
    build["programs"].append("llama-server")
    place.build_json.write_text(json.dumps(build))
    return place


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said to the person at the terminal."""

    returncode: int
    stderr: str


def run_program(
    name: str,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """One of the workflow's programs, as a rule calls it."""
    return subprocess.run(
        [sys.executable, SCRIPTS / name, *map(str, arguments)],
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_in_this_process(
    name: str, arguments: Sequence[object], environment: Mapping[str, str] | None = None
) -> Done:
    """One of the workflow's programs without a process of its own, because Python takes long to start."""
    said = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [f"{name}.py", *map(str, arguments)]),
        mock.patch.dict(os.environ, environment or {}),
        contextlib.redirect_stderr(said),
    ):
        try:
            program.run_program(importlib.import_module(name).main)
        except SystemExit as ended:
            return Done(int(ended.code or 0), said.getvalue())
    return Done(0, said.getvalue())


def measure(command: Sequence[object], environment: Mapping[str, str] | None = None) -> Done:
    """``measure.py`` with one of a workplace's commands."""
    return run_in_this_process("measure", command, environment)


def run_json(cell: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((cell / "run.json").read_text(encoding="utf-8"))
    return run


def run_in_checkout(*command: str) -> subprocess.CompletedProcess[str]:
    """A command as a user gives it, in this checkout."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def run_make(*targets: str) -> subprocess.CompletedProcess[str]:
    """``make`` as a user calls it, not as a part of the ``make`` that runs the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *targets], cwd=ROOT, capture_output=True, text=True, env=environment, check=False
    )


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        signal.sigtimedwait([], 0.05)
    raise AssertionError("waited for a minute")
