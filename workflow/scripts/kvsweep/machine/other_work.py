"""How busy other programs keep the machine, right before an engine is started.

The load average will not do: it remembers the last minute, which is kvsweep's own previous cell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, write_memory

# Linux counts processor time in hundredths of a second.
_SECONDS = 0.1
# From how many cores on that others keep busy a cell's speed is in doubt.
BUSY_CORES = 0.5
# The time between two cells; what is left from longer ago says nothing of now.
_RECENT_SECONDS = 5.0


class Reading(NamedTuple):
    """Seconds: a clock, what all cores have worked since the system started, and what kvsweep has of that."""

    clock: float
    busy: float
    own: float


def busy_cores(before: Reading, after: Reading) -> float | None:
    """Cores that others kept busy between two readings; None if the clocks stood still."""
    elapsed = after.clock - before.clock
    if elapsed <= 0:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return round(max(others, 0.0) / elapsed, 2)


def is_busy(cores: float | None) -> bool:
    """Whether others kept so many cores busy that a cell that was started then is in doubt."""
    return cores is not None and cores > BUSY_CORES


def goes_on(before: Reading, after: Reading) -> bool:
    """Whether a reading that another process left can be used.

    It has to be recent, and all work that was kvsweep's own then must still be counted. The work of an ended runner
    counts as its workflow's, but not at once.
    """
    return 0 < after.clock - before.clock < _RECENT_SECONDS and before.own <= after.own


class OtherWork:
    """Watches the machine from its construction on, or from the end of the last cell's engine.

    ``own`` are processes whose work is not other work: the cell's runner, and its workflow. ``memory`` is a JSON file
    in which the last runner of the workflow left a reading, so that this one need not wait for a second of its own.
    """

    def __init__(self, own: Iterable[int], memory: Path | None = None) -> None:
        self._own, self._memory = tuple(own), memory
        self._workflow = [pid for pid in self._own if pid != os.getpid()]
        now = self._read()
        left = self._left()
        self._before = now
        self._until = time.monotonic() + _SECONDS
        if now and left and goes_on(left, now):
            # A runner has been started since.
            self._before, self._until = left, 0.0

    def leave(self) -> None:
        """Leave a reading for the next cell, right after this one's engine has ended."""
        now = self._read()
        if self._memory and now:
            write_memory(self._memory, {"workflow": self._workflow, "reading": now})

    def cores(self) -> float | None:
        """Cores that others have kept busy so far; None where it is not known. Waits where it was too short a time."""
        if self._before is None:
            return None
        time.sleep(max(0.0, self._until - time.monotonic()))
        after = self._read()
        return None if after is None else busy_cores(self._before, after)

    def _left(self) -> Reading | None:
        try:
            left = read_json(self._memory) if self._memory else {}
            return Reading(*map(float, left["reading"])) if left["workflow"] == self._workflow else None
        except (KvsweepError, ValueError, KeyError, TypeError):
            return None

    def _read(self) -> Reading | None:
        try:
            times = psutil.cpu_times()
            # Linux counts a virtual machine's guests twice; time stolen by other machines is lost to the engine too.
            idle = times.idle + getattr(times, "iowait", 0.0)
            guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
            return Reading(
                time.monotonic(), sum(times) - idle - guests, sum(map(_processor_seconds, self._own))
            )
        except (psutil.Error, OSError):
            return None


def _processor_seconds(pid: int) -> float:
    """What a process and its ended children have worked; 0 for one that is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
