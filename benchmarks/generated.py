"""Studies of any size, finished without measuring: the stand-in's output for every cell, and Snakemake's records.

Beside each a bare workflow: the same number of jobs with the same files and a param each, and nothing else in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPTS, STAND_IN = ROOT / "workflow" / "scripts", ROOT / "tests" / "stand_in"
sys.path[:0] = [str(ROOT / "tests"), str(SCRIPTS)]

from kvsweep.study.cells import (  # noqa: E402
    BaselineRun,
    Cell,
    QualityCell,
    ThroughputCell,
    baseline_runs,
    quality_cells,
    throughput_cells,
)
from kvsweep.study.config import parse_study  # noqa: E402
from snakemake.persistence import MetadataRecord  # noqa: E402
from snakemake.persistence.file import FilePersistence  # noqa: E402
from support import write_model  # noqa: E402

ENGINES, MODELS = 2, 5
TYPES = ("f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "bf16", "f32", "turbo4", "turbo3", "turbo2")
CHUNKS = 8


def configuration(root: Path, cells: int) -> dict[str, Any]:
    """Engines x models x pairs x (depths + contexts), about half of it throughput; ``cells`` is 100, 1000, ..."""
    places = 5 if cells <= 10_000 else 50
    pairs = [f"{k}/{v}" for k in TYPES for v in TYPES][: max(1, cells // (ENGINES * MODELS * 2 * places))]
    return {
        "engines": {
            f"engine-{i}": {"source": {"path": str(STAND_IN)}, "backend": "cpu"} for i in range(ENGINES)
        },
        "models": {f"model-{i}": {"path": str(root / f"model-{i}.gguf")} for i in range(MODELS)},
        "corpora": {"text": {"path": str(root / "text.txt")}},
        "pairs": pairs,
        "quality": {"contexts": [1024 + 256 * i for i in range(places)], "chunks": CHUNKS},
        "throughput": {
            "depths": [512 * i for i in range(places)], "prompt": 64, "generate": 16, "repetitions": 3,
        },
    }  # fmt: skip


@dataclass(frozen=True)
class Generated:
    root: Path
    config: dict[str, Any]

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def runs(self) -> list[Cell | BaselineRun]:
        study = parse_study(self.config)
        return [*baseline_runs(study), *quality_cells(study), *throughput_cells(study)]

    def configure(self, config: dict[str, Any]) -> Path:
        path = self.root / "study.json"
        path.write_text(json.dumps(config))
        return path

    def command(self, *options: str) -> list[str]:
        """kvsweep on this study, as a user starts it."""
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--configfile", str(self.root / "study.json"), "--directory", str(self.root), *options),
        ]

    def bare_command(self, *options: str) -> list[str]:
        """The bare workflow of the same size, under the same profile."""
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "bare" / "Snakefile")),
            *(
                "--workflow-profile",
                str(ROOT / "profiles" / "default"),
                "--directory",
                str(self.root / "bare"),
            ),
            *options,
        ]


def unmeasured(root: Path, cells: int) -> Generated:
    """A study of which nothing is done yet, and its bare workflow."""
    root.mkdir(parents=True)
    config = configuration(root, cells)
    for i in range(MODELS):
        write_model(root / f"model-{i}.gguf")
    (root / "text.txt").write_text("All work and no play makes Jack a dull boy. " * 3000)
    study = Generated(root, config)
    study.configure(config)
    write_bare(study)
    return study


def finish(study: Generated) -> None:
    """Everything but tables and report, of both workflows."""
    manifests = [f"results/engines/{name}/build.json" for name in study.config["engines"]]
    manifests += [f"results/models/{name}/model.json" for name in study.config["models"]]
    must(
        [
            *study.command("--quiet", "all", "--"),
            *manifests,
            "results/corpora/text/corpus.json",
            "results/config.json",
        ]
    )
    templates = measure_one_of_each(study)
    engine = load_stand_in()
    for run in study.runs:
        write_record(study, run, templates, engine)
    book(study.root, [f"results/{run.directory}" for run in study.runs])
    finish_bare(study)


def kind_of(directory: str | PurePosixPath) -> str:
    """``baseline``, ``quality`` or ``throughput``, with ``results`` before it or not."""
    return str(directory).removeprefix("results/").partition("/")[0]


def finish_bare(study: Generated) -> None:
    runs = [str(run.directory) for run in study.runs]
    first = {kind_of(run): f"{run}/run.json" for run in reversed(runs)}
    must(study.bare_command("--quiet", "all", "--", *bare_manifests(study), *first.values()))
    bare = study.root / "bare"
    for path in bare_files(study):
        target = bare / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x\n")
    book(bare, runs)


OUTPUTS = {
    "baseline": ("logits.kld", "stdout.log", "stderr.log", "run.json"),
    "quality": ("stdout.log", "stderr.log", "run.json"),
    "throughput": ("bench.jsonl", "stderr.log", "run.json"),
}


def book(directory: Path, runs: list[str]) -> None:
    """Snakemake's records of finished jobs, for each run like that of the one of its kind that was really run.

    ``--touch`` writes them too, but waits a tenth of a second for every job.
    """
    records = FilePersistence(path=directory / ".snakemake")
    templates: dict[str, MetadataRecord] = {}
    for run in runs:
        kind = kind_of(run)
        if kind not in templates and (record := records._read_record(f"{run}/run.json")):
            templates[kind] = record
    for run in runs:
        for name in OUTPUTS[kind_of(run)]:
            records._write_record(f"{run}/{name}", templates[kind_of(run)])


def must(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")


# -- raw cells --------------------------------------------------------------------------------------------------------


def measure_one_of_each(study: Generated) -> dict[str, dict[str, Any]]:
    """run.json of a real baseline, quality and throughput cell, by kind."""
    first = {}
    for run in study.runs:
        kind = kind_of(run.directory)
        # Recorded quality is of this context alone.
        if kind not in first and getattr(run, "n_ctx", 1024) == 1024:
            first[kind] = str(run.directory)
    must(
        study.command(
            "--quiet", "all", "--", *(f"results/{directory}/run.json" for directory in first.values())
        )
    )
    return {
        kind: json.loads((study.results / directory / "run.json").read_text())
        for kind, directory in first.items()
    }


def load_stand_in() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stand_in_engine", STAND_IN / "engine.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_record(
    study: Generated, run: Cell | BaselineRun, templates: dict[str, dict[str, Any]], engine: ModuleType
) -> None:
    directory = study.results / run.directory
    kind = kind_of(run.directory)
    record = templates[kind] | {"engine": run.engine, "model": run.model}
    ctk, ctv = ("f16", "f16") if isinstance(run, BaselineRun) else (run.pair.ctk, run.pair.ctv)
    record |= {"ctk": ctk, "ctv": ctv}
    if isinstance(run, ThroughputCell):
        record |= {"depth": run.depth}
        asked = {"-ctk": ctk, "-ctv": ctv, "-d": run.depth, "-p": 64, "-n": 16, "-r": 3, "-m": "model.gguf"}
        stdout, stderr = printed(lambda: engine.bench(asked, None))
    elif isinstance(run, BaselineRun):
        record |= {"n_ctx": run.n_ctx}
        stdout, stderr = "", ""
    else:
        assert isinstance(run, QualityCell)
        record |= {"n_ctx": run.n_ctx}
        log, stdout = (engine.recorded(f"kld-q8_0-q8_0.{stream}") for stream in ("stderr", "stdout"))
        stderr = engine.with_cache(log, ctk, ctv, run.n_ctx, 2)
    directory.mkdir(parents=True, exist_ok=True)
    streams = []
    for stream, text in zip(record["streams"], (stdout, stderr), strict=True):
        (directory / stream["name"]).write_text(text)
        data = text.encode()
        streams.append(stream | {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    if isinstance(run, BaselineRun):
        (directory / "logits.kld").touch()
    shutil.rmtree(directory / ".finished", ignore_errors=True)
    (directory / "run.json").write_text(json.dumps(record | {"streams": streams}, indent=1))


def printed(run: Any) -> tuple[str, str]:
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        run()
    return stdout.getvalue(), stderr.getvalue()


# -- the bare workflow ------------------------------------------------------------------------------------------------

BARE = """\
with open("runs.txt") as file:
    RUNS = file.read().split()
