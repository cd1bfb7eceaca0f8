"""Every format that a slice ever had is read: a file of each lies in tests/data/slices.

``format-1.zip`` is what kvsweep 0.1.0 made of four cells of the recorded study (tests/recorded_study.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import recorded_study
from kvsweep.slices.given import read_all
from kvsweep.slices.layout import FORMAT
from kvsweep.slices.read import read_slice
from support import TESTS

FILES = sorted((TESTS / "data" / "slices").glob("format-*.zip"))


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
        rows = getattr(found, name)
        then = {tuple(row[key] for key in cell): row[value] for row in expected[name]}
        assert len(rows) == n_rows and {row["made_from"] for row in rows} == {"raw"}
        for row in rows:
            assert row[value] == pytest.approx(then[tuple(row[key] for key in cell)], rel=1e-12)
            assert row["slice"] == "attic" and row["source"] == "slice:attic"
