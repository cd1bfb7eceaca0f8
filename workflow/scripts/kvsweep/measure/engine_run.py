"""One cell's engine process from start to record: what goes in is verified, what comes out is complete or absent."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from kvsweep.engine.environment import devices_of, engine_environment
from kvsweep.engine.identity import measuring_files
from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, partial, sha256, write_json, write_text
from kvsweep.machine import cluster_job
from kvsweep.machine.conditions import Conditions
from kvsweep.machine.description import Machine, load_average, read_out_of_memory_kills
from kvsweep.measure.process import ProcessRecord, run
from kvsweep.measure.record import JOB_TIME_LIMIT, TIME_LIMIT
from kvsweep.measure.second_names import drop_spare, spare
from kvsweep.measure.takeover import Claim

SERVER_LOG_BYTES = 2 * 2**20
# Ends of an engine that somebody else decided on.
_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")


class Subject(NamedTuple):
    """What a cell runs, and where. ``cell`` is what run.json says of the cell itself."""

    directory: Path
    build_json: Path
    build: dict[str, Any]
    model: dict[str, Any]
    machine: Machine
    cell: dict[str, Any]
    claim: Claim

    def program(self, name: str) -> Path:
        return Path(self.build["directory"], name)

    def describe(self, command: Sequence[str]) -> dict[str, Any]:
        """What run.json says before anything ran: the cell, and what was to run on what."""
        return {
            "format": 1,
            **self.cell,
            "engine": self.build["engine"],
            "engine_definition": self.build.get("definition"),
            "engine_files": measuring_files(self.build["files"], self.build.get("programs", ())),
            "build_sha256": sha256(self.build_json),
            "model": self.model["model"],
            "model_sha256": self.model["sha256"],
            "command": list(command),
            "environment": dict(self.build["environment"]),
            "machine": self.machine.as_dict(),
        }


class Attempt(NamedTuple):
    """One engine process that has ended. Its streams stand beside their final names until ``keep``."""

    command: Sequence[str]
    record: ProcessRecord
    load_before: float | None
    busy_cores_before: float | None
    conditions: Conditions
    killed_for_memory: bool

    def as_dict(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {**self._asdict(), "record": self.record.as_dict(), "conditions": self.conditions._asdict()}


def run_engine(
    subject: Subject,
    command: Sequence[str],
    stdout_name: str,
    arguments: argparse.Namespace,
    conditions: Conditions,
    on_tick: Callable[[], None],
    until: Callable[[], bool] | None = None,
) -> Attempt:
    """Run the engine once. Raise KvsweepError if something else ended it than itself, want of memory or the time limit.

    With ``until`` it is a server that writes both streams to ``stdout_name`` and is ended when that says so. What it
    prints of each request is no evidence, and some builds print each prompt and ten lines a token: ``SERVER_LOG_BYTES``
    are kept of it.
    """
    make_directory(subject.directory)
    subject.claim.take()
    # Another runner's files would be written to by both.
    discard(subject.directory, stdout_name)
    # What was measured before must not come back in place of what is measured now.
    drop_spare(subject.directory)
    # Where all of the workflow runs in one job, the end of that job is no verdict on the cell that it interrupts.
    job_seconds = cluster_job.usable_seconds() if arguments.nodes else None
    limit_seconds = min(arguments.cell_hours * 3600, math.inf if job_seconds is None else job_seconds)
    kills, load, busy = read_out_of_memory_kills(), load_average(), arguments.other_work.cores()

    def tick() -> None:
        subject.claim.look()
        on_tick()

    limit_bytes = int(arguments.log_mebibytes * 2**20)
    devices = devices_of(arguments.nodes.get("gres"))
    try:
        record = run(
            command,
            engine_environment(os.environ, subject.build["environment"], devices),
            partial(subject.directory / stdout_name),
            None if until else partial(subject.directory / "stderr.log"),
            time_limit_seconds=limit_seconds,
            stream_limit_bytes=min(limit_bytes, SERVER_LOG_BYTES) if until else limit_bytes,
            workflow_pid=arguments.workflow_pid,
            on_tick=tick,
            until=until or (lambda: False),
        )
        subject.claim.check()
    except BaseException:
        give_up(subject, stdout_name)
        raise
    if record.ended_by == TIME_LIMIT and limit_seconds == job_seconds:
        record = record._replace(ended_by=JOB_TIME_LIMIT)
    kills_after = read_out_of_memory_kills()
    counted = None if kills is None or kills_after is None else kills_after > kills
    killed = killed_for_memory(record, counted, subject.machine.memory_bytes)
    if record.signal in _OUTSIDE and record.ended_by is None and not killed:
        give_up(subject, stdout_name)
        raise KvsweepError(
            f"the engine was ended from outside ({record.signal}) after {record.wall_seconds:.0f} s; "
            "nothing of this cell was kept, run again to measure it."
        )
    return Attempt(command, record, load, busy, conditions, killed)


def killed_for_memory(record: ProcessRecord, counted: bool | None, memory_bytes: int | None) -> bool:
    """Whether the system killed the engine for want of memory.

    ``counted`` says whether Linux's count of such kills went up. macOS keeps none: there an engine that was killed
    while it filled most of the memory ran out of it.
    """
    if record.signal != "SIGKILL" or record.ended_by is not None:
        return False
    if counted is None:
        return memory_bytes is not None and record.peak_rss_bytes > 0.7 * memory_bytes
    return counted


def give_up(subject: Subject, stdout_name: str, *beside: Path) -> None:
    """Remove what an attempt printed, and the files ``beside``, unless they are another runner's by now."""
    if not subject.claim.holds():
        return
    discard(subject.directory, stdout_name)
    for path in beside:
        path.unlink(missing_ok=True)
    subject.claim.release()


