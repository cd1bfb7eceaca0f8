"""A second process for a cell: beside the first one, and never instead of it."""

from __future__ import annotations

import json

from kvsweep.tables.raw_cells import find_cells, read_raw_cell
from support import Workplace, measure, run_json

PAIR = "q8_0/q4_0"


def test_a_round_lies_beside_the_first_and_says_which_it_is(workplace: Workplace) -> None:
    assert measure(workplace.throughput_command(PAIR)).returncode == 0
    first = {path.name: path.read_bytes() for path in workplace.throughput(PAIR).iterdir() if path.is_file()}
    done = measure(workplace.throughput_command(PAIR, round_=2))
    assert done.returncode == 0 and "throughput of q8_0/q4_0 at depth 0, round 2" in done.stderr
    assert {name: (workplace.throughput(PAIR) / name).read_bytes() for name in first} == first
    # What was measured before there were rounds says nothing of them.
    assert "round" not in run_json(workplace.throughput(PAIR))
    assert run_json(workplace.throughput(PAIR, round_=2))["round"] == 2
    found = {cell.round: read_raw_cell(cell, place).status for cell, place in find_cells(workplace.results)}
    assert found == {1: "measured", 2: "measured"}


def test_a_record_in_the_place_of_another_round_is_damaged(workplace: Workplace) -> None:
    assert measure(workplace.throughput_command(PAIR, round_=2)).returncode == 0
    record = workplace.throughput(PAIR, round_=2) / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"round": 3}))
    ((cell, place),) = find_cells(workplace.results)
    found = read_raw_cell(cell, place)
    assert found.status == "damaged"
    assert found.reason is not None and "says round 3, its path says 2" in found.reason


def test_what_was_not_finished_in_one_round_is_not_tried_in_the_next(workplace: Workplace) -> None:
    limit = 0.001
    assert measure(workplace.throughput_command(PAIR, cell_hours=limit), {"STAND_IN": "hang"}).returncode == 0
    assert run_json(workplace.throughput(PAIR))["ended_by"] == "time limit"
    again = [*workplace.throughput_command(PAIR, cell_hours=limit, round_=2), "--skip"]
    assert measure(again, {"STAND_IN": "hang"}).returncode == 0
    assert "from round 1" in run_json(workplace.throughput(PAIR, round_=2))["skipped"]
    # Where there is more time it is.
    longer = [*workplace.throughput_command(PAIR, cell_hours=1, round_=3), "--skip"]
    assert measure(longer).returncode == 0
    assert "skipped" not in run_json(workplace.throughput(PAIR, round_=3))
