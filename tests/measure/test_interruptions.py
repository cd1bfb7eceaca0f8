"""Nothing is lost when a run is killed: SIGKILL at random moments of a real run.

`benchmarks/kill_at_random.py` does the same hundreds of times.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from base64 import b64encode
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("demo")]

ENGINE = ROOT / "results" / "engines" / "mainline" / "bin"


@pytest.fixture(scope="module")
def kill_at_random() -> ModuleType:
    path = ROOT / "benchmarks" / "kill_at_random.py"
    specification = importlib.util.spec_from_file_location("kill_at_random", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["kill_at_random"] = module
    specification.loader.exec_module(module)
    return module


def test_killed_at_random_moments_a_run_loses_no_cell_and_keeps_no_torn_file(
    kill_at_random: ModuleType, tmp_path: Path
) -> None:
    kills = int(os.environ.get("KVSWEEP_KILLS", "20"))
    outcome = kill_at_random.kill_rounds(ENGINE, kills, 7, tmp_path)
    assert sum(outcome.kills.values()) == kills
    assert (outcome.cells_lost, outcome.torn_files, outcome.orphans, outcome.wrong_rows) == (0, 0, 0, 0)


def test_a_cell_that_was_finished_and_not_yet_booked_is_not_measured_again(
    kill_at_random: ModuleType, tmp_path: Path
) -> None:
    """As when Snakemake is killed in the tenth of a second after a cell's end: its mark of a running job is left."""
    study = kill_at_random.small_study(ENGINE, tmp_path)
    assert kill_at_random.start(tmp_path, study).wait() == 0
    cells = ["throughput/killed/demo/d0/k-f16/v-f16", "quality/killed/demo/text/c256/k-q8_0/v-q8_0"]
    records = [tmp_path / "results" / cell / "run.json" for cell in cells]
    before = [record.read_bytes() for record in records]
    for record in records:
        for stream in (*record.parent.glob("*.log"), *record.parent.glob("*.jsonl"), record):
            name = b64encode(str(stream.relative_to(tmp_path)).encode()).decode()
            (tmp_path / ".snakemake" / "incomplete" / name).touch()
    assert kill_at_random.start(tmp_path, study).wait() == 0
    assert [record.read_bytes() for record in records] == before
    assert "Nothing to be done" in (tmp_path / "snakemake.log").read_text()
