"""Two clocks that no one sets: one stands still while the machine sleeps, the other does not.

Time limits go by the first, so that a laptop that was closed overnight does not time out; their difference is how long
it slept. Neither follows the date: setting it changes nothing.
"""

from __future__ import annotations

import sys
import time


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
