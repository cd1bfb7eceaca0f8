"""Signals that end a program, held back while what it runs is being started or ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from kvsweep.errors import Interrupted


class Signals:
    """Signals that end the runner, held back until its engine can be ended with it."""

    def __init__(self) -> None:
        self._raise = False
        self.came: int | None = None

    def handle(self, signum: int, _frame: object) -> None:
        self.came = self.came or signum
        if self._raise:
            self._raise = False
            raise Interrupted(signum)

    def raise_now(self) -> None:
        """Raise Interrupted where a signal has come, and as soon as one comes."""
        self._raise = True
        if self.came is not None:
            self._raise = False
            raise Interrupted(self.came)

    def hold(self) -> None:
        self._raise = False


@contextmanager
def ending_signals() -> Iterator[Signals]:
    """Handle SIGINT, SIGTERM and SIGHUP inside the block. Raises Interrupted behind it if one came."""
    signals = Signals()
    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What is ignored stays ignored: that is how nohup works.
        if signal.getsignal(signum) not in (signal.SIG_IGN, None):
            before[signum] = signal.signal(signum, signals.handle)
    try:
        yield signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    # One that came while the engine was being ended anyway.
    if signals.came is not None:
        raise Interrupted(signals.came)
