"""The workflow on a real Slurm: three nodes on this host, with the shipped profile.

What is seen here is what the runs leave behind: records, tables, and Slurm's own list of the jobs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from kvsweep.plan.cluster_request import request
from kvsweep.study.cells import Cell, ThroughputCell, quality_cells, throughput_cells
from kvsweep.study.config import parse_study
from slurm_cluster import PARTITIONS, Cluster, missing
from support import ROOT, STAND_IN, write_model

pytestmark = pytest.mark.cluster

DEMO_ENGINE = ROOT / "results" / "engines" / "mainline" / "bin"
DEMO_MODEL = next((ROOT / "resources" / "demo").glob("*.gguf"))
PATIENCE_SECONDS = 240

# What is another number each time, or says where and when.
OF_THE_RUN = re.compile(
    "tokens_per_second|samples|drift|seconds|peak_rss|started_at|machine|host|swap|load|busy|attempts|memory|^command$"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if lacks := missing():
        message = f"no Slurm cluster can be made here: {', '.join(lacks)} missing"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # Not pytest's directory: there are sockets in it, whose paths must be short.
    directory = Path(tempfile.mkdtemp(prefix="kvsweep-"))
    found = Cluster(directory / "slurm")
    try:
        found.start()
        yield found
    finally:
        found.stop()
        left = found.processes()
        shutil.rmtree(directory)
        assert left == []


@dataclass
class Study:
    """A directory with a configuration, from which the workflow is run."""

    directory: Path
    cluster: Cluster
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.directory / "results"

    def command(self, *arguments: str, profile: str = "slurm") -> list[str]:
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(self.directory), "--configfile", str(self.directory / "study.yaml")),
            *("--workflow-profile", str(ROOT / "profiles" / profile)),
            *(["--slurm-init-seconds-before-status-checks", "3"] if profile == "slurm" else []),
            *arguments,
        ]

    def start(self, *arguments: str, profile: str = "slurm", **environment: str) -> subprocess.Popen[bytes]:
        with (self.directory / "snakemake.log").open("ab") as log:
            self.started.append(
                subprocess.Popen(
                    self.command(*arguments, profile=profile),
                    cwd=self.directory,
                    env=os.environ | self.cluster.environment | environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        return self.started[-1]

    def stop(self) -> None:
        """End what a test that failed has left running."""
        for run in self.started:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)
                run.wait(PATIENCE_SECONDS)

    def run(self, *arguments: str, profile: str = "slurm", **environment: str) -> str:
        """What Snakemake has said by the end of a run that must end well."""
        begin = len(self.log)
        status = self.start(*arguments, profile=profile, **environment).wait(PATIENCE_SECONDS)
        assert status == 0, self.log[-4000:]
        return self.log[begin:]

    @property
    def log(self) -> str:
        path = self.directory / "snakemake.log"
        return path.read_text() if path.exists() else ""

    def table(self, name: str) -> pd.DataFrame:
        """What this study has made; what others published stands in the same tables."""
        rows = pd.read_parquet(self.results / "tables" / f"{name}.parquet")
        return rows[rows.source == "measured"].reset_index(drop=True) if "status" in rows else rows

    def record(self, *cell: str) -> dict[str, Any]:
        run: dict[str, Any] = json.loads(self.results.joinpath(*cell, "run.json").read_text())
        return run


def new_study(directory: Path, cluster: Cluster, study: dict[str, Any]) -> Study:
    directory.mkdir()
    (directory / "study.yaml").write_text(yaml.safe_dump(study))
    return Study(directory, cluster)


@pytest.fixture
def with_stand_in(cluster: Cluster, tmp_path: Path) -> Iterator[Study]:
    """A throughput cell for each of three pairs, on the engine for faults; its faults come with the environment."""
    model = write_model(tmp_path / "tiny.gguf")
    content = {
        "engines": {
            "stand-in": {
                "source": {"path": str(STAND_IN)},
                "backend": "cpu",
                "nodes": {"cores": 2, "partition": "batch", "gres": "gpu:1"},
            }
        },
        "models": {"tiny": {"path": str(model)}},
        "pairs": ["q8_0", "f32", "f16"],
        "throughput": {"depths": [0], "prompt": 64, "generate": 16, "repetitions": 2},
        "limits": {"cell_hours": 1},
    }
    study = new_study(tmp_path / "study", cluster, content)
    yield study
    study.stop()


def until(condition: Callable[[], Any], what: str, instead: Callable[[], Any] = lambda: "nothing") -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail(f"waited for {what}; there is {instead()}")


def still_at_work(cluster: Cluster) -> list[dict[str, Any]]:
    """What runs of the cluster's jobs, but for a Snakemake that has no process left to look after.

    On a busy machine the one of a job's batch step sometimes stays behind, waiting for a lock of its own: this cluster
    does not find it any more, because its parent is gone. Runners and engines are never let off.
    """
    found = []
    for process in cluster.processes():
        with suppress(psutil.NoSuchProcess):
            if process.cmdline()[1:3] != ["-m", "snakemake"] or process.children():
                found.append(process.as_dict(["pid", "ppid", "status", "cmdline"]))
    return found


@dataclass(frozen=True)
class Job:
    """A job as Slurm remembers it."""

    rule: str
    state: str
    node: str
    restarts: int
    exclusive: bool
    memory_mb: int
    minutes: int


def slurms_jobs(study: Study, word: str) -> list[Job]:
    """A study's jobs whose comment, which names rule and wildcards, has ``word`` in it."""
    shown = study.cluster.call("scontrol", "show", "job", "--oneliner")
    jobs = []
    for line in shown.splitlines():
        values = dict(part.split("=", 1) for part in line.split() if "=" in part)
        if word in values.get("Comment", "") and values["WorkDir"] == str(study.directory):
            jobs.append(
                Job(
                    values["Comment"],
                    values["JobState"],
                    values["NodeList"],
                    int(values["Restarts"]),
                    values["OverSubscribe"] == "NO",
                    int(values["MinMemoryNode"].removesuffix("M")),
                    60 * int(values["TimeLimit"].split(":")[0]) + int(values["TimeLimit"].split(":")[1]),
                )
            )
    return jobs


