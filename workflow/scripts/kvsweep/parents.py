"""What a program works for, and that it does not outlive that."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.5


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also where nobody has asked how."""
    import psutil  # what only reads a file need not wait for it

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def end_with(pid: int, end: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)) -> None:
    """From now on ``end`` this program, by SIGTERM to itself, once the process ``pid`` has ended.

    A Snakemake that was killed tells nobody. What it had started would go on, beside what the next run starts.
    """

    def watch() -> None:
        while not is_gone(pid):
            time.sleep(_POLL_SECONDS)
        end()

    threading.Thread(target=watch, daemon=True).start()
