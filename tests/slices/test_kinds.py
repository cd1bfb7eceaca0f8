"""Whatever a configuration can ask, a slice can bring."""

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
