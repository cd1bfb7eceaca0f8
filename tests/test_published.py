"""Published numbers: read with the rounding of their digits, and compared with measured ones."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.published import (
    QUALITIES,
    RATES,
    ROUNDING,
    compare,
    name_of,
    of_source,
    read_published,
    rounding,
    table_row,
)
from kvsweep.schemas import QUALITY, THROUGHPUT
from kvsweep.tables import as_table
from synthetic_tables import quality_row, throughput_row, unmeasured

FOLDER = Path(__file__).parents[1] / "resources" / "published"
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


def test_the_study_as_rows_of_the_tables() -> None:
    row = cell(STUDY.throughput, "throughput q8_0/turbo3 d262144 decode")
    assert row["tokens_per_second"] == 25.0
    assert row[ROUNDING] == {"tokens_per_second": 0.05}
    assert (row["source"], row["status"], row["reason"]) == ("published:m5max-part2", "measured", None)
    assert row["backend"] == "metal"
    # Not stated, so not known: likely is not enough.
    for column in ("engine_commit", "effective_ctk", "effective_ctv", "fallback", "samples", "model_sha256"):
        assert row[column] is None
    assert cell(STUDY.quality, "quality turbo4 c4096")[ROUNDING]["ppl"] == pytest.approx(0.00005)


def test_a_cell_without_memory_has_no_value() -> None:
    row = cell(STUDY.throughput, "throughput q8_0 d524288 prefill")
    assert (row["status"], row["reason"], row["tokens_per_second"]) == ("oom", "published as oom", None)
    assert row[ROUNDING] == {}


def test_all_rows_fit_their_tables() -> None:
    assert as_table(map(table_row, PUBLISHED.throughput), THROUGHPUT).num_rows == 44
    assert as_table(map(table_row, PUBLISHED.quality), QUALITY).num_rows == 8


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
        ("sources.yaml", "m5max-part2:", "m5max-part2: [", "sources.yaml: not valid YAML"),
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


@pytest.mark.parametrize("file", ["throughput.csv", "quality.csv", "sources.yaml"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "published"
    shutil.copytree(FOLDER, folder)
    (folder / file).unlink()
    with pytest.raises(KvsweepError, match=rf"{file}: cannot be read"):
        read_published(folder)


# --- comparing ----------------------------------------------------------------------------------------------


def test_our_cell_beside_the_published_one() -> None:
    ours = throughput_row("q8_0", "turbo4", 8192, "decode", tokens_per_second=150.8)
    (found,) = compare([ours], STUDY.throughput)
    assert (found.cell, found.quantity) == ("throughput q8_0/turbo4 d8192 decode", "tokens_per_second")
    assert (found.ours, found.theirs, found.rounding) == (150.8, 75.4, 0.05)
    assert found.ratio == pytest.approx(2)
    assert found.comparable
    assert found.unknown == ("engine commit", "effective pair", "work left the device")


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({"model": "another"}, "model"),
        ({"engine_commit": "69d8e4be4"}, "engine commit"),
        ({"backend": "cuda"}, "back end"),
        ({"machine": "H200"}, "machine"),
        ({"effective_ctk": "f16"}, "effective pair"),
        ({"n_tokens": 64}, "tokens timed"),
    ],
)
def test_what_sets_two_set_ups_apart(changed: dict[str, Any], differs: str) -> None:
    ours = throughput_row("q8_0", "turbo4", 8192, "decode") | changed
    (found,) = compare([ours], STUDY.throughput)
    assert found.differs == (differs,)
    assert not found.comparable


def test_the_likely_commit_proves_nothing() -> None:
    ours = throughput_row("q8_0", "turbo4", 8192, "decode", engine_commit=COMMIT)
    (found,) = compare([ours], STUDY.throughput)
    assert "engine commit" in found.unknown


def test_another_file_of_the_same_name_is_another_model() -> None:
    theirs = cell(STUDY.throughput, "throughput q8_0/turbo4 d8192 decode") | {"model_sha256": "00" * 32}
    ours = throughput_row("q8_0", "turbo4", 8192, "decode")
    assert compare([ours], [theirs])[0].differs == ("model",)
    renamed = ours | {"model": "another name", "model_sha256": "00" * 32}
    assert compare([renamed], [theirs])[0].differs == ()


def test_quality_is_compared_by_each_published_quantity() -> None:
    ours = [quality_row("f16", "f16", 0.0), quality_row("q8_0", "q8_0", 0.0032)]
    found = compare(ours, STUDY.quality)
    assert [(one.cell, one.quantity) for one in found] == [
        ("quality f16 c4096", "ppl"),
        *(("quality q8_0 c4096", quantity) for quantity in QUALITIES),
    ]
    assert found[2].ratio == pytest.approx(2)
    assert found[2].differs == ("corpus",)  # named otherwise


def test_a_cell_that_failed_on_one_side_has_no_ratio() -> None:
    ours = [
        throughput_row("q8_0", "q8_0", 524_288, "decode"),
        unmeasured(throughput_row("q8_0", "q8_0", 262_144, "decode"), "oom", "no memory"),
    ]
    first, second = compare(ours, STUDY.throughput)
    assert (first.our_status, first.their_status, first.ratio) == ("measured", "oom", None)
    assert (second.our_status, second.their_status, second.ratio) == ("oom", "measured", None)


def test_cells_that_only_one_side_has_are_left_out() -> None:
    assert compare([throughput_row("q4_0", "q4_0", 8192)], STUDY.throughput) == []
    assert compare([quality_row("q8_0", "q8_0", n_ctx=8192)], STUDY.quality) == []
    followup = of_source(PUBLISHED, "2x5060ti-followup").quality
    found = compare([quality_row("q8_0", "q8_0", n_ctx=8192)], followup)
    assert found[0].differs == ("model", "machine", "corpus")
    assert "engine commit" in found[0].unknown