def discard(directory: Path, stdout_name: str) -> None:
    """Remove what an attempt printed."""
    for name in (stdout_name, "stderr.log"):
        # What cannot be removed is not worth another error: one is being reported.
        with suppress(OSError):
            partial(directory / name).unlink()


def read_stream(directory: Path, name: str) -> str:
    """What the last attempt printed to a stream that has not been kept yet."""
    return partial(directory / name).read_bytes().decode("utf-8", errors="replace")


def keep(
    subject: Subject,
    attempts: Sequence[Attempt],
    beside: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Give the last attempt's streams their names and write run.json last: a cell is there when its run.json is.

    ``beside`` names other files of the cell, which are there already; ``more`` is what else run.json says.
    """
    subject.claim.check()
    last = attempts[-1].as_dict()
    command, process = last.pop("command"), last.pop("record")
    streams = process.pop("streams")
    for stream in streams:
        stream["name"] = stream["name"].removeprefix(".").removesuffix(".partial")
        partial(subject.directory / stream["name"]).replace(subject.directory / stream["name"])
    record = {
        **subject.describe(command),
        **last,
        "attempts": len(attempts),
        **(more or {}),
        **process,
        "streams": streams,
    }
    spare(subject.directory, [*beside, *(stream["name"] for stream in streams)], record)
    write_json(subject.directory / "run.json", record)
    subject.claim.release()


def keep_skipped(
    subject: Subject,
    command: Sequence[str],
    stream_names: Sequence[str],
    reason: str,
    predicted_seconds: float,
) -> None:
    """Write down that the engine was not started for this cell, and why."""
    make_directory(subject.directory)
    for name in stream_names:
        write_text(subject.directory / name, "")
    nothing = hashlib.sha256(b"").hexdigest()
    streams = [{"name": n, "size_bytes": 0, "left_out_bytes": 0, "sha256": nothing} for n in stream_names]
    write_json(
        subject.directory / "run.json",
        {
            **subject.describe(command),
            "skipped": reason,
            "predicted_seconds": predicted_seconds,
            "attempts": 0,
            "streams": streams,
        },
    )
