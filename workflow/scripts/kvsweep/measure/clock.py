"""Two clocks that no one sets, and for how long an engine stood still while they went on.

One clock stands still while the machine sleeps. Time limits go by it, so that a laptop that was closed overnight does
not time out; what the other one is ahead is how long the machine slept. Setting the date changes neither.
"""

from __future__ import annotations

import sys
import time

import psutil

_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
# This process looks twice a second; a longer gap is one in which it stood still itself ...
_GAP_SECONDS = 2.0
# ... and the engine with it, if it had next to no processor time meanwhile: a frozen container, not a stopped terminal.
_SHARE_OF_A_CORE = 0.01


def awake_seconds() -> float:
    """CLOCK_MONOTONIC on Linux, ``mach_absolute_time`` on macOS: without the time that the machine slept."""
    return time.monotonic()


def with_sleep_seconds() -> float:
    """CLOCK_BOOTTIME on Linux; on macOS CLOCK_MONOTONIC goes on while it sleeps."""
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Pauses:
    """Watches one process. ``seconds`` counts while it is stopped (SIGSTOP, a debugger), to half the time between two
    looks, and while it is frozen together with this process."""

    def __init__(self, pid: int, now: float) -> None:
        self.seconds = 0.0
        self._pid = pid
        self._last, self._was_stopped, self._worked = now, False, 0.0

    def look(self, now: float) -> None:
        """Look at the process; ``now`` is on a clock that goes on while it is stopped."""
        try:
            process = psutil.Process(self._pid)
            stopped = process.status() in _STOPPED
            times = process.cpu_times()
        except psutil.Error:  # it has ended
            return
        elapsed, worked = now - self._last, times.user + times.system
        if stopped and self._was_stopped:
            self.seconds += elapsed
        elif stopped or self._was_stopped:
            self.seconds += elapsed / 2
        elif elapsed > _GAP_SECONDS and worked - self._worked < _SHARE_OF_A_CORE * elapsed:
            self.seconds += elapsed
        self._last, self._was_stopped, self._worked = now, stopped, worked
