"""Nothing is lost when a run is killed: SIGKILL at random moments of a real run.

`benchmarks/kill_at_random.py` does the same hundreds of times.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("demo")]

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "results" / "engines" / "mainline" / "bin"


def test_killed_at_random_moments_a_run_loses_no_cell_and_keeps_no_torn_file(tmp_path: Path) -> None:
    path = ROOT / "benchmarks" / "kill_at_random.py"
    specification = importlib.util.spec_from_file_location("kill_at_random", path)
    assert specification is not None and specification.loader is not None
    kill_at_random = importlib.util.module_from_spec(specification)
    sys.modules["kill_at_random"] = kill_at_random
    specification.loader.exec_module(kill_at_random)
    kills = int(os.environ.get("KVSWEEP_KILLS", "20"))
    outcome = kill_at_random.kill_rounds(ENGINE, kills, 7, tmp_path)
    assert sum(outcome.kills.values()) == kills
    assert (outcome.cells_lost, outcome.torn_files, outcome.orphans, outcome.wrong_rows) == (0, 0, 0, 0)
