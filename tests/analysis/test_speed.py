"""Speed over rounds: what counts as one value, what is compared with what, and which repetitions count."""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import Any

import pytest
from kvsweep.analysis.pair_schemas import REPETITIONS, SPEED
from kvsweep.analysis.repetitions import repetitions
from kvsweep.analysis.speed import against, over_rounds, speeds
from kvsweep.tables.columns import as_table
from synthetic_tables import rounds_at, throughput_row, unmeasured

Row = dict[str, Any]
T2 = 4.302652730  # Student's t, 97.5 %, 2 degrees of freedom


def table(rows: list[Row]) -> list[Row]:
    found: list[Row] = as_table(speeds(over_rounds(rows)), SPEED).to_pylist()
    return found


def of_pair(rows: list[Row], pair: str) -> Row:
    (found,) = [row for row in rows if row["ctk"] == pair]
    return found


def test_a_pair_is_compared_with_f16_of_its_round() -> None:
    base, other = [100.0, 90.0, 95.0], [110.0, 97.0, 105.0]
    rows = table([*rounds_at("f16", "f16", base), *rounds_at("q8_0", "q8_0", other)])
    found = of_pair(rows, "q8_0")
    logs = [math.log(x / y) for x, y in zip(other, base, strict=True)]
    half = T2 * stdev(logs) / math.sqrt(3)
    assert found["ratio"] == pytest.approx(math.exp(fmean(logs)))
    assert found["ratio_low"] == pytest.approx(math.exp(fmean(logs) - half))
    assert found["ratio_high"] == pytest.approx(math.exp(fmean(logs) + half))
    assert (found["ratio_rounds"], found["verdict"]) == ([1, 2, 3], "faster")
    # Alone its rates vary by more than they differ from f16's.
    assert found["tokens_per_second_low"] < 100 < found["tokens_per_second_high"]
    assert of_pair(rows, "f16")["ratio"] is None


def test_one_round_has_no_interval_and_no_winner_but_a_spread_within() -> None:
    rows = table([throughput_row("f16", "f16", rate=100.0), throughput_row("q8_0", "q8_0", rate=10.0)])
    found = of_pair(rows, "q8_0")
    assert found["ratio"] == pytest.approx(0.1, rel=0.02)
    assert (found["ratio_low"], found["ratio_high"], found["ratio_interval"]) == (None, None, None)
    assert (found["verdict"], found["rounds"]) == ("one round", [1])
    assert (found["tokens_per_second_low"], found["tokens_per_second_high"]) == (None, None)
    assert 0 < found["spread_within"] < 0.02


def test_rounds_that_are_very_far_apart_show_no_difference() -> None:
    """Of two rounds whose ratios differ by a factor of 47 no end can be told; the error is known all the same. With one
    degree of freedom Student's t is Cauchy's distribution."""
    rows = table([*rounds_at("f16", "f16", [230.0, 430.0]), *rounds_at("q4_0", "q4_0", [2746.0, 108.0])])
    row = of_pair(rows, "q4_0")
    logs = [math.log(2746 / 230), math.log(108 / 430)]
    assert (row["ratio_low"], row["ratio_high"], row["verdict"]) == (None, None, "no difference shown")
    assert row["q_value"] == pytest.approx(2 * math.atan2(stdev(logs) / math.sqrt(2), fmean(logs)) / math.pi)


def test_results_from_before_rounds_are_the_first() -> None:
    old = throughput_row("f16", "f16", tokens_per_second=100.0, samples=[100.0], round=None)
    later = rounds_at("f16", "f16", [90.0, 110.0])[1]
    (found,) = table([old, later])
    assert (found["rounds"], found["seconds_per_token"]) == ([1, 2], pytest.approx([0.01, 1 / 110]))


def test_a_rate_is_tokens_over_mean_time() -> None:
    # One repetition took ten times as long: the mean of rates is 70, tokens over time are 25.
    (found,) = table([throughput_row("f16", "f16", tokens_per_second=70.0, samples=[100.0, 100.0, 10.0])])
    assert found["tokens_per_second"] == pytest.approx(3 / (1 / 100 + 1 / 100 + 1 / 10))
    assert found["mean_rate"] == pytest.approx(70)
    assert found["means_differ"]
    (calm,) = table([throughput_row("f16", "f16", tokens_per_second=100.0, samples=[100.0, 100.1, 99.9])])
    assert not calm["means_differ"]


