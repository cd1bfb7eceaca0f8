"""The scorer's sums: what a slice has in place of each token, and the columns that are made of them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kvsweep.errors import UnparsableOutput
from kvsweep.tables.scored import columns_of, sums_of
from scored_cell import scored_cell


def drawn(windows: int, n_ctx: int) -> Any:
    return np.exp(np.random.default_rng(3).standard_normal((windows, n_ctx)))


@pytest.mark.parametrize(("windows", "positions"), [(1, "half"), (1, "16x1"), (2, "4x64"), (8, "half")])
def test_sums_say_all_that_tokens_say(tmp_path: Path, windows: int, positions: str) -> None:
    values = drawn(windows, 1024)
    cell = scored_cell(tmp_path, lambda w, p: float(values[w, p]), windows=windows, positions=positions)
    sent = json.loads(json.dumps(sums_of(cell)))
    assert columns_of(cell._replace(directory=tmp_path / "elsewhere", sums=sent)) == columns_of(cell)


def test_why_there_is_no_result_is_said(tmp_path: Path) -> None:
    cell = scored_cell(tmp_path, lambda *_: 0.0)
    (tmp_path / "tokens.scores").unlink()
    sent = sums_of(cell)
    assert sent == {"problem": "tokens.scores is missing"}
    with pytest.raises(UnparsableOutput, match=r"tokens\.scores is missing"):
        columns_of(cell._replace(sums=sent))


def test_sums_of_other_windows_are_no_result(tmp_path: Path) -> None:
    cell = scored_cell(tmp_path, lambda *_: 1.0, windows=2)
    asked = cell._replace(run=cell.run | {"chunks": 3}, sums=sums_of(cell))
    with pytest.raises(UnparsableOutput, match="not of the windows and positions that were asked for"):
        columns_of(asked)


@pytest.mark.parametrize(
    ("key", "value"),
    [("kld", 1e308), ("kld", float("inf")), ("ln_ppl_ratio", float("inf")), ("window_tokens", 0)],
)
def test_numbers_that_no_window_has_are_an_error_and_no_warning(
    tmp_path: Path, key: str, value: float
) -> None:
    cell = scored_cell(tmp_path, lambda *_: 1.0, windows=2)
    found = sums_of(cell)
    for part in found["parts"]:
        part[key] = value if key == "window_tokens" else [value, -value]
    with warnings.catch_warnings(), pytest.raises(ArithmeticError):
        warnings.simplefilter("error")
        columns_of(cell._replace(sums=found))
