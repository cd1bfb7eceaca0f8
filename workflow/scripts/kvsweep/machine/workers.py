"""Work done side by side, by processes that end with the one that they work for."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.parents import end_with

Apply = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


@contextmanager
def side_by_side(processes: int) -> Iterator[Apply]:
    """A ``map`` over so many processes; with one, in this process.

    Raises KvsweepError if one of them is lost, which a pool of ``multiprocessing`` would wait for without end.
    """
    if processes == 1:
        yield map
        return
    # Not forked: Arrow has threads.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, context, _begin, (os.getpid(),)) as pool:
            yield pool.map
    except BrokenProcessPool:
        raise KvsweepError(
            "a process that took a part of this work was killed, by the system for want of memory or by somebody; "
            "nothing of it was kept: make room, and start again."
        ) from None


def _begin(pid: int) -> None:
    """End this worker with the process ``pid``, whose end it would not notice while it waits for work."""
    end_with(pid, lambda: os._exit(1))
