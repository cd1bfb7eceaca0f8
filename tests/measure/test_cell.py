"""What is said and kept around the engine process of a cell."""

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from kvsweep.measure.cell import new_remarks


def test_a_remark_is_said_once_in_a_run(tmp_path: Path) -> None:
    assert new_remarks(tmp_path, "node1", "4711", ["it is hot"]) == ["it is hot"]
    assert new_remarks(tmp_path, "node1", "4711", ["it is hot", "others use the GPU"]) == [
        "others use the GPU"
    ]
    assert new_remarks(tmp_path, "node2", "4711", ["it is hot"]) == ["it is hot"]
    assert new_remarks(tmp_path, "node1", "4712", ["it is hot"]) == ["it is hot"]


def say_often(directory: Path, run: str) -> int:
    return len([new_remarks(directory, "node1", run, ["it is hot"]) for _ in range(200)])


def test_cells_that_share_a_node_remember_what_was_said_at_once(tmp_path: Path) -> None:
    """They write one file: whoever comes second finds that it is gone from beside its name."""
    with ThreadPoolExecutor(4) as runners:
        assert list(runners.map(say_often, repeat(tmp_path), "abcd")) == [200] * 4


def test_what_cannot_be_remembered_is_said_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "said-node1.json").mkdir()
    assert new_remarks(tmp_path, "node1", "4711", ["it is hot"]) == ["it is hot"]
