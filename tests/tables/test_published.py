"""Published numbers: read with the rounding of their digits."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import (
    QUALITIES,
    RATES,
    name_of,
    of_models,
    read_published,
    rounding,
)
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.schemas import TASKS, THROUGHPUT
from kvsweep.tables.set_up_schemas import MODELS
from support import ROOT, of_source

FOLDER = ROOT / "resources" / "published"
PUBLISHED = read_published(FOLDER)
STUDY = of_source(PUBLISHED, "m5max-part2")
COMMIT = "11a241d0db78a68e0a5b99fe6f36de6683100f6a"


@pytest.mark.parametrize(
    ("text", "half_a_unit"),
    [("25.0", 0.05), ("245", 0.5), ("5.7810", 0.00005), ("0.0016", 0.00005), ("-0.0005", 0.00005)],
)
def test_rounding_is_half_a_unit_of_the_last_digit(text: str, half_a_unit: float) -> None:
    assert rounding(text) == pytest.approx(half_a_unit, rel=1e-12)


@pytest.mark.parametrize("text", ["", "5,7", "nan", "inf", "abc"])
def test_what_is_no_number_has_no_rounding(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        rounding(text)


def cell(rows: tuple[dict[str, Any], ...], name: str) -> dict[str, Any]:
    (row,) = (row for row in rows if name_of(row) == name)
    return row


def test_the_studys_exercises_with_their_interval() -> None:
    (row,) = STUDY.tasks
    as_table([row], TASKS)
    assert (row["kind"], row["ctk"], row["ctv"], row["items"]) == ("aider-polyglot", "q8_0", "q8_0", 225)
    assert (row["share"], row["share_rounding"], row["right"]) == (0.622, 0.0005, 140)
    # Wilson's interval by its formula.
    p, n, z = 140 / 225, 225, 1.959963984540054
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert row["share_low"] == pytest.approx((middle - half) / (1 + z * z / n), abs=1e-9)
    assert row["share_high"] == pytest.approx((middle + half) / (1 + z * z / n), abs=1e-9)


def test_a_share_that_no_number_of_items_is(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "published")
    path = tmp_path / "published" / "tasks.csv"
    path.write_text(path.read_text().replace("225,0.622", "225,0.620"))
    with pytest.raises(KvsweepError, match=r"no number of 225 items is a share of 0\.62\."):
        read_published(tmp_path / "published")


def test_the_study_as_rows_of_the_tables() -> None:
    row = cell(STUDY.throughput, "throughput q8_0/turbo3 d262144 decode")
    assert row["tokens_per_second"] == 25.0
    assert row["tokens_per_second_rounding"] == 0.05
    assert (row["source"], row["status"], row["reason"]) == ("published:m5max-part2", "measured", None)
    assert row["backend"] == "metal"
    # Not stated, so not known: likely is not enough.
    for column in ("engine_commit", "effective_ctk", "effective_ctv", "fallback", "samples", "model_sha256"):
        assert row[column] is None
    assert cell(STUDY.quality, "quality turbo4 c4096")["ppl_rounding"] == pytest.approx(0.00005)


def test_a_cell_without_memory_has_no_value() -> None:
    row = cell(STUDY.throughput, "throughput q8_0 d524288 prefill")
    assert (row["status"], row["reason"], row["tokens_per_second"]) == ("oom", "published as oom", None)
    assert row["tokens_per_second_rounding"] is None


def test_all_rows_fit_their_tables() -> None:
    assert as_table(PUBLISHED.throughput, THROUGHPUT).num_rows == 44
    assert as_table(PUBLISHED.quality, QUALITY).num_rows == 8


def test_a_cell_is_published_once_by_a_source() -> None:
    for rows in (PUBLISHED.throughput, PUBLISHED.quality):
        names = [(row["source"], name_of(row)) for row in rows]
        assert len(set(names)) == len(names)


def test_every_value_is_the_published_text() -> None:
    for name, rows, columns in (
        ("throughput", PUBLISHED.throughput, RATES),
        ("quality", PUBLISHED.quality, QUALITIES),
    ):
        with (FOLDER / f"{name}.csv").open(newline="") as file:
            for line, row in zip(csv.DictReader(file), rows, strict=True):
                for column in columns:
                    decimals = len(line[column].partition(".")[2])
                    assert line[column] == ("" if row[column] is None else f"{row[column]:.{decimals}f}")


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("throughput.csv", "59.8", "fast", "throughput.csv, line 2: could not convert string to float: 'fast'."),
        ("throughput.csv", "602.0", "", "line 3: a row has values exactly if its status is 'measured'."),
        ("throughput.csv", "decode,128,oom,", "decode,128,oom,1.5", "line 4: a row has values exactly if"),
        ("throughput.csv", ",oom,", ",broken,", "line 4: the status is 'broken', not one of measured, oom"),
        ("throughput.csv", ",phase,", ",fase,", "no table has the columns fase."),
        ("quality.csv", "5.7438", "5.7438,9,9,9,9", "no table has the columns None."),
        ("quality.csv", "0.0016", "nan", "line 3: 'nan' is not a finite number."),
        ("sources.yaml", "m5max-part2:", "another:", "line 2: sources.yaml does not have the source 'm5max-part2'."),
        ("sources.yaml", "  title: community", "  name: community", "m5max-part2 must have the keys backend, date"),
        ("sources.yaml", "m5max-part2:", "m5max-part2: [", "sources.yaml, line 6: is not valid YAML"),
    ],
)  # fmt: skip
def test_damaged_data_is_one_sentence(tmp_path: Path, file: str, before: str, after: str, said: str) -> None:
    folder = tmp_path / "published"
    shutil.copytree(FOLDER, folder)
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after, 1))
    with pytest.raises(KvsweepError) as raised:
        read_published(folder)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["throughput.csv", "quality.csv", "models.csv", "sources.yaml"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "published"
    shutil.copytree(FOLDER, folder)
    (folder / file).unlink()
    with pytest.raises(KvsweepError, match=rf"{file}: (cannot be read|there is no such file)"):
        read_published(folder)


def test_what_is_known_of_the_models() -> None:
    first, second = PUBLISHED.models
    assert (first["kv_values_per_token_k"] + first["kv_values_per_token_v"]) * 2 == 20 * 1024  # at f16
    assert (first["source"], first["file_bytes"]) == ("published:m5max-part2", 37_000_000_000)
    assert second["file_bytes"] is None
    assert as_table(PUBLISHED.models, MODELS).num_rows == 2


@pytest.mark.parametrize(
    ("model", "path", "sha256", "found"),
    [
        ("mine", "models/mine.gguf", "0", set()),
        ("Qwen3.6-35B-A3B-Q8_0", "elsewhere/model.gguf", "0", {"Qwen3.6-35B-A3B-Q8_0"}),
        ("mine", "models/qwen3.6-35b-a3b-q8_0.gguf", "0", {"Qwen3.6-35B-A3B-Q8_0"}),
    ],
)
def test_what_stands_beside_a_study_is_of_its_models(
    model: str, path: str, sha256: str, found: set[str]
) -> None:
    others = of_models(
        read_published(ROOT / "resources" / "published"), [{"model": model, "path": path, "sha256": sha256}]
    )
    assert {row["model"] for row in (*others.throughput, *others.quality, *others.models)} == found
