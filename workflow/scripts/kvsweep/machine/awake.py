"""Keeps a Mac from falling asleep while it measures."""

from __future__ import annotations

import platform
import subprocess


def hold_awake(pid: int) -> bool:
    """Start ``caffeinate`` for as long as the process ``pid`` lives; False where there is no such thing.

    It keeps the system from idling to sleep (-i), on mains from sleeping at all (-s), and the disk awake (-m). The
    display may sleep, and a laptop that is closed on battery does.
    """
    if platform.system() != "Darwin":
        return False
    try:
        subprocess.Popen(
            ["caffeinate", "-i", "-m", "-s", "-w", str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    return True
