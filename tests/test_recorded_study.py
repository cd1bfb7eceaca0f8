"""Every value of every table that is made of recorded raw cells, and every answer to the published numbers.

A value that changes on purpose is accepted in the commit that changes it: `python tests/recorded_study.py --accept`.
Columns that the expected rows do not have are new, and no difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recorded_study


@pytest.mark.parametrize(
    ("directory", "make"),
    [
        (recorded_study.EXPECTED, recorded_study.of_the_study),
        (recorded_study.PUBLISHED, recorded_study.of_the_published),
    ],
    ids=["measured", "published"],
)
def test_every_value_of_every_table_is_as_it_was(directory: Path, make: Any, tmp_path: Path) -> None:
    expected, found = recorded_study.read(directory), make(tmp_path)

    assert expected and expected.keys() <= found.keys()
    for name, rows in expected.items():
        assert len(found[name]) == len(rows), f"{name}: {len(found[name])} rows, expected {len(rows)}"
        for number, (row, then) in enumerate(zip(found[name], rows, strict=True), start=1):
            changed = {
                column: (row.get(column), value)
                for column, value in then.items()
                if not alike(row.get(column), value)
            }
            assert not changed, f"{name}, row {number}: column: (found, expected) {changed}"


def alike(found: Any, expected: Any) -> bool:
    """Equal but for the last digits of the arithmetic."""
    if isinstance(expected, float) and isinstance(found, int | float):
        return bool(found == pytest.approx(expected, rel=1e-9, abs=1e-15))
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return bool(found == expected)


def test_the_recorded_cells_are_of_no_machine() -> None:
    text = "".join(path.read_text() for path in recorded_study.RESULTS.rglob("*") if path.is_file())

    assert "/work" not in text and "/root" not in text
    assert text.count('"kind": "quality"') == 14 and text.count('"kind": "throughput"') == 21
