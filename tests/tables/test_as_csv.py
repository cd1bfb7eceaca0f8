"""Tables as CSV, for spreadsheets and for people."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from kvsweep.tables.as_csv import write_csv

SCHEMA = pa.schema([(name, pa.string()) for name in ("text", "list", "missing", "time", "flag")])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_list_is_json_and_what_is_missing_is_empty(tmp_path: Path) -> None:
    row = {
        "text": 'a "b",\nc',
        "list": [1.5, None],
        "time": datetime(2026, 11, 28, tzinfo=UTC),
        "flag": False,
    }
    write_csv(tmp_path / "t.csv", [row], SCHEMA)
    assert read(tmp_path / "t.csv") == [
        {
            "text": 'a "b",\nc',
            "list": "[1.5, null]",
            "missing": "",
            "time": "2026-11-28T00:00:00+00:00",
            "flag": "False",
        }
    ]


def test_no_text_is_a_formula(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-DX=1", "@SUM(A1)", "\t=1", "\r=1", "plain"]
    write_csv(tmp_path / "t.csv", [{"text": text} for text in texts], SCHEMA)
    assert [row["text"] for row in read(tmp_path / "t.csv")] == [f"'{text}" for text in texts[:-1]] + [
        "plain"
    ]