# -- the real engine --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(
    demo: str, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, Study, list[Job]]:
    """The same study on the cluster and, by the default profile, on this machine alone."""
    assert demo
    engine = {"source": {"path": str(DEMO_ENGINE)}, "backend": "cpu"}
    study = {
        "engines": {
            "small-nodes": engine
            | {"nodes": {"cores": 2, "share": 2, "partition": "batch", "machine": "small node"}},
            "large-nodes": engine
            | {
                "nodes": {"cores": 2, "partition": "other", "gres": "gpu:1", "machine": "large node"},
                "contexts": [],
                "depths": [0],
            },
        },
        "models": {"demo": {"path": str(DEMO_MODEL)}},
        "corpora": {"text": {"generate": {"seed": 5, "bytes": 8192}}},
        "pairs": ["f16", "q8_0"],
        "quality": {"contexts": [256], "chunks": 8},
        "throughput": {"depths": [0, 256], "prompt": 64, "generate": 8, "repetitions": 2},
        "limits": {"cell_hours": 1},
    }
    place = tmp_path_factory.mktemp("measured")
    on_cluster, alone = (new_study(place / name, cluster, study) for name in ("cluster", "alone"))
    try:
        on_cluster.run()
        alone.run(profile="default")
    finally:
        on_cluster.stop()
    return on_cluster, alone, slurms_jobs(on_cluster, "nodes_demo")


