"""What a report and a slice say of cells is what the plan says, however they ended."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import recorded_study
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from kvsweep.plan.plan import make_plan
from kvsweep.report.parts import cells_of
from kvsweep.report.view import _summary
from kvsweep.slices.of_machine import private_of, studies_in
from kvsweep.slices.pack import write_slice
from kvsweep.slices.read import read_slice
from kvsweep.study.cells import ThroughputCell, all_cells, quality_cells, throughput_cells
from kvsweep.study.config import Study, parse_study
from kvsweep.tables.read_cells import groups_of, read_tables
from kvsweep.tables.row import Row
from make_plan import read_known
from support import ROOT

CELLS = 9
OUTCOMES = st.dictionaries(
    st.integers(0, CELLS - 1),
    st.sampled_from(["crashed", "timeout", "skipped", "oom", "half"]),
    max_size=CELLS,
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """Nine of the recorded cells, and what asks for them."""
    results = tmp_path_factory.mktemp("recorded") / "results"
    others = shutil.ignore_patterns("c1024", "d1024", "k-q4_1", "k-iq4_nl", "v-q4_0")
    shutil.copytree(recorded_study.RESULTS, results, ignore=others)
    asked = json.loads((results / "config.json").read_text())
    # As they were recorded with: what ran out of a shorter time is to be measured again.
    asked |= {"limits": {"cell_hours": 0.5}, "pairs": ["f16", "q8_0", "q4_0/q8_0"]}
    asked["quality"] |= {"contexts": [256], "chunks": 64}
    asked["throughput"] |= {"depths": [0, 512]}
    return results, parse_study(asked)


def end_as(directory: Path, ended: str) -> None:
    """Let a cell that was measured have ended otherwise; half: after its first test, of speed, and without a word."""
    record = json.loads((directory / "run.json").read_text())
    record |= {"exit_status": None if ended == "oom" else 1, "killed_for_memory": ended == "oom"}
    record |= {
        "signal": 9 if ended == "oom" else None,
        "ended_by": "time limit" if ended == "timeout" else None,
    }
    if ended == "skipped":
        record |= {"skipped": "too long", "predicted_seconds": record["time_limit_seconds"] + 1}
    for stream in record["streams"]:
        text = b""
        if ended == "half" and stream["name"] == "bench.jsonl":
            text = (directory / stream["name"]).read_bytes().splitlines(keepends=True)[0]
        (directory / stream["name"]).write_bytes(text)
        stream |= {"size_bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    (directory / "run.json").write_text(json.dumps(record))


def by_status(rows: Mapping[str, Sequence[Row]]) -> Counter[tuple[str, str]]:
    """Cells as a report counts them: measured where both of its phases are."""
    return Counter(
        (kind, next((row["status"] for row in cell if row["status"] != "measured"), "measured"))
        for kind, of_kind in rows.items()
        for cell in cells_of(of_kind)
    )


# A failure is as plain without being made smaller, which takes minutes.
@settings(max_examples=4, phases=(Phase.explicit, Phase.generate))
@given(ended=OUTCOMES)
def test_report_and_slice_count_as_the_plan_does(
    recorded: tuple[Path, Study], ended: dict[int, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    origin, study = recorded
    results = tmp_path_factory.mktemp("counted") / "results"
    shutil.copytree(origin, results)
    cells = list(all_cells(study))
    for index, how in ended.items():
        end_as(results / cells[index].directory, how)

    plan = make_plan(study, read_known(study, results, ROOT))
    assert len(plan.cells) == len(cells) == CELLS and all(item.done for item in plan.cells)
    counted = Counter(
        ("throughput" if isinstance(item.run, ThroughputCell) else "quality", str(item.status))
        for item in plan.cells
    )
    statuses = Counter(status for _, status in counted.elements())
    outcomes = ["crashed" if how == "half" else how for how in ended.values()]
    assert statuses == Counter({"measured": CELLS - len(ended)}) + Counter(outcomes)

    build, model = (
        json.loads(path.read_text())
        for path in (results / "engines/mainline/build.json", results / "models/kvsweep-demo/model.json")
    )
    manifests = ({"mainline": build}, {"kvsweep-demo": model})
    rows: dict[str, list[Row]] = {}
    for kind, of_kind in (("throughput", throughput_cells(study)), ("quality", quality_cells(study))):
        tables = read_tables(results, groups_of(kind, of_kind, *manifests), "", 1, {})
        rows[kind] = [row for table in tables for row in table.to_pylist()]
    assert by_status(rows) == counted
    said = _summary([*rows["quality"], *rows["throughput"]])
    assert said.startswith(f"{CELLS} cells, {statuses['measured']} of them measured")

    (one,) = studies_in(results)
    path = results / "slice.zip"
    held = write_slice(path, one, private_of(one), "0")
    assert held.statuses == statuses
    taken = read_slice("theirs", path)
    assert by_status({"throughput": taken.throughput, "quality": taken.quality}) == counted
