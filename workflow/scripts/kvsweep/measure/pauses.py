"""For how long an engine stood still while its machine was awake: the clocks of sleep do not show it."""

from __future__ import annotations

import psutil

_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
# This process looks twice a second; a longer gap is one in which it stood still itself ...
_GAP_SECONDS = 2.0
# ... and the engine with it, if it had next to no processor time meanwhile: a frozen container, not a stopped terminal.
_SHARE_OF_A_CORE = 0.01


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
