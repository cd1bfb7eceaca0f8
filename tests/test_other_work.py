"""How busy other programs keep the machine before an engine is started."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from kvsweep.other_work import OtherWork, Reading, busy_cores


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
