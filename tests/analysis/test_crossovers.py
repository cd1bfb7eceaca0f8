"""Where one pair overtakes another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.schemas import CROSSOVERS
from kvsweep.tables.published import read_published
from kvsweep.tables.rows import as_table
from support import ROOT
from synthetic_tables import throughput_row

Row = dict[str, Any]
K = 1024


def found(rows: Iterable[Row]) -> list[Row]:
    table: list[Row] = as_table(crossovers(rows), CROSSOVERS).to_pylist()
    return table


def line(
    name: str, start: float, slope: float, depths: Iterable[int], spread: float = 0.0, **more: Any
) -> list[Row]:
    """Seconds per token: start + slope x depth, both in units of a millisecond."""
    return [
        throughput_row(name, name, depth, rate=1e3 / (start + slope * depth), spread=spread, **more)
        for depth in depths
    ]


def test_the_depth_where_two_lines_meet() -> None:
    # 10 + d/1000 and 12 + d/2000 ms are equal at d = 4000.
    (row,) = found(
        line("q8_0", 10, 1e-3, (0, 2048, 8192), 1e-4) + line("turbo3", 12, 5e-4, (0, 2048, 8192), 1e-4)
    )
    assert row["depth"] == pytest.approx(4000, abs=20)
    assert (row["between_low"], row["between_high"]) == (2048, 8192)
    assert (row["ahead_before"], row["ahead_after"], row["verdict"]) == ("q8_0", "turbo3", "crosses")
    assert 2048 < row["depth_low"] < row["depth"] < row["depth_high"] < 8192
    assert row["depths"] == [0, 2048, 8192]


def test_errors_that_reach_a_measured_depth() -> None:
    rows = line("q8_0", 10, 1e-3, (0, 8192)) + line("turbo3", 12, 5e-4, (0, 8192))
    for row in rows:
        row["samples"] = [factor * row["tokens_per_second"] for factor in (0.8, 1.0, 1.2)]
    (row,) = found(rows)
    assert row["verdict"] == "crosses within the errors"
    assert (row["depth_low"], row["depth_high"]) == (0, 8192)


def test_none_where_one_is_faster_everywhere() -> None:
    (row,) = found(line("q8_0", 10, 1e-3, (0, 8192)) + line("turbo3", 12, 1e-3, (0, 8192)))
    assert (row["verdict"], row["depth"], row["ahead_before"]) == ("none", None, "q8_0")


def test_every_crossing_is_told() -> None:
    rates = {"q8_0": (100, 90, 80), "turbo3": (99, 91, 79)}
    rows = [
        throughput_row(name, name, depth, rate=rate, spread=1e-4)
        for name, of_pair in rates.items()
        for depth, rate in zip((0, 8 * K, 64 * K), of_pair, strict=True)
    ]
    first, second = found(rows)
    assert (first["number"], first["ahead_after"]) == (1, "turbo3")
    assert (second["number"], second["ahead_after"]) == (2, "q8_0")


def test_a_tie_at_a_measured_depth_is_the_crossing() -> None:
    rates = {"q8_0": (100, 90, 80), "turbo3": (99, 90, 81)}
    rows = [
        throughput_row(name, name, depth, tokens_per_second=float(rate), samples=[float(rate)])
        for name, of_pair in rates.items()
        for depth, rate in zip((0, 8 * K, 64 * K), of_pair, strict=True)
    ]
    (row,) = found(rows)
    assert (row["depth"], row["ahead_before"], row["ahead_after"]) == (8 * K, "q8_0", "turbo3")
    assert (row["depth_low"], row["interval"], row["verdict"]) == (None, None, "crosses")  # no error is known


def test_one_common_depth_is_too_few() -> None:
    (row,) = found(line("q8_0", 10, 1e-3, (0, 8192)) + line("turbo3", 12, 1e-3, (0,)))
    assert (row["verdict"], row["depths"], row["ahead_before"]) == ("too few depths", [0], "q8_0")


@pytest.mark.parametrize("column", ["machine", "engine", "model", "source", "engine_commit"])
def test_never_across_set_ups(column: str) -> None:
    other = line("turbo3", 12, 5e-4, (0, 8192), **{column: "another"})
    assert found([*line("q8_0", 10, 1e-3, (0, 8192)), *other]) == []


@pytest.mark.parametrize("changed", [{"effective_ctk": "q8_0"}, {"fallback": True}])
def test_what_did_not_run_as_the_pair_does_not_count(changed: Row) -> None:
    marked = [row | changed for row in line("turbo3", 12, 5e-4, (0, 8192))]
    assert found([*line("q8_0", 10, 1e-3, (0, 8192)), *marked]) == []


def test_the_study_sees_one_between_64k_and_128k() -> None:
    published = read_published(ROOT / "resources" / "published").throughput
    rows = [row for row in found(published) if row["phase"] == "prefill" and row["verdict"] == "crosses"]
    (row,) = [row for row in rows if (row["pair_a"], row["pair_b"]) == ("q8_0", "turbo3")]
    # 1/479.2 - 1/469.8 and 1/245 - 1/253 s a token: a quarter of the way.
    assert row["depth"] == pytest.approx(64 * K * (1 + 4.1753e-5 / (4.1753e-5 + 1.29064e-4)), rel=1e-4)
    assert row["depth_low"] < row["depth"] < row["depth_high"]
    assert (row["ahead_before"], row["ahead_after"]) == ("q8_0", "turbo3")
    assert row["interval"] == "rounding of the published digits"