rule all:
    input: expand("{run}/run.json", run=RUNS)
rule manifest:
    output: "{kind}/{name}.json"
    wildcard_constraints: kind="engines|models|corpora", name="[^/]+"
    shell: "echo x > {output}"
rule baseline:
    input: "engines/{engine}.json", "models/{model}.json", "corpora/{corpus}.json"
    output: "baseline/{engine}/{model}/{corpus}/c{n_ctx}/logits.kld", "baseline/{engine}/{model}/{corpus}/c{n_ctx}/run.json", "baseline/{engine}/{model}/{corpus}/c{n_ctx}/stdout.log", "baseline/{engine}/{model}/{corpus}/c{n_ctx}/stderr.log"
    log: "logs/baseline/{engine}/{model}/{corpus}/c{n_ctx}.log"
    params: chunks=8
    shell: "touch {output}"
rule quality:
    input: "engines/{engine}.json", "models/{model}.json", "corpora/{corpus}.json", "baseline/{engine}/{model}/{corpus}/c{n_ctx}/run.json"
    output: "quality/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}/run.json", "quality/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}/stdout.log", "quality/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}/stderr.log"
    log: "logs/quality/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}.log"
    params: chunks=8
    shell: "touch {output}"
rule throughput:
    input: "engines/{engine}.json", "models/{model}.json"
    output: "throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/run.json", "throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/bench.jsonl", "throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/stderr.log"
    log: "logs/throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}.log"
    params: chunks=8
    shell: "touch {output}"
"""  # noqa: E501


def write_bare(study: Generated) -> None:
    directory = study.root / "bare"
    directory.mkdir()
    (directory / "Snakefile").write_text(BARE)
    (directory / "runs.txt").write_text("\n".join(str(run.directory) for run in study.runs))


def bare_manifests(study: Generated) -> list[str]:
    return [f"{kind}/{name}.json" for kind in ("engines", "models", "corpora") for name in study.config[kind]]


def bare_files(study: Generated) -> Iterable[str]:
    for run in study.runs:
        kind = kind_of(run.directory)
        yield from (f"{run.directory}/{name}" for name in OUTPUTS[kind])
