"""Values that are equal in every round, window or process: none has an interval without width, and none decides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.bandwidth import bandwidth
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.estimates import BY_TOKEN, BY_WINDOW, error_of
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.k_or_v import k_or_v
from kvsweep.analysis.memory import memory
from kvsweep.analysis.repetitions import repetitions
from kvsweep.analysis.row_values import quality_of
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.statistics import paired_difference
from kvsweep.tables.blocks import mean_of_windows, share_of_windows
from scipy import stats
from synthetic_tables import model_row, quality_row, rounds_at, throughput_row

Row = dict[str, Any]
TOKENS = 500  # of a window


def scored(pair: str, column: str, windows: list[float], **more: Any) -> Row:
    """As the scorer has it: nothing is rounded."""
    row = quality_row(pair, pair, method="scorer", **more)
    mean = float(np.mean(windows))
    if column == "top1":
        return row | {"top1_windows": windows, "window_tokens": TOKENS, "top1_agreement": mean / TOKENS}
    name = {"kld": "kld_mean", "ln_ppl_ratio": "ln_ppl_ratio"}[column]
    return row | {name: mean, f"{column}_windows": windows, f"{column}_window_rounding": 0.0}


def value(row: Row, column: str) -> Any:
    found = quality_of(row, column)
    assert found is not None
    return found


# --- agreement: the fewest tokens that can differ ---------------------------------------------------------------------


@pytest.mark.parametrize("apart", [0, 1, 7, 60])
@pytest.mark.parametrize("windows", [2, 3, 16, 64])
def test_two_agreements_that_differ_by_the_same_in_every_window(apart: int, windows: int) -> None:
    """The interval of as many tokens that only one of the two has, by Agresti and Min."""
    chance = np.random.default_rng(windows)
    right = chance.integers(300, 430, windows)
    a, b = (value(scored("q4_0", "top1", own.tolist()), "top1_agreement") for own in (right + apart, right))
    error = error_of([(1, a), (-1, b)])
    assert error is not None and error.freedom == math.inf
    expected = paired_difference(apart * windows, 0, windows * TOKENS)
    assert 2 * error.half == pytest.approx(expected.high - expected.low, rel=1e-6)
    found = gap(a, b)
    assert found.difference_low is not None and found.difference_high is not None
    assert found.difference_low < found.difference < found.difference_high
    assert found.ratio_low is not None and found.ratio_high is not None and found.ratio_low < found.ratio_high


@pytest.mark.parametrize("right", [0, 10, 250, 499, 500])
def test_an_agreement_that_is_the_same_in_every_window(right: int) -> None:
    error = error_of([(1, value(scored("q8_0", "top1", [float(right)] * 4), "top1_agreement"))])
    assert error is not None and error.kind == BY_WINDOW
    n, fewer = 4 * TOKENS, 4 * min(right, TOKENS - right)
    binomial = math.sqrt(fewer / n * (1 - fewer / n) / n)
    assert error.half >= stats.norm.ppf(0.975) * binomial > 0 or (fewer == 0 and error.half > 1.9 / (n + 2))


def test_windows_that_differ_more_than_tokens_do_say_it_themselves() -> None:
    windows = [300.0, 450.0, 380.0, 420.0]
    error = error_of([(1, value(scored("q8_0", "top1", windows), "top1_agreement"))])
    assert error is not None
    assert (error.stderr, error.freedom) == pytest.approx((stats.sem(np.array(windows) / TOKENS), 3))


# --- divergences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["kld", "ln_ppl_ratio"])
@pytest.mark.parametrize("windows", [2, 16])
def test_divergences_that_differ_by_the_same_have_the_error_of_tokens(column: str, windows: int) -> None:
    name = {"kld": "kld_mean"}.get(column, column)
    hard = np.random.default_rng(windows).exponential(0.01, windows)
    rows = [
        scored("q4_0", column, list(hard + more), **{f"{name}_stderr": stderr})
        for more, stderr in ((0.002, 3e-4), (0.0, 4e-4))
    ]
    found = gap(*(value(row, name) for row in rows))
    assert found.interval == BY_TOKEN
    half = stats.norm.ppf(0.975) * 5e-4
    assert (found.difference_low, found.difference_high) == pytest.approx((0.002 - half, 0.002 + half))
    # Nobody knows where there is no error of tokens either.
    unknown = gap(*(value(row | {f"{name}_stderr": None}, name) for row in rows))
    assert unknown.difference_low is unknown.t is None


def test_one_divergence_in_every_window_has_the_error_of_tokens() -> None:
    row = scored("q4_0", "kld", [0.01] * 8, kld_mean_stderr=1e-3)
    assert value(row, "kld_mean").half == pytest.approx(1.96e-3, rel=1e-3)


def test_a_multiple_in_every_window_has_no_certain_ratio() -> None:
    hard = np.random.default_rng(1).exponential(0.01, 8)
    a, b = (
        value(scored("q4_0", "kld", list(times * hard), kld_mean_stderr=1e-4), "kld_mean") for times in (2, 1)
    )
    found = gap(a, b)
    assert found.ratio_low is not None and found.ratio_high is not None
    assert found.ratio_high / found.ratio_low > 1.01
    half = stats.t.ppf(0.975, 7) * stats.sem(hard)
    assert found.difference_high == pytest.approx(hard.mean() + half)


def test_what_is_equal_in_every_window_is_the_same_computation() -> None:
    same = [0.01, 0.02, 0.015]
    found = gap(*(value(scored("q4_0", "kld", same), "kld_mean") for _ in range(2)))
    assert (found.difference_low, found.difference, found.difference_high) == (0, 0, 0)
    f16 = value(scored("f16", "kld", [0.0] * 4), "kld_mean")
    assert f16.half == 0


def test_what_rounding_hides_is_part_of_the_interval() -> None:
    row = quality_row(
        "q8_0", "q8_0", 2e-5, kld_windows=[2e-5] * 4, kld_window_rounding=1e-5 * math.sqrt(5 / 18)
    )
    assert value(row, "kld_mean").half > 1e-5


def test_parts_of_a_window_that_are_equal_have_no_interval_and_shares_wilsons() -> None:
    equal = mean_of_windows(np.full(5, 0.02), positive=True)
    assert equal.low is equal.high is None
    for share in (0.0, 0.5, 1.0):
        found = share_of_windows(np.full(5, share), None, 40)
        wilson = stats.binomtest(round(200 * share), 200).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high))


def test_no_part_of_k_or_v_is_certain() -> None:
    rows = [
        scored(ctk, "kld", list(np.array([0.01, 0.02, 0.03]) + more), kld_mean_stderr=1e-3)
        | {"ctk": ctk, "ctv": ctv, "effective_ctk": ctk, "effective_ctv": ctv}
        for ctk, ctv, more in (
            ("f16", "f16", 0.0),
            ("q4_0", "f16", 0.01),
            ("f16", "q4_0", 0.005),
            ("q4_0", "q4_0", 0.02),
        )
    ]
    for row in k_or_v(rows):
        for name in ("from_k", "from_v", "interaction", "share_k"):
            if row.get(name):
                assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


# --- speeds: equal to the last digit is not measured twice ------------------------------------------------------------

SLOW = (1.0, 0.9, 1.1)
EQUAL = {
    "the same rate": ((50.0,) * 3, (50.0,) * 3),
    "one rate each": ((50.0,) * 3, (48.0,) * 3),
    "a multiple in every round": (tuple(50 * one for one in SLOW), tuple(48 * one for one in SLOW)),
    "two rounds": ((50.0, 50.0), (48.0, 48.0)),
}


@pytest.mark.parametrize("name", EQUAL)
def test_speeds_that_are_equal_in_every_round(name: str) -> None:
    f16, q8_0 = EQUAL[name]
    cells = over_rounds(
        [
            row
            for depth, part in ((0, 1.0), (8192, 0.5))
            for pair, rates in (("f16", f16), ("q8_0", q8_0), ("q5_1", [49.0] * len(f16)))
            for row in rounds_at(pair, pair, [one * part for one in rates], depth)
        ]
    )
    for row in speeds(cells):
        if row["ctk"] == "q8_0":
            assert (row["ratio_low"], row["verdict"], row["q_value"]) == (None, "error unknown", None)
        assert row["tokens_per_second_low"] is None or name.startswith("a multiple")
    duels = [
        row for row in head_to_head(cells, [], [model_row()]) if "q8_0" in (row["pair_a"], row["pair_b"])
    ]
    assert not any(row["winner"] for row in duels if row["quantity"] == "decode")
    for row in crossovers(cells):
        assert row["verdict"] in ("none", "crosses, errors unknown") and row.get("depth_low") is None


def test_equal_times_cross_without_a_known_error() -> None:
    rates = {"f16": (50.0, 20.0), "q8_0": (40.0, 30.0)}
    rows = [
        row
        for pair, own in rates.items()
        for depth, rate in zip((0, 8192), own, strict=True)
        for row in rounds_at(pair, pair, [rate] * 3, depth)
    ]
    (found,) = crossovers(over_rounds(rows))
    assert (found["verdict"], found.get("depth_low"), found.get("q_value")) == (
        "crosses, errors unknown",
        None,
        None,
    )


def test_equal_times_read_the_cache_at_no_known_rate() -> None:
    rows = [
        row
        for depth, rate in ((0, 80.0), (65536, 60.0))
        for row in rounds_at("f16", "f16", [rate] * 3, depth, kv_bytes=(depth + 128) * 20480)
    ]
    cells = over_rounds(rows)
    (found,) = bandwidth(cells, memory(cells, [model_row()]), {})
    assert found["gigabytes_per_second"] is not None and "gigabytes_per_second_low" not in found


def test_repetitions_that_are_alike_in_every_process_are_not_told() -> None:
    rows = [
        throughput_row(pair, pair, depth, samples=[40.0, 50.0, 50.0, 50.0])
        for pair in ("f16", "q8_0", "q4_0")
        for depth in (0, 8192)
    ]
    for row in repetitions(rows):
        assert row["first_low"] is None and not row["first_dropped"] and not row["drifts"]
