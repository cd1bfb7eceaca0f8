"""Where one pair overtakes another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.pair_schemas import CROSSOVERS
from kvsweep.analysis.speed import over_rounds
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import read_published
from support import ROOT
from synthetic_tables import in_rounds, throughput_row

Row = dict[str, Any]
K = 1024


def found(rows: Iterable[Row]) -> list[Row]:
    table: list[Row] = as_table(crossovers(over_rounds(rows)), CROSSOVERS).to_pylist()
    return table


def line(
    name: str, start: float, slope: float, depths: Iterable[int], spread: float = 0.0, **more: Any
) -> list[Row]:
    """Three rounds; seconds per token: start + slope x depth, both in units of a millisecond."""
    rows = (
        throughput_row(name, name, depth, rate=1e3 / (start + slope * depth), spread=0, **more)
        for depth in depths
    )
    return in_rounds(rows, 3, between=spread, within=0)


def test_the_depth_where_two_lines_meet() -> None:
    # 10 + d/1000 and 12 + d/2000 ms are equal at d = 4000.
    (row,) = found(
        line("q8_0", 10, 1e-3, (0, 2048, 8192), 1e-4) + line("turbo3", 12, 5e-4, (0, 2048, 8192), 1e-4)
    )
    assert row["depth"] == pytest.approx(4000, abs=20)
    assert (row["between_low"], row["between_high"]) == (2048, 8192)
    assert (row["ahead_before"], row["ahead_after"], row["verdict"]) == ("q8_0", "turbo3", "crosses")
    assert 0 < row["depth_low"] < row["depth"] < row["depth_high"] < 8192
    assert row["depths"] == [0, 2048, 8192]


def test_errors_that_reach_a_measured_depth() -> None:
    (row,) = found(line("q8_0", 10, 1e-3, (0, 8192), 0.3) + line("turbo3", 12, 5e-4, (0, 8192), 0.3))
    assert row["verdict"] == "crosses within the errors"
    assert (row["depth_low"], row["depth_high"]) == (0, 8192)


def test_none_where_one_is_faster_everywhere() -> None:
    (row,) = found(line("q8_0", 10, 1e-3, (0, 8192)) + line("turbo3", 12, 1e-3, (0, 8192)))
    assert (row["verdict"], row["depth"], row["ahead_before"]) == ("none", None, "q8_0")


ZIGZAG = {"q8_0": (100, 90, 80, 70), "turbo3": (99, 91, 79, 71)}


def zigzag(n_depths: int, spread: float, n_rounds: int = 3) -> list[Row]:
    """Two pairs that take turns at being one percent ahead."""
    rows = (
        throughput_row(name, name, depth, rate=rate, spread=0)
        for name, of_pair in ZIGZAG.items()
        for depth, rate in zip((0, 8 * K, 64 * K, 128 * K)[:n_depths], of_pair, strict=False)
    )
    return in_rounds(rows, n_rounds, between=spread, within=0)


def test_a_second_crossing_where_the_data_show_it_beyond_the_errors() -> None:
    first, second = found(zigzag(3, 1e-5))
    assert (first["number"], first["ahead_after"], first["verdict"]) == (1, "turbo3", "crosses")
    assert (second["number"], second["ahead_after"], second["verdict"]) == (2, "q8_0", "crosses")
    assert 0 < first["depth_low"] < first["depth"] < first["depth_high"] < 8 * K < second["depth_low"]


def test_never_a_third() -> None:
    assert [row["number"] for row in found(zigzag(4, 1e-5))] == [1, 2]


@pytest.mark.parametrize("n_rounds", [2, 3, 10])
def test_taking_turns_within_the_errors_is_one_crossing_at_most(n_rounds: int) -> None:
    (row,) = found(zigzag(4, 0.05, n_rounds))
    assert row["verdict"] in ("none", "crosses within the errors")


def test_one_round_crosses_without_an_interval() -> None:
    rows = [row for row in line("q8_0", 10, 1e-3, (0, 2048, 8192)) if row["round"] == 1]
    rows += [row for row in line("turbo3", 12, 5e-4, (0, 2048, 8192)) if row["round"] == 1]
    (row,) = found(rows)
    assert row["depth"] == pytest.approx(4000)
    assert (row["depth_low"], row["interval"], row["verdict"]) == (None, None, "crosses, errors unknown")


def test_one_common_depth_is_too_few() -> None:
    (row,) = found(line("q8_0", 10, 1e-3, (0, 8192)) + line("turbo3", 12, 1e-3, (0,)))
    assert (row["verdict"], row["depths"], row["ahead_before"]) == ("too few depths", [0], "q8_0")


@pytest.mark.parametrize("column", ["machine", "engine", "model", "source", "engine_commit"])
def test_never_across_set_ups(column: str) -> None:
    another: Row = {column: "another"}
    other = line("turbo3", 12, 5e-4, (0, 8192), **another)
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
