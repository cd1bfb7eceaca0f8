"""A slice's own tables: read as rows of our own, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kvsweep.errors import KvsweepError
from kvsweep.slices.given import read_all
from kvsweep.slices.read import read_slice
from kvsweep.tables.columns import as_table
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.schemas import THROUGHPUT
from kvsweep.tables.set_up_schemas import MODELS
from synthetic_tables import model_row, quality_row, throughput_row, unmeasured

FROM = {"source": "slice:attic", "slice": "attic", "made_from": "tables"}


def write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema = THROUGHPUT) -> Path:
    pq.write_table(as_table(rows, schema), path)
    return path


def refused(directory: Path) -> str:
    with pytest.raises(KvsweepError) as raised:
        read_slice("attic", directory, read_tables=read_all)
    assert "\n" not in str(raised.value)
    return str(raised.value).removeprefix(f"slices.attic: {directory}: ")


def test_rows_of_another_machine(tmp_path: Path) -> None:
    rows = [
        throughput_row("q8_0", "q8_0", 8192),
        unmeasured(throughput_row("q8_0", "q8_0", 65536), "oom", "no memory"),
    ]
    published = throughput_row("f16", "f16", source="published:m5max-part2")
    write(tmp_path / "throughput.parquet", [*rows, published])
    write(tmp_path / "quality.parquet", [quality_row("q8_0", "q8_0")], QUALITY)
    write(tmp_path / "models.parquet", [model_row() | {"source": None}], MODELS)
    found = read_slice("attic", tmp_path, read_tables=read_all)
    assert list(found.throughput) == [row | FROM for row in rows]
    assert [row["source"] for row in (*found.quality, *found.models)] == ["slice:attic"] * 2


def part(**values: Any) -> dict[str, Any]:
    return {"depth_from": 1, "depth_to": 512, "depth_tokens": 256.5, "tokens": 512, "kld_mean": 0.01} | values


def test_parts_of_the_scorers_positions(tmp_path: Path) -> None:
    row = quality_row("q8_0", "q8_0", by_position=[part(kld_mean_low=-1e-9, error_by="windows"), part()])
    write(tmp_path / "quality.parquet", [row], QUALITY)
    (found,) = read_slice("attic", tmp_path, read_tables=read_all).quality
    assert [each["kld_mean"] for each in found["by_position"]] == [0.01, 0.01]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kld_mean": float("nan")}, "by_position kld_mean is nan"),
        ({"tokens": -1}, "by_position tokens is -1, which is negative or too large"),
        ({"top1_agreement": 2.0}, "by_position top1_agreement is 2.0, and no share is above 1"),
        ({"error_by": "<script>"}, "by_position error_by has an HTML tag"),
    ],
)
def test_a_part_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write(
        tmp_path / "quality.parquet",
        [quality_row("q8_0", "q8_0", by_position=[part(), part(**changes)])],
        QUALITY,
    )
    assert refused(tmp_path) == f"tables/quality.parquet: row 1 of those measured: {said}."


def test_what_an_older_kvsweep_did_not_write_is_null(tmp_path: Path) -> None:
    table = as_table([throughput_row("q8_0", "q8_0", machine_memory_bytes=2**34)], THROUGHPUT)
    pq.write_table(table.drop_columns(["machine_memory_bytes"]), tmp_path / "throughput.parquet")
    (row,) = read_slice("attic", tmp_path, read_tables=read_all).throughput
    assert row["machine_memory_bytes"] is None
    assert row["tokens_per_second"] == table["tokens_per_second"][0].as_py()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine": None}, "engine is missing"),
        ({"ctk": "q8_0/q4_0"}, "'q8_0/q4_0' or 'q8_0' is no cache type"),
        ({"status": "fine"}, "the status is 'fine', not one of measured, oom, unsupported, timeout, crashed, skipped"),
        ({"phase": "both"}, "the phase is 'both', neither prefill nor decode"),
        ({"depth": -1}, "depth is -1, which is negative or too large"),
        ({"tokens_per_second": None}, "tokens_per_second is None at status measured"),
        ({"status": "oom"}, "tokens_per_second is 80.0 at status oom"),
        ({"tokens_per_second": float("nan")}, "tokens_per_second is nan"),
        ({"tokens_per_second": 0.0}, "tokens_per_second is 0.0"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    good = throughput_row("q8_0", "q8_0", tokens_per_second=80.0)
    write(tmp_path / "throughput.parquet", [good | {"depth": 7}, good | changes])
    assert refused(tmp_path) == f"tables/throughput.parquet: row 2 of those measured: {said}."


def test_a_cell_that_stands_twice(tmp_path: Path) -> None:
    write(
        tmp_path / "quality.parquet", [quality_row("q8_0", "q8_0"), quality_row("q8_0", "q8_0", 0.2)], QUALITY
    )
    assert refused(tmp_path).endswith("row 2 of those measured: the same cell stands in it twice.")


def test_files_that_are_no_tables_of_ours(tmp_path: Path) -> None:
    assert "no throughput.parquet or quality.parquet" in refused(tmp_path)
    path = tmp_path / "throughput.parquet"
    path.write_bytes(b"PAR1 this is no table PAR1")
    assert "throughput.parquet: cannot be read as Parquet" in refused(tmp_path)
    good = as_table([throughput_row("q8_0", "q8_0")], THROUGHPUT)
    pq.write_table(good.append_column("speed", pa.array([1.0])), path)
    assert refused(tmp_path) == (
        "tables/throughput.parquet: has a column 'speed', which this kvsweep does not know; "
        "a newer one may have written it."
    )
    pq.write_table(good.drop_columns(["phase"]), path)
    assert (
        refused(tmp_path) == "tables/throughput.parquet: has no column 'phase'; it is not a table of kvsweep."
    )
    depth = good.column_names.index("depth")
    pq.write_table(good.set_column(depth, "depth", pa.array(["deep"])), path)
    assert refused(tmp_path) == "tables/throughput.parquet: the column 'depth' is 'string', not int64."
