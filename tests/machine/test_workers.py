"""Work side by side: a process that is lost is said, and none outlives the program."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from kvsweep.errors import KvsweepError
from kvsweep.machine.workers import side_by_side
from kvsweep.parents import is_gone
from support import SCRIPTS, wait_for

WORKS = """
import os, signal, sys, time
from pathlib import Path
from kvsweep.machine.workers import side_by_side
def work(place):
    Path(place, str(os.getpid())).touch()
    time.sleep(600)
if __name__ == "__main__":
    with side_by_side(2) as apply:
        list(apply(work, [sys.argv[1]] * 2))
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_what_comes_back_is_in_order(processes: int) -> None:
    with side_by_side(processes) as apply:
        assert list(apply(math.sqrt, [81, 1, 4])) == [9, 1, 2]


def test_a_process_that_is_killed_is_an_error_and_waited_for_by_nobody() -> None:
    with (
        pytest.raises(KvsweepError, match=r"was killed, by the system for want of memory or by somebody"),
        side_by_side(2) as apply,
    ):
        list(apply(signal.raise_signal, [signal.SIGCONT] * 3 + [signal.SIGKILL] + [signal.SIGCONT] * 3))


def test_no_process_outlives_a_program_that_is_killed(tmp_path: Path) -> None:
    program, place = tmp_path / "works.py", tmp_path / "pids"
    program.write_text(WORKS)
    place.mkdir()
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    with subprocess.Popen([sys.executable, program, place], env=environment) as working:
        wait_for(lambda: len(list(place.iterdir())) == 2)
        below = psutil.Process(working.pid).children(recursive=True)
        assert {int(path.name) for path in place.iterdir()} <= {one.pid for one in below}
        working.kill()
    wait_for(lambda: all(is_gone(one.pid) for one in below))


def test_a_program_of_a_rule_ends_with_the_snakemake_that_it_works_for() -> None:
    """Also where it only waits, as for a download."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as workflow:
        waits = "import time; from kvsweep.program import run_program; run_program(lambda: time.sleep(600))"
        environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "KVSWEEP_WORKFLOW": str(workflow.pid)}
        program = subprocess.Popen([sys.executable, "-c", waits], env=environment)
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(1)
        workflow.kill()
        assert program.wait(60) == -signal.SIGTERM
