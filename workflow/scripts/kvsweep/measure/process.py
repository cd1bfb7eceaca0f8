"""Runs one engine process: its own process group, a time limit, capped logs, no orphans.

Whatever ends the runner ends the engine too: at the time limit and on a signal the runner kills the engine's group
itself; when the workflow that asked for the cell is gone it does the same; and a small guard process, which holds the
other end of a pipe, does it when the runner was killed.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from kvsweep.errors import Interrupted, KvsweepError
from kvsweep.machine.children import ending_signals, guard, signal_group
from kvsweep.measure import clock
from kvsweep.measure.record import DONE, TIME_LIMIT
from kvsweep.measure.streams import Stream, StreamRecord, output
from kvsweep.parents import is_gone

_POLL_SECONDS = 0.5
# A killed process ends at once unless a device driver holds it.
_KILL_SECONDS = 30
# What a server has to end by itself.
_LEAVE_SECONDS = 5


class ProcessRecord(NamedTuple):
    """How an engine process went. ``ended_by`` says why the runner ended it; None where it did not.

    ``wall_seconds`` is without ``suspended_seconds``, for which the machine slept or the engine was stopped meanwhile.
    """

    started_at: str
    wall_seconds: float
    suspended_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    exit_status: int | None
    signal: str | None
    ended_by: str | None
    streams: tuple[StreamRecord, ...]

    def as_dict(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {**self._asdict(), "streams": [stream._asdict() for stream in self.streams]}


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path | None,
    *,
    time_limit_seconds: float | None = None,
    stream_limit_bytes: int = 64 * 2**20,
    workflow_pid: int | None = None,
    on_tick: Callable[[], None] = lambda: None,
    until: Callable[[], bool] = lambda: False,
) -> ProcessRecord:
    """Run ``command`` with exactly ``environment``, and wait for its end. The streams go to the two files, or both to
    the first.

    ``on_tick`` is called about twice a second, and then ``until``, which says whether a server is to be ended. Raises
    KvsweepError if the program cannot be started or a stream cannot be written, Interrupted on SIGINT, SIGTERM or
    SIGHUP and when the process ``workflow_pid``, for which the cell is run, is gone; the engine is ended before that.
    """
    with ending_signals() as signals, guard() as watch, ExitStack() as files:
        paths = [path for path in (stdout, stderr) if path is not None]
        outputs = [files.enter_context(output(path)) for path in paths]
        started_at = datetime.now(UTC)
        start, start_with_sleep = clock.awake_seconds(), clock.with_sleep_seconds()
        engine = _start(command, environment, stderr is None, watch)
        pauses = clock.Pauses(engine.pid, start)
        pipes = filter(None, (engine.stdout, engine.stderr))
        places = zip(pipes, outputs, paths, strict=True)
        streams = [Stream(*place, stream_limit_bytes) for place in places]
        waiter = _Waiter(engine.pid)
        ended_by = None
        try:
            for thread in (waiter, *streams):
                thread.start()
            signals.raise_now()
            while ended_by is None and not waiter.ended.wait(_POLL_SECONDS):
                now = clock.awake_seconds()
                pauses.look(now)
                if time_limit_seconds is not None and now - start - pauses.seconds > time_limit_seconds:
                    ended_by = TIME_LIMIT
                    break
                _check(streams, workflow_pid)
                on_tick()
                ended_by = DONE if until() else None
            wall_seconds = clock.awake_seconds() - start - pauses.seconds
            suspended_seconds = clock.with_sleep_seconds() - start_with_sleep - wall_seconds
        finally:
            signals.hold()  # a second Ctrl-C must not stop this
            engine.returncode = 0  # reaped by wait4, not by subprocess
            _end(waiter, streams, ask_first=ended_by == DONE)
        _finish(command[0], waiter, streams)
    return ProcessRecord(
        started_at=started_at.isoformat(timespec="milliseconds"),
        wall_seconds=round(wall_seconds, 3),
        # Two clocks are never read at the same moment.
        suspended_seconds=round(suspended_seconds, 3) if suspended_seconds > 0.1 else 0.0,
        **waiter.found(),
        ended_by=ended_by,
        streams=tuple(stream.record() for stream in streams),
    )


def _start(
    command: Sequence[str], environment: Mapping[str, str], together: bool, watch: Callable[[], None] | None
) -> subprocess.Popen[bytes]:
    """The engine in a group of its own, with both streams in one if ``together``. Raises KvsweepError."""
    try:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if together else subprocess.PIPE,
            start_new_session=True,
            preexec_fn=watch,
        )
    except OSError as error:
        raise KvsweepError(f"{command[0]}: cannot be started ({error.strerror}).") from error


def _check(streams: Iterable[Stream], workflow_pid: int | None) -> None:
    """Raise what is a reason to end the engine: a stream that cannot be written, the end of the workflow."""
    for stream in streams:
        if stream.error is not None:
            raise stream.error
    if workflow_pid is not None and is_gone(workflow_pid):
        raise Interrupted(signal.SIGHUP)


def _end(waiter: _Waiter, streams: Iterable[Stream], ask_first: bool) -> None:
    """End the engine and all that it started, also after a normal end: nothing of it must go on using the device."""
    if ask_first:  # it may have something left to say
        signal_group(waiter.pid, signal.SIGTERM)
        waiter.ended.wait(_LEAVE_SECONDS)
    signal_group(waiter.pid, signal.SIGKILL)
    for thread in (waiter, *streams):
        thread.join(timeout=_KILL_SECONDS)


def _finish(program: str, waiter: _Waiter, streams: Iterable[Stream]) -> None:
    """Raise KvsweepError if the engine has not ended, or a stream could not be written to its end."""
    if waiter.is_alive() or any(stream.is_alive() for stream in streams):
        raise KvsweepError(
            f"{program}: a process of the engine (group {waiter.pid}) does not end although it was killed; "
            "end it before you measure anything else."
        )
    for stream in streams:
        stream.finish()


class _Waiter(threading.Thread):
    """Waits for a process; ``ended`` is set when its status and what it used are known."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.ended = pid, threading.Event()
        self.status: int
        self.usage: resource.struct_rusage

    def run(self) -> None:
        _, self.status, self.usage = os.wait4(self.pid, 0)
        self.ended.set()

    def found(self) -> dict[str, Any]:
        """What a record says of how the process ended and what it used."""
        status, usage = self.status, self.usage
        return {
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "exit_status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None,
        }
