"""Whatever a configuration can ask, a slice can bring."""

from typing import Any

import pytest
from kvsweep.slices.vetting import problem_with
from kvsweep.study.tasks import KINDS

MEASURED = {
    **{"source": "measured", "engine": "e", "backend": "cpu", "machine": "m", "model": "tiny"},
    **{"task": "t", "n_ctx": 32768, "ctk": "q8_0", "ctv": "turbo4", "status": "measured", "share": 0.5},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_of_each_kind_of_task_is_taken(kind: str) -> None:
    assert problem_with(MEASURED | {"kind": kind}, "tasks") is None


def test_a_kind_that_nobody_can_ask_is_not() -> None:
    assert "is no-kind" in str(problem_with(MEASURED | {"kind": "no-kind"}, "tasks")).replace("'", "")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"engine": "two words"}, "engine is no name"),
        ({"ctk": "q8_0+one", "ctv": "q8_0+other"}, "'q8_0+one/q8_0+other' is not a pair"),
        ({"n_ctx": 0}, "n_ctx is 0"),
        ({"n_ctx": b"32768"}, "n_ctx is bytes"),
    ],
)
def test_a_row_that_no_study_has(changed: dict[str, Any], problem: str) -> None:
    assert str(problem_with(MEASURED | {"kind": "recall"} | changed, "tasks")).startswith(problem)


def test_a_list_without_end() -> None:
    row = {"source": "measured", "engine": "e", "cache_types": ["q8_0"] * 100_001}
    assert "cache_types has 100001 items" in str(problem_with(row, "engines"))
