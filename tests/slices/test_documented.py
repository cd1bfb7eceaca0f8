"""The queries of docs/slices.md, as they stand there: three libraries give one answer, on one slice and on several."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, TESTS
from test_documented_queries import rows_of

BLOCKS = {
    block.split()[1]: block
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "slices.md").read_text(), re.DOTALL)
}
SLICES = {
    "attic": TESTS / "data" / "slices" / "format-2.zip",
    "cellar": TESTS / "data" / "slices" / "format-1.zip",
}


def test_three_libraries_give_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(BLOCKS) == {"pandas", "duckdb", "polars"}
    for name, path in SLICES.items():
        with zipfile.ZipFile(path) as archive:
            tables = [member for member in archive.namelist() if member.startswith("tables/")]
            archive.extractall(tmp_path / "slices" / name, tables)
    monkeypatch.chdir(tmp_path)
    answers: dict[str, list[list[tuple[Any, ...]]]] = {}
    for library, block in BLOCKS.items():
        names: dict[str, Any] = {}
        exec(compile(block, f"docs/slices.md ({library})", "exec"), names)
        answers[library] = [rows_of(names[question]) for question in ("one", "several")]
    one, several = answers["pandas"]
    assert [row[1:4] for row in one] == [
        *[(256, "perplexity", "f16"), (256, "perplexity", "q8_0")],
        *[(512, "scorer", "f16"), (512, "scorer", "q8_0")],
    ]
    assert {row[0] for row in several} == {"attic", "cellar"} and len(several) == 4
    assert {row[-1] for row in several if row[-2] == "f16"} == {1.0}
    for library in ("duckdb", "polars"):
        for own, other in zip(answers[library], answers["pandas"], strict=True):
            assert len(own) == len(other)
            for row, expected in zip(own, other, strict=True):
                assert row == pytest.approx(expected), library
