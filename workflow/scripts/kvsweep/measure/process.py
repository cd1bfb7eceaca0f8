"""Runs one engine process: its own process group, a time limit, capped logs, no orphans.

Whatever ends the runner ends the engine too: at the time limit and on a signal the runner kills the engine's group
itself; when the workflow that asked for the cell is gone it does the same; and a small guard process, which holds the
other end of a pipe, does it when the runner was killed.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

import psutil

from kvsweep.errors import Interrupted, KvsweepError
from kvsweep.files import not_writable
from kvsweep.measure import clock
from kvsweep.measure.pauses import Pauses
from kvsweep.measure.record import DONE, TIME_LIMIT

_TAIL_BYTES = 64 * 1024
_POLL_SECONDS = 0.5
# A killed process ends at once unless a device driver holds it.
_KILL_SECONDS = 30
# What a server has to end by itself.
_LEAVE_SECONDS = 5


@dataclass(frozen=True)
class StreamRecord:
    """What was kept of one output stream. ``left_out_bytes`` were dropped from its middle at the cap."""

    name: str
    size_bytes: int
    left_out_bytes: int
    sha256: str


@dataclass(frozen=True)
class ProcessRecord:
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
    """Run ``command`` to its end with nothing but ``environment``, its streams in the two files, or both in the first.

    A server is ended as soon as ``until`` says so, which is asked as often as ``on_tick``.

    ``on_tick`` is called about twice a second. Raises KvsweepError if the program cannot be started or a stream cannot
    be written, Interrupted on SIGINT, SIGTERM or SIGHUP and when the process ``workflow_pid``, for which the cell is
    run, is gone; the engine is ended before that.
    """
    with _signals() as signals, _guard() as watch, ExitStack() as files:
        paths = [path for path in (stdout, stderr) if path is not None]
        outputs = [files.enter_context(_output(path)) for path in paths]
        started_at = datetime.now(UTC)
        start, start_with_sleep = clock.awake_seconds(), clock.with_sleep_seconds()
        try:
            engine = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if stderr is None else subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise KvsweepError(f"{command[0]}: cannot be started ({error.strerror}).") from error
        group = engine.pid
        watch(group)
        pauses = Pauses(engine.pid, start)
        ended = threading.Event()
        waited: list[tuple[int, object]] = []

        def wait() -> None:
            _, status, usage = os.wait4(engine.pid, 0)
            waited.append((status, usage))
            ended.set()

        pipes = [pipe for pipe in (engine.stdout, engine.stderr) if pipe is not None]
        streams = [
            _Stream(pipe, file, path, stream_limit_bytes)
            for pipe, file, path in zip(pipes, outputs, paths, strict=True)
        ]
        waiter = threading.Thread(target=wait, daemon=True)
        ended_by = None
        try:
            for thread in (waiter, *streams):
                thread.start()
            signals.raise_now()
            while not ended.wait(_POLL_SECONDS):
                now = clock.awake_seconds()
                pauses.look(now)
                if time_limit_seconds is not None and now - start - pauses.seconds > time_limit_seconds:
                    ended_by = TIME_LIMIT
                    break
                failed = next((s.error for s in streams if s.error), None)
                if failed is not None:
                    raise failed
                if workflow_pid is not None and _is_gone(workflow_pid):
                    raise Interrupted(signal.SIGHUP)
                on_tick()
                if until():
                    ended_by = DONE
                    break
            wall_seconds = clock.awake_seconds() - start - pauses.seconds
            suspended_seconds = clock.with_sleep_seconds() - start_with_sleep - wall_seconds
        finally:
            signals.hold()  # a second Ctrl-C must not stop this
            if ended_by == DONE:
                # It may say what it has left to say.
                _signal_group(group, signal.SIGTERM)
                ended.wait(_LEAVE_SECONDS)
            # Also after a normal end: what the engine left behind must not go on using the device.
            _signal_group(group, signal.SIGKILL)
            waiter.join(timeout=_KILL_SECONDS)
            for stream in streams:
                stream.join(timeout=_KILL_SECONDS)
            engine.returncode = 0  # reaped by wait4, not by subprocess
        if waiter.is_alive() or any(stream.is_alive() for stream in streams):
            raise KvsweepError(
                f"{command[0]}: a process of the engine (group {group}) does not end although it was killed; "
                "end it before you measure anything else."
            )
        for stream in streams:
            stream.finish()
        status, usage = waited[0]
    return ProcessRecord(
        started_at=started_at.isoformat(timespec="milliseconds"),
        wall_seconds=round(wall_seconds, 3),
        # Two clocks are never read at the same moment.
        suspended_seconds=round(suspended_seconds, 3) if suspended_seconds > 0.1 else 0.0,
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 3),  # type: ignore[attr-defined]
        peak_rss_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),  # type: ignore[attr-defined]
        exit_status=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        signal=signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None,
        ended_by=ended_by,
        streams=tuple(stream.record() for stream in streams),
    )


class _Stream(threading.Thread):
    """Copies a pipe to a file: the first part up to the limit as it comes, and the last part of what is beyond."""

    def __init__(self, pipe: IO[bytes], file: IO[bytes], path: Path, limit_bytes: int) -> None:
        super().__init__(daemon=True)
        self._pipe, self._file, self._path = pipe, file, path
        self._limit = max(limit_bytes - _TAIL_BYTES, _TAIL_BYTES)
        self._seen, self._kept, self._tail = 0, 0, b""
        self._hash = hashlib.sha256()
        self.error: KvsweepError | None = None

    def run(self) -> None:
        descriptor = self._pipe.fileno()
        while chunk := os.read(descriptor, 65536):
            self._seen += len(chunk)
            room = self._limit - self._kept
            if self.error is None and room > 0:
                self._keep(chunk[:room])
            self._tail = (self._tail + chunk[max(room, 0) :])[-_TAIL_BYTES:]
        self._pipe.close()

    def finish(self) -> None:
        """Write what was held back, with a line that says how much is missing."""
        if self._tail:
            left_out = self._seen - self._kept - len(self._tail)
            if left_out > 0:
                self._keep(f"\n[kvsweep: {left_out} bytes left out here]\n".encode())
            self._left_out = max(left_out, 0)
            self._keep(self._tail)
            self._tail = b""
        else:
            self._left_out = 0
        if self.error is not None:
            raise self.error

    def record(self) -> StreamRecord:
        return StreamRecord(self._path.name, self._kept, self._left_out, self._hash.hexdigest())

    def _keep(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = not_writable(self._path, error)
            return
        self._hash.update(data)
        self._kept += len(data)


def _output(path: Path) -> IO[bytes]:
    """Opened without a buffer: a full disk is noticed where it is written to, not when the file is closed."""
    try:
        return cast(IO[bytes], path.open("wb", buffering=0))
    except OSError as error:
        raise not_writable(path, error) from error


@contextmanager
def _guard() -> Iterator[Callable[[int], None]]:
    """A process that kills the group it is told of when this one disappears without having said so.

    It is there before the engine is, so that no engine is ever without it.
    """
    guard = subprocess.Popen(
        # `kill -s KILL --`: dash does not take `kill -KILL --`.
        ["/bin/sh", "-c", 'read -r group && { read -r _ || kill -s KILL -- "-$group"; }', "kvsweep-guard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pipe = guard.stdin
    assert pipe is not None

    def watch(group: int) -> None:
        pipe.write(f"{group}\n".encode())
        pipe.flush()

    try:
        yield watch
        with suppress(OSError):
            pipe.write(b"done\n")
            pipe.flush()
    finally:
        # Not told that all is done, it kills the group once more: nothing can go wrong here that leaves an engine.
        with suppress(OSError):
            pipe.close()
        guard.wait()


class _Signals:
    """Signals that end the runner. They wait until the engine can be ended: one in between must not lose it."""

    def __init__(self) -> None:
        self._raise = False
        self.came: int | None = None

    def handle(self, signum: int, _frame: object) -> None:
        self.came = self.came or signum
        if self._raise:
            self._raise = False
            raise Interrupted(signum)

    def raise_now(self) -> None:
        """Raise Interrupted where a signal has come, and as soon as one comes."""
        self._raise = True
        if self.came is not None:
            self._raise = False
            raise Interrupted(self.came)

    def hold(self) -> None:
        self._raise = False


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What is ignored stays ignored: that is how nohup works.
        if signal.getsignal(signum) not in (signal.SIG_IGN, None):
            before[signum] = signal.signal(signum, signals.handle)
    try:
        yield signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    # One that came while the engine was being ended anyway.
    if signals.came is not None:
        raise Interrupted(signals.came)


def _signal_group(group: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError for a group of zombies
        os.killpg(group, signum)


def _is_gone(pid: int) -> bool:
    """Whether a process has ended, also where nobody has asked how."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
