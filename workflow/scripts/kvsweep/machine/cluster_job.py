"""What a cluster says of the job that this process is a part of. Slurm can be asked; of others nothing is known."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from kvsweep.machine.probe import output

# What a scheduler sets in the environment of its jobs: Slurm, PBS, LSF, Grid Engine.
_JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID")
_FAILED = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT")
_TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
# Kept back from a job's time for ending the engine and writing its record, in seconds and as a share of what is left.
_KEPT_BACK_SECONDS, _KEPT_BACK_SHARE = 60.0, 0.1


def is_job(environment: Mapping[str, str]) -> bool:
    """Whether a process with this environment is part of a cluster's job."""
    return any(name in environment for name in _JOB_IDS)


def usable_seconds() -> float | None:
    """How long an engine may run that is started now; None where the job has no limit or nobody knows one.

    A job that reaches its limit has failed, whatever it has written by then: an engine has to be ended before that.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    left = parse_time_left(output("squeue", "--noheader", f"--jobs={job}", "--format=%L", seconds=60) or "")
    return None if left is None else left - min(_KEPT_BACK_SECONDS, _KEPT_BACK_SHARE * left)


def parse_time_left(text: str) -> float | None:
    """Seconds of Slurm's ``2-03:04:05``, ``03:04:05``, ``04:05``; None for ``UNLIMITED`` and other words."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def job_status(shown: str) -> str:
    """``running``, ``success`` or ``failed``, from what ``scontrol show job`` prints.

    A job that Slurm cannot tell of now is running: its controller may be busy, and the next look will say. One that it
    has forgotten has failed: what it has finished comes back when it is run again.
    """
    if "Invalid job id" in shown:
        return "failed"
    match = re.search(r"\bJobState=(\w+)", shown)
    if match is None:
        return "running"
    if match[1] == "COMPLETED":
        return "success"
    return "failed" if match[1] in _FAILED else "running"
