"""What a person at the terminal sees while an engine runs: at most one line in a while, by the engine's own pace."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, write_json
from kvsweep.units import format_duration

# In the directory of a cell while its engine runs: what runs where, and what it said last. Its time stamp is the last
# sign of life.
RUNNING = ".running.json"
# Under results/: the cells of the study that the run under way is of (plan/counts.py writes it).
CELLS = "cells.txt"
_QUIET_SECONDS = 15.0
_TAIL_BYTES = 4096


class Progress:
    """Says every 15 seconds where the running engine is, if it has got on since; leaves a sign of life each time."""

    def __init__(
        self,
        directory: Path,
        describe: Callable[[Path, float], str | None],
        say: Callable[[str], None],
        host: str | None = None,
    ) -> None:
        self._directory, self._describe, self._say, self._host = directory, describe, say, host
        self._start = self._said_at = time.monotonic()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._said: str | None = None

    def __enter__(self) -> Progress:
        make_directory(self._directory)
        self._leave_sign()
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):
            (self._directory / RUNNING).unlink()

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._said_at < _QUIET_SECONDS:
            return
        self._said_at = now
        text = self._describe(self._directory, now - self._start)
        if text is not None and text != self._said:
            self._said = text
            self._say(f"  {text}")
        self._leave_sign()

    def _leave_sign(self) -> None:
        """Nobody misses it: what cannot be written is not worth an error in the middle of a measurement."""
        sign = {"pid": os.getpid(), "host": self._host, "started_at": self._started_at, "said": self._said}
        with suppress(KvsweepError):
            write_json(self._directory / RUNNING, sign)


def pace(what: str, done: int, before: int, total: int, elapsed_seconds: float) -> str | None:
    """``window 3 of 8, about 5 min left``, by what was done since there were ``before``; None where nothing was."""
    if done <= before:
        return None
    left = elapsed_seconds / (done - before) * max(total - done, 0)
    return f"{what} {done} of {total}, about {format_duration(left)} left"


def stamp(cell: Path) -> str | None:
    """Identifies a cell's record: it changes when the cell is measured again. None without a record."""
    try:
        found = (cell / "run.json").stat()
    except OSError:
        return None
    return f"{found.st_mtime_ns}-{found.st_ino}"


def count_done(results: Path, besides: str | None = None) -> tuple[int, int] | None:
    """How many cells of the run's list are done, and how many there are; None without a list.

    A record that was to be measured again when the run began counts only when it is another one. ``besides`` is a cell
    that counts as done whatever is there.
    """
    listed = listed_cells(results)
    if listed is None:
        return None
    done = sum(name == besides or stamp(results / name) not in (None, old) for name, old in listed.items())
    return done, len(listed)


def listed_cells(results: Path) -> dict[str, str | None] | None:
    """The cells of the run's list, each with the stamp of a record to be replaced; None without a list."""
    try:
        lines = (results / CELLS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    parts = (line.partition("\t") for line in lines)
    return {name: old or None for name, _, old in parts}


def tail(path: Path) -> str:
    """The end of a file that is still being written to; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
