"""How fast decode reads a fuller cache, beside what the machine's memory can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kvsweep.analysis.bandwidth import bandwidth, bandwidth_of, read_bandwidths
from kvsweep.analysis.memory import memory
from kvsweep.analysis.schemas import BANDWIDTH
from kvsweep.analysis.speed import over_rounds
from kvsweep.errors import KvsweepError
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import read_published
from support import ROOT
from synthetic_tables import model_row, throughput_row

KNOWN = read_bandwidths()
PUBLISHED = read_published(ROOT / "resources" / "published")


def of_published() -> list[dict[str, Any]]:
    cells = over_rounds(PUBLISHED.throughput)
    rows: list[dict[str, Any]] = as_table(
        bandwidth(cells, memory(cells, PUBLISHED.models), KNOWN), BANDWIDTH
    ).to_pylist()
    return rows


def test_the_studys_own_numbers() -> None:
    """q8_0 from 64K to 256K: 192K tokens of 10,240 values of 8.5 bits, in 1/26.6 s less 1/57.9 s."""
    (row,) = (row for row in of_published() if row["pair"] == "q8_0")
    assert (row["depth_from"], row["depth_to"]) == (65536, 262144)
    assert row["cache_bytes"] == pytest.approx(196_608 * 10_240 * 8.5 / 8)
    assert row["gigabytes_per_second"] == pytest.approx(row["cache_bytes"] / (1 / 26.6 - 1 / 57.9) / 1e9)
    assert (row["peak_gigabytes_per_second"], row["share"]) == (614, pytest.approx(0.171, abs=0.001))


def test_what_left_the_device_or_is_one_depth_alone_has_no_row() -> None:
    pairs = {row["pair"] for row in of_published()}
    assert "turbo4" not in pairs  # one depth
    assert {row["depth_from"] for row in of_published() if row["pair"] == "q8_0/turbo4"} == {0}


@pytest.mark.parametrize(("of_deeper", "has_rate"), [(1, True), (2, False)])
def test_without_a_common_round_there_is_no_rate(of_deeper: int, has_rate: bool) -> None:
    rows = [
        throughput_row("q8_0", "q8_0", depth, "decode", rate, round=number, kv_bytes=size)
        for depth, rate, number, size in ((0, 60.0, 1, 2**20), (8192, 50.0, of_deeper, 2**27))
    ]
    cells = over_rounds(rows)
    (row,) = as_table(bandwidth(cells, memory(cells, [model_row()]), KNOWN), BANDWIDTH).to_pylist()
    assert (row["depth_from"], row["depth_to"], row["cache_bytes"]) == (0, 8192, 2**27 - 2**20)
    assert (row["gigabytes_per_second"] is not None) == has_rate


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("Apple M5 Max 128GB", 614),
        ("Apple M5 Max", 614),
        ("Apple M5 16GB", 153),
        ("Apple M5 Ultra 256GB", None),
        ("NVIDIA H200", 4800),
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA GeForce RTX 5060 Ti", 448),
        ("NVIDIA GeForce RTX 5060", None),
        ("2x RTX 5060 Ti 16GB", None),
        ("AMD EPYC 2 cores 24GB", None),
        (None, None),
    ],
)
def test_a_chip_is_known_by_its_whole_name(machine: str | None, expected: float | None) -> None:
    assert bandwidth_of(machine, KNOWN) == expected


def test_every_figure_has_a_source() -> None:
    lines = (ROOT / "resources" / "bandwidths.csv").read_text().splitlines()[1:]
    assert all(line.split(",")[2].startswith("https://") for line in lines) and len(lines) == len(KNOWN)


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("chip,speed\nApple M5,153\n")
    with pytest.raises(KvsweepError, match="is no table of chip and gigabytes_per_second"):
        read_bandwidths(tmp_path / "x.csv")
