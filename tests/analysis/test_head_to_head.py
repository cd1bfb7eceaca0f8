"""Pairs of equal bits against each other, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.pair_schemas import HEAD_TO_HEAD, PARETO
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.speed import over_rounds
from kvsweep.tables.columns import as_table
from synthetic_tables import model_row, quality_row, rounds_at, throughput_row, unmeasured

Row = dict[str, Any]
K = 1024


def duels(throughput: Iterable[Row], quality: Iterable[Row]) -> list[Row]:
    cells = over_rounds(throughput)
    found: list[Row] = as_table(head_to_head(cells, quality, [model_row()]), HEAD_TO_HEAD).to_pylist()
    return found


def one(rows: list[Row], **wanted: Any) -> Row:
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def test_q4_0_against_turbo4_and_turbo3_stands_first_whatever_their_bits() -> None:
    types = ("f16", "q8_0", "turbo3", "iq4_nl", "turbo4", "q4_0")
    rows = duels([], [quality_row(name, name) for name in types])
    order = {row["order"]: (row["pair_a"], row["pair_b"]) for row in rows}
    assert order == {
        1: ("q4_0", "turbo4"),
        2: ("q4_0", "turbo3"),  # 1.4 bits apart
        3: ("iq4_nl", "q4_0"),
        4: ("iq4_nl", "turbo4"),
    }


def test_who_wins_and_by_how_much() -> None:
    rows = duels(
        [
            # The second round was slower for both, which is no error of their difference.
            *rounds_at("q4_0", "q4_0", [50.0, 40.1, 50.2], 8 * K),
            *rounds_at("turbo4", "turbo4", [60.0, 48.0, 60.2], 8 * K),
            *rounds_at("q4_0", "q4_0", [500.0, 510.0, 520.0], 8 * K, "prefill"),
            *rounds_at("turbo4", "turbo4", [504.0, 507.0, 525.0], 8 * K, "prefill"),
            throughput_row("turbo4", "turbo4", 32 * K, "decode"),  # only one of them has it
        ],
        [quality_row("q4_0", "q4_0", 0.008), quality_row("turbo4", "turbo4", 0.0131)],
    )
    decode = one(rows, quantity="decode")
    assert (decode["depth"], decode["winner"], decode["verdict"]) == (8 * K, "turbo4", "better")
    assert decode["ratio"] == pytest.approx((50 * 40.1 * 50.2 / (60 * 48 * 60.2)) ** (1 / 3))
    assert decode["difference_low"] < decode["difference"] < decode["difference_high"] < 0
    prefill = one(rows, quantity="prefill")
    assert (prefill["ahead"], prefill["winner"], prefill["verdict"]) == (
        "turbo4",
        None,
        "no difference shown",
    )
    kld = one(rows, quantity="kld_mean")
    assert (kld["winner"], kld["better"], kld["n_ctx"]) == ("q4_0", "lower", 4096)
    tail = one(rows, quantity="kld_p999")
    assert (tail["ahead"], tail["winner"], tail["verdict"]) == ("q4_0", None, "error unknown")
    top1 = one(rows, quantity="top1_agreement")
    assert (top1["winner"], top1["better"]) == ("q4_0", "higher")
    memory = one(rows, quantity="kv_bytes_per_token")
    assert (memory["value_a"], memory["value_b"], memory["winner"]) == (5760.0, 5440.0, "turbo4")


def test_equal_sizes_are_equal() -> None:
    rows = duels([], [quality_row("q4_0", "q8_0"), quality_row("q8_0", "q4_0")])
    size = one(rows, quantity="kv_bytes_per_token")
    assert (size["ahead"], size["winner"], size["verdict"]) == (None, None, "equal")


def test_very_unlike_rounds_show_no_difference() -> None:
    wild = rounds_at("q4_0", "q4_0", [100.0, 3000.0, 1300.0])
    slow = rounds_at("turbo4", "turbo4", [10.0, 190.0, 5.0])
    row = one(duels([*wild, *slow], []), quantity="decode")
    assert (row["winner"], row["verdict"]) == (None, "no difference shown")


def test_one_round_has_no_winner() -> None:
    rows = duels([*rounds_at("q4_0", "q4_0", [50.0]), *rounds_at("turbo4", "turbo4", [80.0])], [])
    row = one(rows, quantity="decode")
    assert (row["ahead"], row["winner"], row["verdict"]) == ("turbo4", None, "one round")
    assert (row["ratio_low"], row["interval"]) == (None, None)


def test_only_rounds_that_have_both_are_compared() -> None:
    throughput = [
        *rounds_at("q4_0", "q4_0", [50.0, 60.0, 99.0]),
        *rounds_at("turbo4", "turbo4", [55.0, 66.0]),
    ]
    row = one(duels(throughput, []), quantity="decode")
    assert row["value_a"] == pytest.approx((50 * 60) ** 0.5)
    assert row["ratio"] == pytest.approx(1 / 1.1)
    apart = [row | {"round": 3} for row in rounds_at("turbo4", "turbo4", [55.0])]
    assert [r for r in duels([*throughput[:2], *apart], []) if r["quantity"] == "decode"] == []


@pytest.mark.parametrize("changed", [{"effective_ctk": "q8_0"}, {"fallback": True}, {"status": "timeout"}])
def test_what_did_not_run_as_the_pair_does_not_count(changed: Row) -> None:
    marked = quality_row("turbo4", "turbo4") | changed
    assert duels([], [quality_row("q4_0", "q4_0"), marked]) == []


@pytest.mark.parametrize("column", ["machine", "engine", "model", "source", "engine_commit", "backend"])
def test_never_across_set_ups(column: str) -> None:
    another: Row = {column: "another"}
    other = quality_row("turbo4", "turbo4", **another)
    assert duels([], [quality_row("q4_0", "q4_0"), other]) == []


def test_bits_are_those_that_were_logged() -> None:
    # Some of its layers were kept at more bits, and the log says so.
    heavy = quality_row("turbo4", "turbo4", bits_per_value_k=4.25, bits_per_value_v=5.75)
    row = duels([], [quality_row("q4_1", "q4_1"), heavy])[0]
    assert (row["bits_a"], row["bits_b"], row["bits_from"]) == (5.0, 5.0, "log")
    published = [
        quality_row(name, name, source="published:x", bits_per_value_k=None, bits_per_value_v=None)
        for name in ("q4_0", "turbo4")
    ]
    assert {row["bits_from"] for row in duels([], published)} == {"types"}


# --- the Pareto front ---------------------------------------------------------------------------------------


def front(throughput: Iterable[Row], quality: Iterable[Row], depth: int | None = None) -> dict[str, Row]:
    rows = as_table(pareto(over_rounds(throughput), quality, [model_row()], depth), PARETO).to_pylist()
    return {row["ctk"] if row["ctk"] == row["ctv"] else f"{row['ctk']}/{row['ctv']}": row for row in rows}


SPEED = {"f16": 60.0, "q8_0": 58.0, "q4_1": 50.0, "q4_0": 55.0, "turbo4": 54.0}
DAMAGE = {"f16": 0.0, "q8_0": 0.0016, "q4_1": 0.0100, "q4_0": 0.0090, "turbo4": 0.0131}


def test_the_front() -> None:
    rows = front(
        [throughput_row(name, name, 64 * K, rate=rate, spread=0.0) for name, rate in SPEED.items()],
        [quality_row(name, name, kld) for name, kld in DAMAGE.items()],
    )
    assert {name for name, row in rows.items() if row["on_front"]} == {"f16", "q8_0", "q4_0", "turbo4"}
    assert rows["q4_1"]["dominated_by"] == ["q4_0"]
    assert rows["q4_0"]["depth"] == 64 * K
    assert rows["turbo4"]["bits_per_value"] == 4.25


@pytest.mark.parametrize(("times", "is_beaten"), [(1.45, False), (1.55, True)])
def test_a_divergence_of_one_window_is_told_by_half_as_much_again(times: float, is_beaten: bool) -> None:
    """q4_1 has more bits and is slower; its divergence has no error that is known."""
    one_window: Row = {"kld_mean_stderr": None, "kld_window_stderr": None, "chunks": 1}
    rows = front(
        [
            throughput_row(name, name, rate=rate)
            for name, rate in (("f16", 90.0), ("q4_0", 60.0), ("q4_1", 40.0))
        ],
        [
            quality_row("f16", "f16", 0.0),
            quality_row("q4_0", "q4_0", 0.009, kld_windows=[0.009], **one_window),
            quality_row("q4_1", "q4_1", 0.009 * times, kld_windows=[0.009 * times], **one_window),
        ],
    )
    assert rows["q4_1"]["dominated_by"] == (["q4_0"] if is_beaten else [])
    assert rows["q4_1"]["margin"] == "KL divergence by a factor of 1.5, decode by 5 %"


@pytest.mark.parametrize(("rate", "is_beaten"), [(62.0, True), (66.0, False)])
def test_speeds_of_one_round_within_5_percent_are_equal(rate: float, is_beaten: bool) -> None:
    """q4_1 has more bits and diverges more: only to be faster saves it from q4_0."""
    speeds = {"f16": 90.0, "q4_0": 60.0, "q4_1": rate}
    rows = front(
        [throughput_row(name, name, rate=decode) for name, decode in speeds.items()],
        [quality_row(name, name, DAMAGE[name]) for name in speeds],
    )
    assert rows["q4_1"]["dominated_by"] == (["q4_0"] if is_beaten else [])
    assert "decode by 5 %" in rows["q4_1"]["margin"]


def test_the_depth_is_the_deepest_common_one_or_the_asked_one() -> None:
    speeds = [throughput_row(name, name, depth) for name in SPEED for depth in (0, 8 * K)]
    speeds.append(throughput_row("turbo4", "turbo4", 64 * K))
    quality = [quality_row(name, name) for name in SPEED]
    assert front(speeds, quality)["f16"]["depth"] == 8 * K
    asked = front(speeds, quality, depth=64 * K)
    assert asked["f16"]["missing"] == ["decode at 64K: not asked for"]
    assert asked["f16"]["on_front"] is None
    assert asked["turbo4"]["on_front"]


def test_what_is_missing_is_said_and_f16_needs_no_divergence() -> None:
    fell_back = throughput_row("f16", "turbo4", fallback=True)
    timeout = unmeasured(quality_row("q8_0", "q8_0"), "timeout", "too long")
    rows = front(
        [throughput_row("f16", "f16"), fell_back, throughput_row("q8_0", "q8_0")],
        [quality_row("f16", "f16", kld_mean=None), timeout],
    )
    assert (rows["f16"]["kld_mean"], rows["f16"]["on_front"]) == (0.0, True)
    assert rows["q8_0"]["missing"] == ["kld_mean: timeout"]
    assert "decode at 0: work left the device" in rows["f16/turbo4"]["missing"]
