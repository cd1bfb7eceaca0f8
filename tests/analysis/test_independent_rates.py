"""Bandwidth, machines beside each other, tasks and divergence by depth, recomputed with numpy and scipy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.across import across
from kvsweep.analysis.bandwidth import bandwidth
from kvsweep.analysis.memory import memory
from kvsweep.analysis.schemas import ACROSS, BANDWIDTH
from kvsweep.analysis.speed import over_rounds
from kvsweep.analysis.task_shares import task_shares
from kvsweep.engine.scorer_file import Window
from kvsweep.tables.columns import as_table
from kvsweep.tables.scored import columns, sums
from recomputed import ends_of_part
from scipy import stats
from synthetic_tables import model_row, quality_row, rounds_at

Row = dict[str, Any]
VALUES = 10_240  # of K and V of one token
SCORES = ("nll", "nll_base", "kld", "delta_p")


# --- bandwidth ----------------------------------------------------------------------------------------------


def rates_of(times: dict[int, np.ndarray], without: dict[int, list[int]] | None = None) -> Row:
    """The row of f16's deeper depth, from seconds per token by depth and round, ``without`` these rounds of a depth."""
    rows, without = [], without or {}
    for depth, seconds in times.items():
        own = rounds_at("f16", "f16", (1 / seconds).tolist(), depth, kv_bytes=(depth + 128) * VALUES * 2)
        rows += [row for row in own if row["round"] not in without.get(depth, ())]
    cells = over_rounds(rows)
    found = bandwidth(cells, memory(cells, [model_row()]), {"Apple M5 Max": 614.0})
    (row,) = as_table(found, BANDWIDTH).to_pylist()
    return dict(row)


