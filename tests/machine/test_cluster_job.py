"""What the job of a cluster knows of itself: Slurm's answers, as its squeue prints them."""

import os
from pathlib import Path

import pytest
from kvsweep.machine import cluster_job
from support import Workplace, measure, run_json


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:53\n", 53),
        ("59:53\n", 59 * 60 + 53),
        ("3:04:05\n", 3 * 3600 + 4 * 60 + 5),
        ("2-03:04:05\n", 2 * 86400 + 3 * 3600 + 4 * 60 + 5),
        ("0:00\n", 0),
        ("UNLIMITED\n", None),
        ("NOT_SET\n", None),
        ("INVALID\n", None),
        ("", None),
    ],
)
def test_the_time_that_is_left(text: str, seconds: float | None) -> None:
    assert cluster_job.parse_time_left(text) == seconds


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A squeue, for job 7."""
    program = tmp_path / "squeue"
    program.write_text('#!/bin/sh\n[ "$2" = --jobs=7 ] && echo 1:00:00\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return program


def test_an_engine_is_ended_a_minute_before_its_job(squeue: Path) -> None:
    assert cluster_job.usable_seconds() == 3600 - 60
    squeue.write_text("#!/bin/sh\necho 1:00\n")
    assert cluster_job.usable_seconds() == 60 - 6


def test_where_nobody_knows_the_limit_there_is_none(squeue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue.write_text("#!/bin/sh\nexit 1\n")
    assert cluster_job.usable_seconds() is None
    squeue.unlink()
    assert cluster_job.usable_seconds() is None
    monkeypatch.delenv("SLURM_JOB_ID")
    assert cluster_job.usable_seconds() is None


def test_a_job_of_any_scheduler_is_one() -> None:
    assert cluster_job.is_job({"PBS_JOBID": "7.server"})
    assert not cluster_job.is_job({"PATH": "/bin"})


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("PENDING", "running"),
        ("RUNNING", "running"),
        ("COMPLETING", "running"),
        ("COMPLETED", "success"),
        ("FAILED", "failed"),
        ("TIMEOUT", "failed"),
        ("CANCELLED", "failed"),
        ("OUT_OF_MEMORY", "failed"),
        # Slurm puts these back into its queue.
        ("NODE_FAIL", "running"),
        ("PREEMPTED", "running"),
    ],
)
def test_what_becomes_of_a_job(state: str, status: str) -> None:
    shown = f"JobId=7 JobName=kvsweep UserId=root(0) JobState={state} Reason=None Restarts=0 ExitCode=0:0"
    assert cluster_job.job_status(shown) == status


def test_a_job_that_slurm_cannot_tell_of_is_given_up_only_where_it_is_forgotten() -> None:
    assert cluster_job.job_status("slurm_load_jobs error: Unable to contact slurm controller") == "running"
    assert cluster_job.job_status("slurm_load_jobs error: Invalid job id specified") == "failed"


@pytest.mark.parametrize("cell_of_the_job", [True, False])
def test_the_end_of_a_job_is_a_verdict_only_where_the_job_is_the_cells_own(
    squeue: Path, workplace: Workplace, cell_of_the_job: bool
) -> None:
    """Not where all of the workflow runs in one job: there the next cells would all become timeouts, too."""
    squeue.write_text("#!/bin/sh\necho 0:01\n")
    nodes = ["--nodes", '{"cores": 2, "share": 1, "machine": null}'] if cell_of_the_job else []
    command = [*workplace.throughput_command("q8_0/q8_0", cell_hours=2 / 3600), *nodes]
    done = measure(command, {"STAND_IN": "hang"})
    assert done.returncode == 0, done.stderr
    ended_by = "time limit of its job" if cell_of_the_job else "time limit"
    assert run_json(workplace.throughput("q8_0/q8_0"))["ended_by"] == ended_by
