"""Every format that a slice ever had is read: a file of each lies in tests/data/slices.

``format-1.zip`` is what kvsweep 0.1.0 made of four cells of the recorded study (tests/recorded_study.py).
``format-2.zip`` has the same four, two cells of the scorer and four of tasks: real runs of the same model on the same
machine (llama-cpp-python 0.3.36, CPU; 4 windows of 512 tokens; recall at 512 and 1K and a trajectory of 3 items).
``format-3.zip`` has the same members as that, its cells' in a bundle.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import recorded_study
from kvsweep.slices.given import read_all
from kvsweep.slices.layout import FORMAT, is_member
from kvsweep.slices.read import read_slice
from kvsweep.study.cells import QualityCell
from kvsweep.study.pairs import Pair
from kvsweep.tables.published import OtherRows
from support import TESTS

FILES = sorted((TESTS / "data" / "slices").glob("format-*.zip"))


@pytest.fixture(scope="module")
def attic() -> OtherRows:
    return read_slice("attic", FILES[-1], read_tables=read_all)


def test_there_is_a_file_of_each_format() -> None:
    assert [re.sub(r"\D", "", path.stem) for path in FILES] == [str(n) for n in range(1, FORMAT + 1)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_slice_of_each_format_says_what_was_measured(path: Path) -> None:
    found = read_slice("attic", path, read_tables=read_all)
    expected = recorded_study.read(recorded_study.EXPECTED)
    for name, cell, value, n_rows in (
        ("throughput", ("ctk", "ctv", "depth", "phase"), "tokens_per_second", 4),
        ("quality", ("ctk", "ctv", "corpus", "n_ctx"), "kld_mean", 2),
    ):
        rows = [row for row in getattr(found, name) if row.get("method") != "scorer"]
        then = {tuple(row[key] for key in cell): row[value] for row in expected[name]}
        assert len(rows) == n_rows and {row["made_from"] for row in rows} == {"raw"}
        for row in rows:
            assert row[value] == pytest.approx(then[tuple(row[key] for key in cell)], rel=1e-12)
            assert row["slice"] == "attic" and row["source"] == "slice:attic"


def test_cells_of_the_scorer_and_of_tasks(attic: OtherRows) -> None:
    by_pair = {row["ctk"]: row for row in attic.quality if row["method"] == "scorer"}
    row = by_pair["q8_0"]
    assert (row["made_from"], row["status"], row["scored_tokens"]) == ("raw", "measured", 4 * 255)
    assert row["kld_mean"] == pytest.approx(3.426e-06, rel=1e-3) and by_pair["f16"]["kld_mean"] == 0.0
    assert len(row["by_position"]) == 16 and row["by_position"][-1]["depth_to"] == 511
    shares = {(row["task"], row["ctk"]): row.get("share") for row in attic.tasks}
    assert shares == {
        ("recall", "f16"): 1.0,
        ("recall", "q4_0"): 1.0,
        ("follow", "f16"): None,
        ("follow", "q4_0"): None,
    }
    assert {(row["made_from"], row["source"]) for row in attic.task_items} == {("raw", "slice:attic")}
    assert [row["answer"] for row in attic.task_items if row["item"] == "one/512/000"] == ["Renmi"] * 2


def test_engines_and_machines_are_those_of_the_cells(attic: OtherRows) -> None:
    assert [(row["engine"], row["made_from"], row["slice"]) for row in attic.engines] == [
        ("mainline", "raw", "attic"),
        ("ready", "raw", "attic"),
    ]
    (machine,) = attic.machines
    assert (machine["cells"], machine["hosts"], machine["made_from"]) == (10, ["host-1"], "raw")


@pytest.mark.parametrize("reference", [None, "fork"])
@pytest.mark.parametrize("file", ["run.json", "stdout.log", "stderr.log", "sums.json"])
def test_every_file_of_a_cell_of_the_scorer_may_be_in_a_slice(reference: str | None, file: str) -> None:
    cell = QualityCell("mainline", "tiny", "text", 512, Pair("q8_0", "q4_0"), "scorer", reference)
    assert is_member(f"{cell.directory}/{file}")
