"""A program that kvsweep runs ends with it, and so does all that it has started: pip, git, an engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kvsweep.machine.children import run_to_its_end
from kvsweep.parents import is_gone
from support import SCRIPTS, wait_for

# Waits for a child of its own, as pip does for the program that builds a package.
SLEEPS = ["/bin/sh", "-c", 'sleep 600 & echo "$$ $!" > "$0.part"; mv "$0.part" "$0"; wait']
# Makes a file once it waits for the program.
RUNS = """
import subprocess, sys
from pathlib import Path
class Waits(subprocess.Popen):
    def communicate(self):
        Path(sys.argv[-1] + ".waits").touch()
        return super().communicate()
subprocess.Popen = Waits
from kvsweep.machine.children import run_to_its_end
from kvsweep.parents import is_gone
from kvsweep.program import run_program
run_program(lambda: run_to_its_end(sys.argv[1:]))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_whatever_ends_the_program(signum: signal.Signals, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNS, *SLEEPS, str(pids)],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: pids.is_file() and (tmp_path / "pids.waits").is_file())
    started = [int(pid) for pid in pids.read_text().split()]
    assert not any(map(is_gone, started))
    runner.send_signal(signum)
    _, said = runner.communicate()
    wait_for(lambda: all(map(is_gone, started)))
    if signum != signal.SIGKILL:
        assert (runner.returncode, said) == (130, "kvsweep: interrupted\n")


# All that starts a program which works for long, killed as soon as that is there: nothing after it has been done.
KILLED = """
import os, signal, subprocess, sys
from pathlib import Path
class Killed(subprocess.Popen):
    def __init__(self, command, **options):
        super().__init__(command, **options)
        if "kvsweep-guard" not in command:
            os.kill(os.getpid(), signal.SIGKILL)
subprocess.Popen = Killed
from kvsweep.engine.build import _run_step
from kvsweep.machine.children import run_to_its_end
from kvsweep.measure.process import run
command = sys.argv[2:]
{
    "run_to_its_end": lambda: run_to_its_end(command),
    "engine": lambda: run(command, os.environ, Path(os.devnull), None),
    "build": lambda: _run_step(command, os.environ, sys.stderr, print),
}[sys.argv[1]]()
"""


@pytest.mark.parametrize("way", ["run_to_its_end", "engine", "build"])
def test_there_is_no_moment_at_which_a_kill_leaves_the_program(way: str, tmp_path: Path) -> None:
    group = tmp_path / "group"
    waits = ["/bin/sh", "-c", 'echo $$ > "$0.part"; mv "$0.part" "$0"; exec sleep 600', str(group)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", KILLED, way, *waits], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    listed = ["ps", "-A", "-o", "args="]
    wait_for(lambda: str(group) not in subprocess.run(listed, capture_output=True, text=True).stdout)


def test_what_a_program_says() -> None:
    says = ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]
    done = run_to_its_end(says)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert run_to_its_end(says, together=True).stdout == "out\nerr\n"
    assert run_to_its_end(["/bin/sh", "-c", 'echo "$A"'], {"A": "b"}).stdout == "b\n"