@pytest.mark.engine
@pytest.mark.parametrize("name", ["engines", "models", "quality", "throughput"])
def test_the_tables_are_those_of_a_local_run(measured: tuple[Study, Study, list[Job]], name: str) -> None:
    here, there = (study.table(name) for study in measured[:2])
    same = [column for column in here.columns if not OF_THE_RUN.search(column)]
    assert {"engine", "model"} & set(same)
    pd.testing.assert_frame_equal(here[same], there[same])
    if "status" in here:
        assert set(here.status) == {"measured"}


@pytest.mark.engine
def test_two_kinds_of_node_are_two_machines_and_every_cell_names_its_node(
    measured: tuple[Study, Study, list[Job]],
) -> None:
    rows = pd.concat([measured[0].table(name) for name in ("quality", "throughput")])
    assert set(zip(rows.engine, rows.machine, strict=True)) == {
        ("small-nodes", "small node"),
        ("large-nodes", "large node"),
    }
    assert set(rows.host[rows.engine == "large-nodes"]) == set(PARTITIONS["other"])
    assert set(rows.host[rows.engine == "small-nodes"]) <= set(PARTITIONS["batch"])


@pytest.mark.engine
def test_a_timed_cell_has_its_node_to_itself(measured: tuple[Study, Study, list[Job]]) -> None:
    study, _, jobs = measured
    spans: dict[str, list[tuple[datetime, datetime, str]]] = {}
    for path in study.results.rglob("run.json"):
        if path.parent.name == ".finished":
            continue
        run = json.loads(path.read_text())
        start = datetime.fromisoformat(run["started_at"])
        end = start + timedelta(seconds=run["wall_seconds"])
        spans.setdefault(run["machine"]["host"], []).append((start, end, run["kind"]))
    assert sum(map(len, spans.values())) == 1 + 2 + 4 + 2
    for on_node in spans.values():
        for (_, end, kind), (start, _, next_kind) in pairwise(sorted(on_node)):
            assert end <= start or "throughput" not in (kind, next_kind)
    assert {job.exclusive for job in jobs if "throughput_cell" in job.rule} == {True}
    assert {job.exclusive for job in jobs if "quality_cell" in job.rule} == {False}


@pytest.mark.engine
def test_jobs_ask_for_what_the_plan_says(measured: tuple[Study, Study, list[Job]]) -> None:
    study, _, jobs = measured
    asked = parse_study(yaml.safe_load((study.directory / "study.yaml").read_text()))
    cells: list[Cell] = [*throughput_cells(asked), *quality_cells(asked)]
    for cell in cells:
        *_, k, v = cell.directory.parts
        (job,) = (
            job
            for job in jobs
            if f"{cell.engine}_demo" in job.rule
            and k.removeprefix("k-") + "_" + v.removeprefix("v-") in job.rule
            and ("throughput" in job.rule) == isinstance(cell, ThroughputCell)
            and (not isinstance(cell, ThroughputCell) or f"_demo__{cell.depth}_" in job.rule)
        )
        expected = request(asked, cell, study.results)
        # Slurm counts in 2^20 bytes what it is given in M.
        assert job.memory_mb == expected.mem_mb
        # Of a quality cell the baseline tells the time; of the others nothing was known yet.
        assert job.minutes == (70 if isinstance(cell, ThroughputCell) else expected.runtime)


@pytest.mark.engine
def test_untimed_cells_that_share_a_node_share_its_cores(measured: tuple[Study, Study, list[Job]]) -> None:
    quality = measured[0].record("quality", "small-nodes", "demo", "text", "c256", "k-q8_0", "v-q8_0")
    throughput = measured[0].record("throughput", "small-nodes", "demo", "d0", "k-q8_0", "v-q8_0")
    assert quality["command"][quality["command"].index("-t") + 1] == "1"
    assert "-t" not in throughput["command"]


@pytest.mark.engine
def test_what_is_finished_is_not_run_again(measured: tuple[Study, Study, list[Job]]) -> None:
    assert "Nothing to be done" in measured[0].run()


