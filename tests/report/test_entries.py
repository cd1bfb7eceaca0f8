"""Fields of the report whose value, interval or origin is of a kind that is not common."""

from __future__ import annotations

from typing import Any

import pytest
from draw_figures import chosen
from kvsweep.errors import KvsweepError
from kvsweep.numbers import ABSENT
from kvsweep.report.speed import speed_entry
from kvsweep.report.subjects import models_of
from synthetic_tables import model_row


@pytest.mark.parametrize(
    ("row", "name", "text"),
    [
        (
            {"kv_kinds": ["full", "window"], "kv_kind_layers": [5, 29], "kv_kind_windows": [None, 1024]},
            "layers by cache",
            "5 full, 29 with a window of 1,024",
        ),
        (
            {"kv_kinds": ["full", "indexer"], "kv_kind_layers": [61, 21], "kv_kind_windows": [None, None]},
            "layers by cache",
            "61 full, 21 indexer",
        ),
        ({"kv_kinds": ["full"]}, "layers by cache", ABSENT),
        (
            {"n_ctx_original": 32_768, "rope_scaling": "yarn"},
            "trained for a context of",
            "262,144, from 32,768 by yarn",
        ),
        (
            {"n_ctx_original": 32_768, "rope_scaling": None},
            "trained for a context of",
            "262,144, from 32,768 by scaling of positions",
        ),
        ({"n_ctx_original": 262_144, "rope_scaling": "yarn"}, "trained for a context of", "262,144"),
    ],
)
def test_what_a_model_is(row: dict[str, Any], name: str, text: str) -> None:
    fields = {line[0].text: line[1].text for line in models_of([model_row(**row)]).rows}
    assert fields[name] == text


@pytest.mark.parametrize(
    ("row", "text", "note"),
    [
        # So wide an interval that half of it would say nothing of either end: both are said.
        ({"tokens_per_second_low": 40.0, "tokens_per_second_high": 250.0}, "100", "95 %: 40 to 250"),
        ({"tokens_per_second_low": 98.0, "tokens_per_second_high": 102.0}, "100.0 ± 2.0", ""),
        ({"spread_within": 0.012}, "100", "± 1.2 % within"),
        ({"rounds": None}, f"100 ± {ABSENT}", ""),
    ],
)
def test_a_speed_with_what_is_known_of_its_error(row: dict[str, Any], text: str, note: str) -> None:
    common = {"tokens_per_second": 100.0, "tokens_per_second_low": None, "tokens_per_second_high": None}
    common |= {"rounds": 1, "spread_within": None, "means_differ": False, "fallback": False}
    entry = speed_entry(common | row)
    assert (entry.text, entry.note) == (text, note)


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("engine", "--where engine: write COLUMN=VALUE, such as engine=mainline."),
        ("machines=m", "--where machines=m: the table has no column machines."),
    ],
)
def test_figures_of_no_rows_are_said(condition: str, sentence: str) -> None:
    with pytest.raises(KvsweepError) as caught:
        chosen([{"engine": "a", "depth": 512}], [condition])
    assert str(caught.value) == sentence


def test_figures_of_some_rows() -> None:
    rows = [{"engine": engine, "depth": depth} for engine in ("a", "b") for depth in (0, 512)]
    assert chosen(rows, ["engine=b", "depth=512"]) == [rows[3]]