def test_rounds_that_failed_or_ran_otherwise_do_not_count() -> None:
    first, second, third, fourth = rounds_at("q8_0", "q8_0", [100.0, 90.0, 80.0, 70.0])
    rows = [unmeasured(first, "timeout", "slow"), second, third | {"fallback": True}, fourth]
    (found,) = table(rows)
    assert (found["status"], found["rounds"]) == ("measured", [2, 4])
    (failed,) = table([unmeasured(first, "oom", "no memory"), unmeasured(second, "timeout", "slow")])
    assert (failed["status"], failed["rounds"], failed["tokens_per_second"]) == ("oom", [], None)


def test_what_left_the_device_in_every_round_keeps_its_speed_but_says_so() -> None:
    slow = rounds_at("f16", "turbo4", [3.0, 3.1], fallback=True)
    found = table([*rounds_at("f16", "f16", [100.0, 101.0]), *slow])[1]
    assert (found["fallback"], found["rounds"]) == (True, [1, 2])
    assert found["ratio"] == pytest.approx(math.sqrt(3.0 * 3.1 / (100 * 101)))


def test_published_rates_have_the_rounding_of_their_digits() -> None:
    published: dict[str, Any] = {
        "samples": None,
        "round": None,
        "source": "published:x",
        "tokens_per_second_rounding": 0.05,
    }
    rows = [
        throughput_row(name, name, tokens_per_second=rate, **published)
        for name, rate in (("f16", 82.9), ("q8_0", 79.0))
    ]
    found = of_pair(table(rows), "q8_0")
    assert found["rounds"] == []
    # The table says all that another comparison of its rows needs.
    assert against(found, of_pair(table(rows), "f16"))["ratio_low"] == found["ratio_low"]
    assert (found["verdict"], found["ratio_interval"]) == ("slower", "rounding of the published digits")
    assert found["ratio_low"] == pytest.approx(79 / 82.9 * math.exp(-0.05 / 79 - 0.05 / 82.9))


# --- repetitions --------------------------------------------------------------------------------------------


def run_of(
    n_pairs: int, first: float, depths: tuple[int, ...] = (0, 8192), slow_at: int | None = None
) -> list[Row]:
    """Cells whose first repetition takes ``first`` times as long, everywhere or at one depth."""
    names = ("f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")[:n_pairs]
    found = []
    for place, (name, depth) in enumerate((name, depth) for name in names for depth in depths):
        slow = first if slow_at in (None, depth) else 1.0
        jitter = 1 + 0.001 * (place % 3)
        samples = [100 / slow / jitter, 100.0, 100 * jitter, 100.0]
        found.append(
            throughput_row(name, name, depth, "prefill", samples=samples, tokens_per_second=fmean(samples))
        )
    return found


def effects(rows: list[Row]) -> dict[int | None, Row]:
    return {row["depth"]: row for row in as_table(repetitions(rows), REPETITIONS).to_pylist()}


def test_a_first_repetition_that_is_told_from_the_others_is_dropped() -> None:
    rows = run_of(7, 1.15)
    whole = effects(rows)[None]
    assert whole["first"] == pytest.approx(math.log(1.15), abs=0.005)
    assert (whole["first_dropped"], whole["processes"]) == (True, 14)
    assert all(row["first_dropped"] and abs(row["tokens_per_second"] - 100) < 0.1 for row in table(rows))


def test_where_it_is_told_at_one_depth_only_it_is_dropped_there() -> None:
    found = effects(run_of(7, 1.15, slow_at=0))
    assert (found[0]["first_dropped"], found[8192]["first_dropped"]) == (True, found[None]["first_dropped"])


def test_one_slow_process_drops_nothing() -> None:
    rows = run_of(7, 1.0)
    rows[3]["samples"] = [50.0, 100.0, 100.0, 100.0]
    assert not any(row["first_dropped"] for row in effects(rows).values())


def test_a_trend_is_what_many_processes_have_in_common() -> None:
    falling = [
        throughput_row(
            name, name, depth, samples=[100, 99.0, 98 + 0.1 * depth / 8192, tail], tokens_per_second=98.5
        )
        for name, tail in (("f16", 97.0), ("q8_0", 97.01), ("q4_0", 96.98))
        for depth in (0, 8192)
    ]
    whole = effects(falling)[None]
    assert whole["drifts"] and whole["trend"] == pytest.approx(0.01, abs=0.002)
    # A single one says nothing, however steep.
    alone = effects(falling[:1])[None]
    assert (alone["trend"], alone["drifts"]) == (None, None)
