"""What is done when a run starts, when it is done and when it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.plan.hooks import Hooks, Job, last_words
from small_study import CONFIG, SPEED, place, record, standing
from support import SCRIPTS

__all__ = ["place"]


@pytest.fixture
def hooks(place: Path) -> Hooks:
    return Hooks(standing(place), CONFIG, "study.yaml", Path("scripts"))


def test_a_missing_model_stops_the_run_before_anything_is_built(place: Path, hooks: Hooks) -> None:
    jobs = [Job("engine", {"engine": "e"}), Job("model", {"model": "m"})]
    hooks.start(jobs, lambda _: False, on_a_cluster=False)
    (place / "models" / "m.gguf").unlink()
    with pytest.raises(
        KvsweepError, match=r"models\.m\.path: there is no file .*; nothing was built or measured"
    ):
        hooks.start(jobs, lambda _: False, on_a_cluster=False)


def test_a_cluster_wants_nodes(hooks: Hooks) -> None:
    with pytest.raises(KvsweepError, match=r"engines\.e\.nodes: missing"):
        hooks.start([], lambda _: False, on_a_cluster=True)


@pytest.mark.parametrize(
    ("changed", "forced", "kept"),
    [({}, False, True), ({}, True, False), ({"repetitions": 3}, False, False)],
)
def test_only_what_is_certain_to_be_measured_again_loses_its_second_names(
    place: Path, changed: dict[str, int], forced: bool, kept: bool
) -> None:
    record(SPEED, **changed)
    spare = Path("results") / SPEED.directory / ".finished"
    spare.mkdir()
    jobs = [Job("throughput_cell", {"engine": "e", "model": "m"})]
    Hooks(standing(place), CONFIG, "study.yaml", place).start(
        jobs, lambda run: forced and run == SPEED, on_a_cluster=False
    )
    assert spare.exists() == kept


def test_a_run_that_stops_ends_with_what_its_jobs_said_once_each(
    hooks: Hooks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = [tmp_path / name for name in ("a.log", "b.log", "c.log", "missing.log")]
    for log in logs[:2]:
        log.write_text("kvsweep: 0 of 2 cells done\nkvsweep: error: x: there is no space.\n")
    logs[2].write_text("Traceback (most recent call last):\nZeroDivisionError\n")
    hooks.fail(logs)
    assert capsys.readouterr().err == (
        "kvsweep: error: x: there is no space.\n"
        f"kvsweep: a job failed without a reason; its log: {tmp_path}/c.log\n"
        f"kvsweep: a job failed without a reason; its log: {tmp_path}/missing.log\n"
        "kvsweep: stopped; what is finished stays, and the same command goes on from here\n"
    )


def test_of_a_run_that_is_ended_nobody_asks_why(
    hooks: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C at a terminal ends the job's ``tee`` before its last sentence."""
    monkeypatch.setattr("kvsweep.plan.hooks.is_ending", lambda: True)
    (tmp_path / "cut.log").write_text("kvsweep: 3 of 9 cells done; throughput of q8_0 at depth 0 (e, m)\n")
    hooks.fail([tmp_path / "cut.log"])
    assert capsys.readouterr().err == (
        "kvsweep: stopped; what is finished stays, and the same command goes on from here\n"
    )


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_says_that_the_run_is_ending(signum: signal.Signals) -> None:
    program = (
        "import os, sys, time\n"
        "from kvsweep.plan.interrupt import end_at_once_on_signals, is_ending\n"
        "end_at_once_on_signals()\n"
        "before = is_ending()\n"
        "try:\n"
        "    os.kill(os.getpid(), int(sys.argv[1]))\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    print(before, is_ending(), flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(signum.value)],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signum, signal.SIG_DFL),
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("on_a_cluster", [False, True])
def test_where_the_disk_is_full_no_log_says_why(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], on_a_cluster: bool
) -> None:
    """Here the job has said it on the terminal."""
    hooks = Hooks(standing(place), CONFIG, "study.yaml", Path("scripts"))
    monkeypatch.setattr("kvsweep.plan.hooks.check_nodes", lambda _: None)
    monkeypatch.setenv("PATH", "/bin")
    hooks.start([], lambda _: False, on_a_cluster)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=8192))
    (place / "a.log").touch()
    hooks.fail([place / "a.log", place / "b.log"])
    *first, last = capsys.readouterr().err.splitlines()
    assert first == [f"kvsweep: error: {place}: the disk is full; free disk space."] * on_a_cluster
    assert last == "kvsweep: stopped; what is finished stays, and the same command goes on from here"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kvsweep: error: a.\n", "error: a."),
        ("kvsweep: interrupted; the engine was ended\nTerminated\n", "interrupted; the engine was ended"),
        ("kvsweep: error: a.\nkvsweep: error: b.\n", "error: b."),
        ("kvsweep: engine e: ready\n", None),
        ("error: of a compiler\n", None),
        ("", None),
    ],
)
def test_the_last_words_of_a_program(text: str, said: str | None, tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text(text)
    assert last_words(log) == said


def test_a_cluster_s_log_goes_on_long_after_the_program(tmp_path: Path) -> None:
    """Snakemake says twice there which rule failed, with all its files and its command."""
    log = tmp_path / "11.log"
    log.write_text("kvsweep: error: x.gguf: the model is gone.\n" + 50 * "    input: a, b\n")
    assert last_words(log) == "error: x.gguf: the model is gone."


def test_a_new_report_is_named(hooks: Hooks, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.html"
    hooks.succeed(report)
    assert capsys.readouterr().err == ""
    time.sleep(0.05)
    report.write_text("")
    hooks.succeed(report)
    assert capsys.readouterr().err == f"kvsweep: done; the report is {report}\n"
