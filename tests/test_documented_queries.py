"""The questions of docs/results.md, as they stand there, to pandas, DuckDB and Polars: three ways to one answer."""

import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import recorded_study
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.study.pairs import Pair
from kvsweep.tables.columns import as_table
from kvsweep.tables.schemas import TABLES
from support import ROOT

BLOCKS = {
    library: block
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "results.md").read_text(), re.DOTALL)
    if (library := block.split()[1]) in ("pandas", "duckdb", "polars")
}
QUESTIONS = ("cost", "speed", "failed")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its tables, in two rounds, and with a cell that failed."""
    place = tmp_path_factory.mktemp("queries")
    recorded_study.of_the_study(place)
    path = place / "results" / "tables" / "throughput.parquet"
    rows = pq.read_table(path).to_pylist()
    rows += [
        row | {"round": 2, "tokens_per_second": row["tokens_per_second"] * (1 + number % 5)}
        for number, row in enumerate(rows)
        if row["source"] == "measured" and row["tokens_per_second"] is not None
    ]
    failed = next(row for row in rows if row["pair"] != "f16" and row["source"] == "measured")
    failed |= {"status": "oom", "reason": "memory ran out", "tokens_per_second": None}
    pq.write_table(as_table(rows, TABLES["throughput"]), path)
    return place


def rows_of(answer: Any) -> list[tuple[Any, ...]]:
    if type(answer).__module__.startswith("polars"):
        return [tuple(row) for row in answer.rows()]
    if type(answer).__module__.startswith("pandas"):
        return list(answer.itertuples(index=False, name=None))
    return list(answer.fetchall())


def test_three_libraries_give_the_same_answers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(BLOCKS) == {"pandas", "duckdb", "polars"}
    monkeypatch.chdir(place)
    answers: dict[str, dict[str, list[tuple[Any, ...]]]] = {}
    for library, block in BLOCKS.items():
        names: dict[str, Any] = {}
        exec(compile(block, f"docs/results.md ({library})", "exec"), names)
        answers[library] = {question: rows_of(names[question]) for question in QUESTIONS}
    for question in QUESTIONS:
        pandas = answers["pandas"][question]
        assert len(pandas) >= 1, question
        for library in ("duckdb", "polars"):
            found = answers[library][question]
            assert len(found) == len(pandas)
            for own, other in zip(found, pandas, strict=True):
                assert own == pytest.approx(other, nan_ok=True), (library, question)
    assert {row[-1] for row in answers["pandas"]["speed"] if row[-2] == "f16"} == {1.0}
    speeds = [row[:-1] for row in answers["pandas"]["speed"]]
    assert len(set(speeds)) == len(speeds), "a pair is there once, whatever the rounds"


@pytest.mark.parametrize("name", [*TABLES, *ANALYSIS])
def test_every_table_with_a_pair_says_it_in_one_column(place: Path, name: str) -> None:
    path = place / "results" / "tables" / f"{name}.parquet"
    schema = {**TABLES, **ANALYSIS}[name]
    has_pair = {"ctk", "ctv"} <= set(schema.names)
    assert ("pair" in schema.names) == has_pair
    if not has_pair or not path.exists():
        return
    assert schema.names[-1] == "pair" and schema.field("pair").metadata[b"meaning"]
    for row in pq.read_table(path).to_pylist():
        expected = None if None in (row["ctk"], row["ctv"]) else str(Pair(row["ctk"], row["ctv"]))
        assert row["pair"] == expected


def test_a_table_of_an_older_kvsweep_gets_its_pairs(place: Path, tmp_path: Path) -> None:
    from kvsweep.slices.read import read_slice

    shutil.copytree(place / "results" / "tables", tmp_path / "slice")
    path = tmp_path / "slice" / "quality.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["pair"]), path)
    rows = read_slice("old", tmp_path / "slice").quality
    table = as_table(rows, TABLES["quality"])
    assert table.num_rows > 0 and None not in table.column("pair").to_pylist()
