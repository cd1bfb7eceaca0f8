"""Speeds as llama.cpp's compare-llama-bench.py reads them: held to the columns that its script of b11434 asks for."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import recorded_study
from kvsweep.slices.archive import open_slice
from kvsweep.slices.given import read_all
from kvsweep.slices.llama_bench import Database, database_of, write_database
from kvsweep.slices.read import rows_in
from support import TESTS, run_in_this_process

SCRIPT = json.loads((TESTS / "data" / "compare-llama-bench" / "b11434.json").read_text())
SLICE = TESTS / "data" / "slices" / "format-2.zip"


@pytest.fixture(scope="module")
def database() -> Database:
    with open_slice(SLICE) as contents:
        return database_of(contents, rows_in(contents, read_tables=read_all).rows["throughput"])


def test_every_column_that_the_script_knows_is_there_with_its_type(
    database: Database, tmp_path: Path
) -> None:
    write_database(tmp_path / "l.sqlite", database)
    connection = sqlite3.connect(tmp_path / "l.sqlite")
    found = {name: kind for _, name, kind, *_ in connection.execute("PRAGMA table_info(llama_bench)")}
    wanted = dict(zip(SCRIPT["fields"], SCRIPT["types"], strict=True))
    assert {name: found.get(name) for name in wanted} == wanted
    for name in (*SCRIPT["key_properties"], "build_commit", "test_time", "avg_ts"):
        (missing,) = connection.execute(f"SELECT count(*) FROM llama_bench WHERE {name} IS NULL").fetchone()
        assert missing == 0, name


def test_two_builds_are_joined_on_all_that_the_script_compares(database: Database, tmp_path: Path) -> None:
    """Also where an older one does not print all of it."""
    other = [{**row, "build_commit": "fork----", "avg_ts": 2 * row["avg_ts"]} for row in database.rows]
    write_database(tmp_path / "l.sqlite", Database({}, [*database.rows, *other]))
    same = " AND ".join(f"one.{name} = two.{name}" for name in SCRIPT["key_properties"])
    pairs = sqlite3.connect(tmp_path / "l.sqlite").execute(
        f"SELECT one.type_k, one.n_gen, two.avg_ts / one.avg_ts FROM llama_bench one JOIN llama_bench two ON {same} "
        "WHERE one.build_commit = 'mainline' AND two.build_commit = 'fork----' ORDER BY 1, 2"
    )
    assert list(pairs) == [("f16", 0, 2.0), ("f16", 64, 2.0), ("q8_0", 0, 2.0), ("q8_0", 64, 2.0)]


def test_the_program_writes_csv_and_the_database(tmp_path: Path) -> None:
    done = run_in_this_process("export_tables", ("--results", tmp_path, "--slice", SLICE))
    assert done.returncode == 0, done.stderr
    out = tmp_path / "export" / "format-2"
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        *("columns.csv", "engines.csv", "llama-bench.sqlite", "machines.csv", "models.csv", "quality.csv"),
        *("task_items.csv", "tasks.csv", "throughput.csv"),
    ]
    assert "throughput,tokens_per_second,tokens/s," in (out / "columns.csv").read_text()
    nothing = run_in_this_process("export_tables", ("--results", tmp_path))
    assert nothing.returncode == 1


@pytest.mark.parametrize("kind", ["nothing", "no slice"])
@pytest.mark.parametrize(("program", "options"), [("export_tables", ("--slice",)), ("check_slice", ())])
def test_what_is_no_slice_is_named(program: str, options: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    path = tmp_path / "slice.zip"
    if kind == "no slice":
        path.write_bytes(b"no archive")
    results = ("--results", tmp_path) if program == "export_tables" else ()
    done = run_in_this_process(program, (*results, *options, path))
    says = "is not there; give the path of a slice with" if kind == "nothing" else "it is no zip archive"
    assert done.returncode == 1 and f"kvsweep: error: {path}: {says}" in done.stderr


def test_to_check_no_slice_is_said_how() -> None:
    done = run_in_this_process("check_slice", ("",))
    assert done.returncode == 1 and "which slice? Give its path: make check-slice FILE=" in done.stderr


def test_it_writes_those_of_this_study(tmp_path: Path) -> None:
    recorded_study.of_the_study(tmp_path)
    done = run_in_this_process("export_tables", ("--results", tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "results" / "export").iterdir()}
    assert names >= {"throughput.csv", "quality.csv", "columns.csv", "llama-bench.sqlite"}
    assert "note:" not in done.stderr


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        ([0], "1 measured speed cannot be read from a log, and is not in a database"),
        ([0, 1], "2 measured speeds cannot be read from a log, and are not in a database"),
    ],
)
def test_speeds_that_no_log_has_are_counted(tmp_path: Path, lines: list[int], note: str) -> None:
    """Lines of a log that were lost after the tables were made: all other speeds are in the database."""
    recorded_study.of_the_study(tmp_path)
    logs = sorted((tmp_path / "results" / "throughput").rglob("bench.jsonl"))
    printed = logs[0].read_text().splitlines(keepends=True)
    assert len(printed) == 2
    logs[0].write_text("".join("{damaged\n" if n in lines else line for n, line in enumerate(printed)))
    done = run_in_this_process("export_tables", ("--results", tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    assert f"kvsweep: note: {note}\n" in done.stderr
    database = sqlite3.connect(tmp_path / "results" / "export" / "llama-bench.sqlite")
    (there,) = database.execute("SELECT count(*) FROM llama_bench").fetchone()
    assert there == 2 * len(logs) - len(lines) == 42 - len(lines)