def drawn(rounds: int, longer: float = 0.004, spread: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(rounds)
    slow = np.exp(chance.normal(0, 0.1, rounds))
    shallow, deep = (t * slow * np.exp(chance.normal(0, spread, rounds)) for t in (0.012, 0.012 + longer))
    return shallow, deep


@pytest.mark.parametrize("rounds", [2, 3, 8])
def test_the_rate_at_which_the_cache_is_read_within_rounds(rounds: int) -> None:
    shallow, deep = drawn(rounds)
    row = rates_of({0: shallow, 65536: deep})
    size = 65536 * VALUES * 2
    longer = np.exp(np.log(deep).mean()) - np.exp(np.log(shallow).mean())
    half = stats.t.ppf(0.975, rounds - 1) * stats.sem(deep - shallow)
    assert row["gigabytes_per_second"] == pytest.approx(size / longer / 1e9)
    assert row["share"] == pytest.approx(row["gigabytes_per_second"] / 614)
    assert (row["seconds_low"], row["seconds_high"]) == pytest.approx((longer - half, longer + half))
    assert row["gigabytes_per_second_low"] == pytest.approx(size / (longer + half) / 1e9)
    expected = None if longer <= half else pytest.approx(size / (longer - half) / 1e9)
    assert row["gigabytes_per_second_high"] == expected


def test_rounds_that_only_one_depth_has_say_nothing_of_the_rate() -> None:
    shallow, deep = drawn(4)
    kept = np.array([0, 2, 3])
    row = rates_of({0: shallow, 65536: deep}, without={65536: [2]})
    half = stats.t.ppf(0.975, 2) * stats.sem((deep - shallow)[kept])
    longer = np.exp(np.log(deep[kept]).mean()) - np.exp(np.log(shallow[kept]).mean())
    assert (row["seconds"], row["seconds_high"]) == pytest.approx((longer, longer + half))


def test_one_round_has_a_rate_without_an_interval() -> None:
    row = rates_of({0: np.array([0.012]), 65536: np.array([0.016])})
    assert row["gigabytes_per_second"] == pytest.approx(65536 * VALUES * 2 / 0.004 / 1e9)
    assert row["gigabytes_per_second_low"] is row["gigabytes_per_second_high"] is row["interval"] is None


def test_equal_times_have_no_rate() -> None:
    times = np.array([0.012, 0.013, 0.011])
    row = rates_of({0: times, 65536: times})
    assert (row["seconds"], row["gigabytes_per_second"], row["gigabytes_per_second_low"]) == (0, None, None)


# --- machines -----------------------------------------------------------------------------------------------

H200 = {"source": "slice:attic", "machine": "NVIDIA H200", "backend": "cuda"}


def test_two_machines_relative_speeds_have_independent_errors() -> None:
    chance = np.random.default_rng(1)
    sides = [
        {pair: 100 * np.exp(chance.normal(0, 0.02, rounds)) for pair in ("f16", "q8_0")} for rounds in (3, 5)
    ]
    rows = [
        row
        for side, where in zip(sides, ({}, H200), strict=True)
        for pair, rates in side.items()
        for row in rounds_at(pair, pair, rates.tolist(), 8192, **where)
    ]
    (row,) = as_table(across(over_rounds(rows), []), ACROSS).to_pylist()
    logs = [np.log(side["q8_0"] / side["f16"]) for side in sides]
    half = np.hypot(*(stats.t.ppf(0.975, len(own) - 1) * stats.sem(own) for own in logs))
    middle = logs[0].mean() - logs[1].mean()
    ends = (row["ratio"], row["ratio_low"], row["ratio_high"])
    assert ends == pytest.approx(tuple(np.exp([middle, middle - half, middle + half])))


def test_two_machines_divergences_are_paired_by_window() -> None:
    chance = np.random.default_rng(2)
    hard = np.exp(chance.normal(0, 0.4, 16))
    text = {"corpus_sha256": "aa" * 32, "chunks": 16, "positions": "half", "method": "scorer"}
    windows = [0.01 * hard * np.exp(chance.normal(0, 0.05, 16)) for _ in range(2)]
    rows = [
        quality_row("q8_0", "q8_0", float(own.mean()), kld_windows=own.tolist(), kld_window_rounding=None,
                    top1_agreement=None, **text, **where)
        for own, where in zip(windows, ({}, H200), strict=True)
    ]  # fmt: skip
    (row,) = as_table(across([], rows), ACROSS).to_pylist()
    a, b = windows
    half = stats.t.ppf(0.975, 15) * stats.sem(a / a.mean() - b / b.mean())
    middle = np.log(a.mean() / b.mean())
    ends = (row["ratio"], row["ratio_low"], row["ratio_high"])
    assert ends == pytest.approx(tuple(np.exp([middle, middle - half, middle + half])))


# --- tasks --------------------------------------------------------------------------------------------------

SET_UP = {
    **{"source": "measured", "engine": "e", "engine_commit": None, "backend": "cpu", "machine": "here"},
    **{"model": "m", "model_sha256": "0"},
}


def answered(answers: dict[str, np.ndarray]) -> dict[str, Row]:
    ran = {"effective_ctk": None, "effective_ctv": None, "fallback": False, "status": "measured"}
    cells = [{**SET_UP, "task": "r", "ctk": pair, "ctv": pair, **ran, "effective_ctk": pair, "effective_ctv": pair}
             for pair in answers]  # fmt: skip
    items = [
        {**SET_UP, "task": "r", "kind": "recall", "ctk": pair, "ctv": pair, "context": 1024, "question": "one",
         "item": str(at), "prompt_sha256": str(at), "right": bool(right), "tokens": [1]}
        for pair, own in answers.items() for at, right in enumerate(own)
    ]  # fmt: skip
    return {row["ctk"]: row for row in task_shares(cells, items)}


def power(n: int, differ: float, difference: float) -> float:
    """How often the exact test of McNemar, at 5 %, shows a true difference of two shares of ``n`` items."""
    m = np.arange(n + 1)[:, None]
    one = np.arange(n + 1)[None, :]
    p = np.minimum(2 * stats.binom.cdf(np.minimum(one, m - one), m, 0.5), 1)
    shown = (one <= m) & (p < 0.05)
    often = stats.binom.pmf(one, m, min((1 + difference / differ) / 2, 1)) * shown
    return float((stats.binom.pmf(m, n, differ)[:, 0] * often.sum(axis=1)).sum())


@pytest.mark.parametrize("n", [1, 5, 12, 60, 400])
def test_shares_of_right_answers(n: int) -> None:
    chance = np.random.default_rng(n)
    f16 = chance.random(n) < 0.8
    answers = {"f16": f16, "q8_0": f16.copy(), "q5_0": np.ones(n, bool), "q4_0": np.zeros(n, bool)}
    answers |= {"q4_1": f16 & (chance.random(n) < 0.9), "q5_1": f16 ^ (chance.random(n) < 0.05)}
    found = answered(answers)
    p = {}
    for pair, own in answers.items():
        row, right = found[pair], int(own.sum())
        low, high = stats.binomtest(right, n).proportion_ci(method="wilson")
        assert (row["share"], row["share_low"], row["share_high"]) == pytest.approx((right / n, low, high))
        if pair == "f16":
            assert row["p_value"] is None
            continue
        only, other = int((own & ~f16).sum()), int((f16 & ~own).sum())
        p[pair] = stats.binomtest(only, only + other).pvalue if only + other else 1.0
        middle, differ = (only - other) / (n + 2), (only + other + 1) / (n + 2)
        half = stats.norm.ppf(0.975) * np.sqrt((differ - middle**2) / (n + 2))
        ends = np.clip([middle - half, middle + half], -1, 1)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx(tuple(ends))
        seen = row["detectable"]
        if seen == 1:
            assert power(n, 1, 1) < 0.8
        else:
            assert power(n, max((only + other) / n, seen), seen) == pytest.approx(0.8, abs=0.01)
    assert {pair: found[pair]["p_value"] for pair in p} == pytest.approx(p)
    q = dict(zip(p, stats.false_discovery_control(list(p.values())), strict=True))
    assert {pair: found[pair]["q_value"] for pair in p} == pytest.approx(q)
    for pair, one in q.items():
        better = answers[pair].sum() > f16.sum()
        told = "better than f16" if better else "worse than f16"
        assert found[pair]["verdict"] == (told if one < 0.05 else "no difference shown")


# --- divergence by depth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("windows", [1, 2, 6, 40])
def test_divergence_by_depth(windows: int) -> None:
    chance = np.random.default_rng(windows)
    n = 320  # tokens scored, in 16 parts of 20
    kld = chance.exponential(0.02, (windows, n)) * np.exp(chance.normal(0, 0.5, (windows, 1)))
    same = chance.random((windows, n)) < 0.97
    same[:, :20] = True  # all agree in the first part
    scores = np.zeros(
        (windows, n), [("position", int), *((name, float) for name in SCORES), ("same_top", int)]
    )
    scores["position"], scores["kld"], scores["same_top"] = np.arange(100, 100 + n), kld, same
    parts = columns(sums(Window(at, own) for at, own in enumerate(scores)))["by_position"]
    assert len(parts) == 16
    for number, part in enumerate(parts):
        own = slice(20 * number, 20 * number + 20)
        means, shares = kld[:, own].mean(axis=1), same[:, own].mean(axis=1)
        value = means.mean()
        assert part["kld_mean"] == pytest.approx(value)
        assert part["top1_agreement"] == pytest.approx(shares.mean())
        assert (part["depth_from"], part["depth_to"]) == (101 + 20 * number, 120 + 20 * number)
        if windows == 1:
            assert part["kld_mean_low"] is part["top1_agreement_high"] is None
            continue
        t = stats.t.ppf(0.975, windows - 1)
        assert (part["kld_mean_low"], part["kld_mean_high"]) == pytest.approx(ends_of_part(means))
        around = t * stats.sem(shares)
        wilson = stats.binomtest(int(same[:, own].sum()), 20 * windows).proportion_ci(method="wilson")
        low, high = min(shares.mean() - around, wilson[0]), max(shares.mean() + around, wilson[1])
        ends = max(low, 0), min(high, 1)
        assert (part["top1_agreement_low"], part["top1_agreement_high"]) == pytest.approx(ends)
