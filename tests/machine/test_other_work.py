"""How busy other programs keep the machine before an engine is started."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from kvsweep.machine.other_work import OtherWork, Reading, busy_cores, goes_on


def test_the_work_of_others_is_what_all_did_without_our_own() -> None:
    before = Reading(clock=100.0, busy=5000.0, own=3.0)
    assert busy_cores(before, Reading(clock=100.5, busy=5001.0, own=3.25)) == 1.5
    assert busy_cores(before, Reading(clock=100.5, busy=5000.25, own=3.25)) == 0.0


def test_rounding_of_the_counters_never_gives_less_than_no_work() -> None:
    assert busy_cores(Reading(1.0, 10.0, 0.0), Reading(1.1, 10.0, 0.01)) == 0.0


def test_no_time_has_passed() -> None:
    assert busy_cores(Reading(1.0, 10.0, 0.0), Reading(1.0, 10.0, 0.0)) is None


def test_our_own_work_is_left_out() -> None:
    """Not how much there is of others': that depends on what else this machine does."""
    with_our_own, without = OtherWork([]), OtherWork([os.getpid()])
    begin = time.process_time()
    while time.process_time() < begin + 0.5:
        pass
    all_of_it, of_others = with_our_own.cores(), without.cores()
    assert all_of_it is not None and of_others is not None
    assert all_of_it > of_others >= 0


def test_a_probe_that_fails_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    assert OtherWork([]).cores() is None


def test_a_process_that_is_gone_has_done_no_work() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert OtherWork([ended.pid]).cores() is not None


def test_which_reading_of_the_last_cell_will_do() -> None:
    left = Reading(clock=100.0, busy=5000.0, own=3.0)
    assert goes_on(left, Reading(100.2, 5000.1, 3.1))
    assert not goes_on(left, Reading(106.0, 5000.1, 3.1)), "from too long ago"
    assert not goes_on(left, Reading(4.0, 10.0, 3.1)), "the machine was started again"
    assert not goes_on(left, Reading(100.2, 5000.1, 2.5)), (
        "the last runner is not counted as the workflow's yet"
    )


def test_a_cell_goes_on_from_where_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reading is a tenth of a second after the first: only one without a first has to wait for it."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    memory, workflow = tmp_path / "load.json", os.getppid()
    readings = iter(
        [
            Reading(100.0, 50.0, 3.0),  # a first cell starts,
            Reading(100.1, 50.1, 3.1),  # its engine is about to start,
            Reading(110.0, 60.0, 13.0),  # and has ended;
            Reading(110.2, 60.4, 13.1),  # a second one starts,
            Reading(110.3, 60.5, 13.1),  # and its engine is about to,
            Reading(110.4, 60.5, 13.1),  # as is one of another workflow.
            Reading(110.5, 60.5, 13.1),
        ]
    )
    monkeypatch.setattr(OtherWork, "_read", lambda _self: next(readings))
    monkeypatch.setattr(time, "monotonic", lambda: 110.25)

    first = OtherWork([os.getpid(), workflow], memory)
    assert first.cores() == 0.0
    first.leave()
    waits.clear()
    assert OtherWork([os.getpid(), workflow], memory).cores() == pytest.approx(0.4 / 0.3, abs=0.01)
    assert waits == [0.0]
    assert OtherWork([os.getpid()], memory).cores() == 0.0


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"workflow": [1]}',
        '{"workflow": [], "reading": [1]}',
        '{"workflow": [], "reading": ["1", "a", "2"]}',
    ],
)
def test_a_damaged_reading_only_costs_time(tmp_path: Path, damage: str) -> None:
    memory = tmp_path / "load.json"
    memory.write_text(damage)
    assert OtherWork([os.getpid()], memory).cores() is not None
