"""For how long an engine stood still, from what a few looks at it show."""

from types import SimpleNamespace

import psutil
import pytest
from kvsweep.measure.clock import Pauses

RUNNING, STOPPED, TRACED = psutil.STATUS_RUNNING, psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP
Look = tuple[float, str, float]


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        # When, in which state, after how many seconds of processor time.
        ([(0.5, RUNNING, 0.5), (1.0, RUNNING, 1.0)], 0),
        (
            [(0.5, RUNNING, 0.5), (1.0, STOPPED, 0.6), (1.5, STOPPED, 0.6), (2.0, RUNNING, 0.7)],
            0.25 + 0.5 + 0.25,
        ),
        ([(0.5, TRACED, 0.1), (1.0, TRACED, 0.1)], 0.25 + 0.5),
        # This process was frozen, and the engine with it.
        ([(0.5, RUNNING, 0.5), (60.5, RUNNING, 0.5), (61.0, RUNNING, 1.0)], 60),
        # Only this process was: Ctrl-Z in its terminal.
        ([(0.5, RUNNING, 0.5), (60.5, RUNNING, 30.0)], 0),
        # It waits for a device, and this process looked in time.
        ([(0.5, psutil.STATUS_SLEEPING, 0.5), (1.0, psutil.STATUS_SLEEPING, 0.5)], 0),
    ],
)
def test_what_looks_show(monkeypatch: pytest.MonkeyPatch, looks: list[Look], seconds: float) -> None:
    pauses = Pauses(1234, 0.0)
    for now, state, worked in looks:
        seen = SimpleNamespace(
            status=lambda state=state: state,
            cpu_times=lambda worked=worked: SimpleNamespace(user=worked, system=0.0),
        )
        monkeypatch.setattr(psutil, "Process", lambda _pid, seen=seen: seen)
        pauses.look(now)
    assert pauses.seconds == pytest.approx(seconds)


def test_a_process_that_has_ended_is_no_error() -> None:
    pauses = Pauses(2**22 + 1, 0.0)
    pauses.look(1.0)
    assert pauses.seconds == 0