# -- faults -----------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_leaves_no_job_and_goes_on_when_it_is_started_again(with_stand_in: Study) -> None:
    study, cluster = with_stand_in, with_stand_in.cluster
    directory = study.results / "throughput" / "stand-in" / "tiny" / "d0"
    run = study.start(STAND_IN="q8_0/q8_0=hang")
    until((directory / "k-q8_0" / "v-q8_0" / ".stderr.log.partial").exists, "an engine that hangs")
    run.send_signal(signal.SIGINT)
    assert run.wait(PATIENCE_SECONDS) != 0
    until(lambda: cluster.jobs() == [], "an empty queue")
    until(lambda: still_at_work(cluster) == [], "the end of the jobs", lambda: still_at_work(cluster))
    # A run that was cancelled is no verdict on its cells.
    assert not (directory / "k-q8_0" / "v-q8_0" / "run.json").exists()
    study.run()
    assert list(study.table("throughput").status) == ["measured"] * 6


def test_a_lost_node_a_time_limit_and_an_engine_without_memory(with_stand_in: Study, tmp_path: Path) -> None:
    """Three faults in one run, because each takes its time."""
    study, cluster = with_stand_in, with_stand_in.cluster
    cells = study.results / "throughput" / "stand-in" / "tiny" / "d0"
    hanging = cells / "k-q8_0" / "v-q8_0"
    count = tmp_path / "oom-runs"
    run = study.start(
        *("--set-resources", "throughput_cell:runtime=1", "throughput_cell:slurm_extra='--exclusive'"),
        STAND_IN="q8_0/q8_0=hang f32/f32=oom",
        STAND_IN_COUNT=str(count),
    )
    until((hanging / ".stderr.log.partial").exists, "an engine that hangs")
    (job,) = slurms_jobs(study, "q8_0_q8_0")
    cluster.stop_node(job.node)
    try:
        assert run.wait(PATIENCE_SECONDS) == 0, study.log[-4000:]
        table = study.table("throughput").set_index(["ctk", "phase"])
    finally:
        cluster.start_node(job.node)

    # The node that was lost is no verdict: the cell ran again, on the other one.
    (again,) = slurms_jobs(study, "q8_0_q8_0")
    assert (again.restarts, again.node) == (1, *(set(PARTITIONS["batch"]) - {job.node}))
    assert set(table.loc["q8_0"].host) == {again.node}
    # There its job was about to reach the limit of a minute.
    assert set(table.loc["q8_0"].status) == {"timeout"}
    assert re.fullmatch(
        r"not finished after \d+ s, all that the cluster gave its job", table.loc["q8_0"].reason.iloc[0]
    )
    # What an engine does wrong is a result, and is not tried again.
    assert set(table.loc["f32"].status) == {"oom"}
    (refused,) = slurms_jobs(study, "f32_f32")
    assert (refused.state, refused.restarts) == ("COMPLETED", 0)
    assert set(table.loc["f16"].status) == {"measured"}
    # One run of each engine, and the second one of the cell whose node was lost.
    assert len(count.read_text()) == 4


# -- the other way in -------------------------------------------------------------------------------------------------


def test_a_submit_command_will_do(with_stand_in: Study, tmp_path: Path) -> None:
    """The profile for clusters without a plugin of their own, with Slurm's commands in it."""
    study = with_stand_in
    sees = tmp_path / "devices"
    study.run("--config", "pairs=['q8_0']", profile="cluster-generic", STAND_IN_SEES=str(sees))
    # One of the node's two, although a job that has its node to itself is given both.
    assert sees.read_text() in ("0\n", "1\n")
    rows = study.table("throughput")
    assert list(rows.status) == ["measured"] * 2
    assert set(rows.host) <= set(PARTITIONS["batch"])
    shown = study.cluster.call("scontrol", "show", "job", "--oneliner")
    ours = [line for line in shown.splitlines() if f"WorkDir={study.directory}" in line]
    assert len(ours) == 2  # the engine and the cell
    assert all("JobState=COMPLETED" in line for line in ours)
