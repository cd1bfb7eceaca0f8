"""How a run ends its jobs' programs: Ctrl-C once, and after a while SIGTERM for one that does not hear it."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import psutil
import pytest
from kvsweep.plan import interrupt


def test_a_program_that_does_not_end_is_told_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, signal.Signals]] = []

    def gone(_signal: signal.Signals) -> None:
        raise psutil.NoSuchProcess(2)

    deaf = SimpleNamespace(pid=1, send_signal=lambda signum: told.append((1, signum)))
    ended = SimpleNamespace(pid=2, send_signal=gone)
    late = SimpleNamespace(pid=3, send_signal=lambda signum: told.append((3, signum)))
    # Two seconds between looks; when there is nothing more to look at this process has ended.
    looks = iter([[deaf, ended], [deaf, ended], *[[deaf, late]] * 4])
    clock = [0.0]
    monkeypatch.setattr(interrupt, "programs", lambda: next(looks))
    monkeypatch.setattr(interrupt, "_PATIENCE_SECONDS", 3.0)
    now = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda _seconds: clock.append(clock.pop() + 2))
    monkeypatch.setattr(interrupt, "time", now)
    with pytest.raises(StopIteration):
        interrupt._end_jobs()
    assert told == [(1, signal.SIGINT), (1, signal.SIGTERM), (3, signal.SIGINT), (3, signal.SIGTERM)]
