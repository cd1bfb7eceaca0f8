"""Two runners with one cell, as on a cluster: the one that came last has it, the other touches nothing any more."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kvsweep.measure import takeover as claim
from kvsweep.measure.takeover import Claim, Lost
from support import SCRIPTS, Workplace, measure, run_json

PATIENCE_SECONDS = 30


def test_the_last_one_has_it(tmp_path: Path) -> None:
    first, second = Claim(tmp_path), Claim(tmp_path)
    first.take()
    first.take()
    second.take()
    with pytest.raises(Lost, match=r"another runner has taken this cell over; this one has ended its engine"):
        first.check()
    assert not first.holds()
    second.check()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_who_has_finished_or_taken_nothing_has_lost_nothing(tmp_path: Path) -> None:
    one = Claim(tmp_path)
    one.check()
    one.take()
    one.release()
    one.check()


def test_a_look_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice a second on a file system that all nodes share would be too often."""
    first, second = Claim(tmp_path), Claim(tmp_path)
    first.take()
    second.take()
    first.look()
    monkeypatch.setattr(claim, "_LOOK_SECONDS", 0.0)
    with pytest.raises(Lost):
        first.look()


def test_a_runner_whose_cell_was_taken_over_ends_its_engine_and_leaves_the_others_record(
    workplace: Workplace,
) -> None:
    """The first runner's engine hangs, as on a node that the cluster has lost; the cell is measured by another one."""
    cell = workplace.throughput("q8_0/q8_0")
    command = [sys.executable, SCRIPTS / "measure.py", *workplace.throughput_command("q8_0/q8_0")]
    first = subprocess.Popen(
        list(map(str, command)), env=os.environ | {"STAND_IN": "hang"}, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + PATIENCE_SECONDS
    while not (cell / ".stderr.log.partial").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert measure(workplace.throughput_command("q8_0/q8_0")).returncode == 0
    record = run_json(cell)
    _, said = first.communicate(timeout=PATIENCE_SECONDS)
    assert first.returncode == 1
    assert "another runner has taken this cell over" in said
    assert run_json(cell) == record
    assert {path.name for path in cell.iterdir()} == {"run.json", "bench.jsonl", "stderr.log", ".finished"}
