"""Errors that take tokens as independent decide nothing and are shown nowhere, but of a perplexity, where windows are
known: those of windows are up to five times as large."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import recorded_study
from kvsweep.analysis.schemas import ANALYSIS, EVERY_TABLE
from kvsweep.report.html import render_html
from kvsweep.report.markdown import render_markdown
from kvsweep.report.view import view_of
from kvsweep.tables.storage import read_table
from support import run_in_this_process

OF_TOKENS = ("kld_mean_stderr", "ln_ppl_ratio_stderr", "top1_agreement_stderr")


def said(tables: Path) -> tuple[dict[str, Any], str]:
    """The tables of answers, and both reports."""
    asked = (
        "--memories",
        json.dumps(recorded_study.MEMORIES),
        "--workloads",
        json.dumps(recorded_study.WORKLOADS),
    )
    done = run_in_this_process("make_answers", ("--tables", tables, *asked))
    assert done.returncode == 0, done.stderr
    found = {name: read_table(tables, name) for name in EVERY_TABLE}
    view = view_of(found)
    return {name: found[name].to_pylist() for name in ANALYSIS}, render_html(view, []) + render_markdown(view)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("study")
    shutil.copytree(recorded_study.RESULTS, place / "results")
    done = run_in_this_process("make_tables", ("--results", place / "results", "--processes", "1"))
    assert done.returncode == 0, done.stderr
    return place / "results" / "tables"


def test_an_error_of_tokens_is_in_no_answer_and_no_report(study: Path) -> None:
    before = said(study)
    path = study / "quality.parquet"
    table = pq.read_table(path)
    with_windows = pc.is_valid(table["top1_windows"])
    for name in OF_TOKENS:
        other = pc.if_else(with_windows, pc.multiply(table[name], 100.0), table[name])
        table = table.set_column(table.column_names.index(name), table.schema.field(name), other)
    assert pc.sum(with_windows).as_py() == 14
    pq.write_table(table, path)
    after = said(study)
    assert after[0] == before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize("name", OF_TOKENS)
def test_the_column_says_of_what_it_is_the_error(study: Path, name: str) -> None:
    field: pa.Field = pq.read_schema(study / "quality.parquet").field(name)
    assert "tokens taken as independent" in str(field.metadata)
