"""How busy other programs keep the machine, right before an engine is started.

The load average will not do: it remembers the last minute, which is kvsweep's own previous cell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import psutil

# Linux counts processor time in hundredths of a second.
_SECONDS = 0.1


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


class OtherWork:
    """Watches the machine from its construction on. ``own`` are processes whose work is not other work."""

    def __init__(self, own: Iterable[int]) -> None:
        self._own = tuple(own)
        self._before = self._read()

    def cores(self) -> float | None:
        """Cores that others have kept busy so far, over at least a tenth of a second; None where it is not known."""
        if self._before is None:
            return None
        time.sleep(max(0.0, self._before.clock + _SECONDS - time.monotonic()))
        after = self._read()
        return None if after is None else busy_cores(self._before, after)

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
