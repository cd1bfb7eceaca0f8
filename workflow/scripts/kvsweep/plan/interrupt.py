"""Ends a run at once, whatever asks for it: Ctrl-C, SIGTERM of a scheduler or a shutdown, SIGHUP of a closed terminal.

Snakemake waits at SIGTERM for the jobs that are running, which takes hours where an engine measures, and knows nothing
of SIGHUP, which leaves its lock behind. Ctrl-C reaches the jobs, too, because a terminal sends it to all of its group.
Here all three are what Ctrl-C is: the jobs are told, the runners end their engines and keep nothing of their cells, and
Snakemake, which gets a KeyboardInterrupt, goes the way of a run that has failed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType

import psutil

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.2
# What does not end on SIGINT, because it was started in the background, is told by SIGTERM after so long.
_PATIENCE_SECONDS = 3.0
_ending = threading.Event()


def is_ending() -> bool:
    """Whether a signal has asked this run to end."""
    return _ending.is_set()


def end_at_once_on_signals() -> None:
    """End this run at once on each of these signals, from now on. Call it in the main thread.

    A signal that is ignored stays ignored: that is how nohup works.
    """
    for signum in _SIGNALS:
        if signal.getsignal(signum) not in (signal.SIG_IGN, None):
            signal.signal(signum, _end)


def _end(_signum: int, _frame: FrameType | None) -> None:
    _ending.set()
    for signum in _SIGNALS:  # a second one must not stop the end
        signal.signal(signum, signal.SIG_IGN)
    threading.Thread(target=_end_jobs, daemon=True).start()
    raise KeyboardInterrupt


def _end_jobs() -> None:
    """Tell each program of a job, and those that start meanwhile, until this process has ended."""
    told: dict[int, float] = {}
    while True:
        for process in programs():
            first = process.pid not in told
            since = told.setdefault(process.pid, time.monotonic())
            with suppress(psutil.Error):
                if first:
                    process.send_signal(signal.SIGINT)
                elif time.monotonic() - since > _PATIENCE_SECONDS:
                    told[process.pid] = float("inf")
                    process.send_signal(signal.SIGTERM)
        time.sleep(_POLL_SECONDS)


def programs() -> list[psutil.Process]:
    """What runs for the jobs and would get a Ctrl-C: all below this process in its group, without the jobs' shells.

    A shell ends with its pipeline. Engines are in groups of their own, and their runners end them.
    """
    this = psutil.Process()
    shells = {child.pid for child in this.children() if _children(child)}
    return [child for child in _children(this) if child.pid not in shells and _in_this_group(child)]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _in_this_group(process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == os.getpgrp()
    except OSError:
        return False
