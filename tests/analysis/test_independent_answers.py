"""Front, parts of K and V, and advice, recomputed with numpy and scipy, without kvsweep's functions.

Of the recorded study from its raw files, and of made-up cells with three rounds, ties, failures and a single window.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import recorded_study
from kvsweep.analysis.advice import advice
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.study.config import parse_workloads
from recomputed import ROUNDING, Tables, half_of_interval, printed
from scipy import integrate, stats
from synthetic_tables import model_row, quality_row, rounds_at, unmeasured

BITS = {"f16": 16.0, "q8_0": 8.5, "q4_0": 4.5, "q4_1": 5.0, "iq4_nl": 4.5}
Row = dict[str, Any]


def name_of(row: Row) -> str:
    return str(row["ctk"]) if row["ctk"] == row["ctv"] else f"{row['ctk']}/{row['ctv']}"


def summed(weights: Mapping[str, float], n_ctx: int) -> tuple[float, float]:
    """A weighted sum of printed divergences, and half of its interval."""
    cells = {pair: printed(pair, n_ctx) for pair in weights}
    windows = sum(weight * cells[pair][0] for pair, weight in weights.items())
    assert isinstance(windows, np.ndarray)
    rounding = ROUNDING[len(windows)] * np.linalg.norm(list(weights.values()))
    half_digits = 5e-7 * np.abs(list(weights.values())).sum()
    value = sum(weight * cells[pair][2] for pair, weight in weights.items())
    return value, half_of_interval(windows, float(rounding), float(half_digits))


# --- the recorded study: one round --------------------------------------------------------------------------


@pytest.mark.parametrize("n_ctx", recorded_study.CONTEXTS)
def test_the_front_with_its_margins(tables: Tables, n_ctx: int) -> None:
    decode = {
        name_of(row): row["tokens_per_second"]
        for row in tables["speed"]
        if row["phase"] == "decode" and row["depth"] == 1024
    }

    def bits(pair: str) -> float:
        ctk, _, ctv = pair.partition("/")
        return (BITS[ctk] + BITS[ctv or ctk]) / 2

    def beats(a: str, b: str) -> bool:
        apart, half = summed({a: 1.0, b: -1.0}, n_ctx)
        faster = decode[a] / decode[b]
        if bits(a) > bits(b) or apart > half or faster < 1 / 1.05:
            return False
        return bits(a) < bits(b) or apart < -half or faster > 1.05

    rows = {name_of(row): row for row in tables["pareto"] if row["n_ctx"] == n_ctx}
    assert rows.keys() == set(recorded_study.PAIRS)
    for pair, row in rows.items():
        beaten_by = {other for other in rows if other != pair and beats(other, pair)}
        assert set(row["dominated_by"]) == beaten_by and row["on_front"] == (not beaten_by)


@pytest.mark.parametrize("n_ctx", recorded_study.CONTEXTS)
def test_what_k_and_v_do_each(tables: Tables, n_ctx: int) -> None:
    """Solved by hand: f16/q4_0 tells V of q4_0, q4_0 then K of it, q4_0/q8_0 V of q8_0, q8_0 K of q8_0."""
    v_q4_0 = {"f16/q4_0": 1.0, "f16": -1.0}
    k_q4_0 = {"q4_0": 1.0, "f16/q4_0": -1.0}
    v_q8_0 = {"q4_0/q8_0": 1.0, "q4_0": -1.0, "f16/q4_0": 1.0, "f16": -1.0}
    k_q8_0 = {"q8_0": 1.0, "q4_0/q8_0": -1.0, "q4_0": 1.0, "f16/q4_0": -1.0}
    rows = {(row["ctk"], row["ctv"]): row for row in tables["k_or_v"] if row["n_ctx"] == n_ctx}
    for (ctk, k), (ctv, v) in product(
        (("q4_0", k_q4_0), ("q8_0", k_q8_0)), (("q4_0", v_q4_0), ("q8_0", v_q8_0))
    ):
        row = rows[ctk, ctv]
        for name, weights in (("from_k", k), ("from_v", v)):
            value, half = summed(weights, n_ctx)
            assert row[name] == pytest.approx(value, abs=1e-11)
            assert row[f"{name}_high"] - row[name] == pytest.approx(half, rel=1e-5)
        both = {pair: k.get(pair, 0.0) + v.get(pair, 0.0) for pair in {*k, *v}}
        total, half = summed({pair: weight for pair, weight in both.items() if weight}, n_ctx)
        assert ("share_k" in row) == (total > half)
        if total > half:
            assert row["share_k"] == pytest.approx(min(max(summed(k, n_ctx)[0] / total, 0), 1), abs=1e-6)
    for ctk, ctv in product(("q4_1", "iq4_nl"), repeat=2):  # pairs of equal types tell only the sum
        assert "from_k" not in rows[ctk, ctv] and "share_k" not in rows[ctk, ctv]


def seconds(tables: Tables, pair: str, phase: str, start: int, end: int) -> float:
    times = {row["depth"]: 1 / row["tokens_per_second"] for row in tables["speed"]
             if name_of(row) == pair and row["phase"] == phase}  # fmt: skip
    places = sorted({start, end, *(depth for depth in times if start < depth < end)})
    return float(
        integrate.trapezoid(np.interp(places, sorted(times), [times[d] for d in sorted(times)]), places)
    )


@pytest.mark.parametrize("name", ["long-chat", "short-answers"])
def test_advice_of_one_round_tells_nobody_apart(tables: Tables, name: str) -> None:
    work = recorded_study.WORKLOADS[name]
    depth, prompt, answer = (work[key] for key in ("depth", "prompt_tokens", "generated_tokens"))
    rows = {name_of(row): row for row in tables["advice"] if row["workload"] == name}
    requests = {}
    for pair, row in rows.items():
        requests[pair] = seconds(tables, pair, "prefill", depth, depth + prompt)
        requests[pair] += seconds(tables, pair, "decode", depth + prompt, depth + prompt + answer)
        assert row["request_seconds"] == pytest.approx(requests[pair], rel=1e-6)
        value, half = summed({pair: 1.0}, 1024)
        over, under = value - half > work["highest_kld"], value + half <= work["highest_kld"]
        expected = "not feasible" if over else "not told from the best" if under else "undecided"
        assert row["verdict"] == expected
    ranked = [
        pair for pair in sorted(rows, key=lambda pair: rows[pair].get("rank", 99)) if "rank" in rows[pair]
    ]
    assert ranked == sorted(ranked, key=requests.__getitem__) and len(ranked) > 1


# --- made up: rounds, ties, failures, one window ------------------------------------------------------------

RATES = {  # tokens/s in three rounds; q5_1 is as fast as f16 to the last bit
    "f16": (80.0, 70.0, 75.0), "q5_1": (80.0, 70.0, 75.0), "q8_0": (79.0, 69.9, 74.8), "q5_0": (60.0, 53.0, 56.0),
    "q4_0": (78.0, 71.0, 72.0), "q4_1": (81.0, 69.0, 76.0),
}  # fmt: skip
TEXT = np.array([0.8, 1.3, 1.0, 0.9])


@pytest.fixture(scope="module")
def made_up() -> tuple[list[Row], list[Row]]:
    throughput = [
        row
        for pair, rates in RATES.items()
        for depth, phase in product((0, 1024), ("prefill", "decode"))
        for row in rounds_at(pair, pair, [rate / (1 + depth / 4096) for rate in rates], depth, phase)
    ]
    # q4_1 ran out of memory at depth, in every round; q4_0's second round there ended early.
    throughput = [
        unmeasured(row, "oom", "no memory") if row["ctk"] == "q4_1" and row["depth"]
        else unmeasured(row, "timeout", "no end") if row["ctk"] == "q4_0" and row["depth"] and row["round"] == 2
        else row
        for row in throughput
    ]  # fmt: skip
    damage = {"f16": 0.0, "q8_0": 0.001, "q5_1": 0.002, "q5_0": 0.002, "q4_0": 0.004, "q4_1": 0.004}
    quality = [
        quality_row(pair, pair, kld, kld_windows=list(kld * TEXT), kld_window_rounding=None)
        for pair, kld in damage.items()
    ]
    # One window: no spread between windows.
    quality[3] |= {"kld_windows": [0.002], "kld_mean_stderr": 1e-4}
    return over_rounds(throughput), quality


def over_three(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def test_ratios_of_rounds_and_their_q_values(made_up: tuple[list[Row], list[Row]]) -> None:
    """Each ratio has its own interval; faster or slower is told among all of its phase."""
    of_phase: dict[str, list[tuple[Row, float, str]]] = {"prefill": [], "decode": []}
    for row in speeds(made_up[0]):
        pair, depth = row["ctk"], row["depth"]
        if pair == "q4_1" and depth:
            assert (
                row["ratio"] is row["tokens_per_second"] is row["verdict"] is None and row["status"] == "oom"
            )
            continue
        if pair == "f16":
            continue
        kept = [0, 2] if pair == "q4_0" and depth else [0, 1, 2]
        logs = np.log(np.array(RATES[pair])[kept] / np.array(RATES["f16"])[kept])
        assert row["ratio_rounds"] == [one + 1 for one in kept]
        if pair == "q5_1":  # equal to the last bit: nothing was measured twice
            assert (row["ratio"], row["ratio_low"], row["verdict"]) == (1.0, None, "error unknown")
            assert row["q_value"] is None
            continue
        low, high = np.exp(over_three(logs))
        assert (row["ratio_low"], row["ratio_high"]) == pytest.approx((low, high))
        t = abs(logs.mean()) / stats.sem(logs)
        told = "faster" if low > 1 else "slower" if high < 1 else "no difference shown"
        of_phase[row["phase"]].append((row, 2 * stats.t.sf(t, len(kept) - 1), told))
    for found in of_phase.values():
        rows, p, own = zip(*found, strict=True)
        q = stats.false_discovery_control(p)
        assert [row["p_value"] for row in rows] == pytest.approx(list(p), rel=1e-6)
        assert [row["q_value"] for row in rows] == pytest.approx(list(q), rel=1e-6)
        among_many = [
            told if one <= 0.05 else "no difference shown" for told, one in zip(own, q, strict=True)
        ]
        assert [row["verdict"] for row in rows] == among_many


def test_duels_of_rounds_and_their_q_values(made_up: tuple[list[Row], list[Row]]) -> None:
    duels = head_to_head(*made_up, [model_row()])
    for quantity in ("prefill", "decode", "kld_mean"):
        own = [row for row in duels if row["quantity"] == quantity]
        expected = []
        for row in own:
            if quantity == "kld_mean":
                both = [next(q for q in made_up[1] if q["ctk"] == row[side]) for side in ("pair_a", "pair_b")]
                a, b = (np.array(one["kld_windows"]) for one in both)
                if len(a) == len(b):
                    spread, freedom = stats.sem(a - b), len(a) - 1.0
                else:  # a single window has no error, and its duel no winner
                    assert 1 in (len(a), len(b)) and row["verdict"] == "error unknown"
                    assert row.get("q_value") is row.get("winner") is None
                    continue
                beyond = max(abs(row["difference"]) - 1e-6, 0)
                t = beyond / spread if beyond else 0.0
            else:
                kept = [0, 2] if "q4_0" in (row["pair_a"], row["pair_b"]) and row["depth"] else [0, 1, 2]
                logs = np.log(np.array(RATES[row["pair_a"]])[kept] / np.array(RATES[row["pair_b"]])[kept])
                freedom = len(kept) - 1.0
                if not logs.any():  # equal to the last bit
                    assert row["verdict"] == "error unknown" and row["q_value"] is None
                    continue
                t = abs(logs.mean()) / stats.sem(logs)
            expected.append(2 * stats.t.sf(t, freedom))
        own = [row for row in own if row["verdict"] != "error unknown"]
        assert own and [row["p_value"] for row in own] == pytest.approx(expected, rel=1e-6)
        assert [row["q_value"] for row in own] == pytest.approx(list(stats.false_discovery_control(expected)))


def test_who_is_not_told_from_the_best(made_up: tuple[list[Row], list[Row]]) -> None:
    """Hsu's set with Bonferroni's share, within rounds; who ran out of memory is out of the question."""
    work = {
        "w": {"title": "work", "depth": 0, "prompt_tokens": 512, "generated_tokens": 256, "highest_kld": 0.01}
    }
    rows = {row["ctk"]: row for row in advice(*made_up, [model_row()], parse_workloads(work).values())}
    assert rows["q4_1"]["verdict"] in ("not feasible", "no data") and rows["q4_1"].get("rank") is None

    def of_rounds(pair: str) -> np.ndarray:
        """Seconds of the request: time grows on a line from depth 0 to 1024, by a quarter."""
        kept = [0, 2] if pair == "q4_0" else [0, 1, 2]
        return np.array(
            [(512 * (1 + 256 / 4096) + 256 * (1 + 640 / 4096)) / RATES[pair][one] for one in kept]
        )

    requests = {pair: of_rounds(pair) for pair in RATES if pair != "q4_1"}

    def told_quicker(a: str, b: str) -> bool:
        kept = [0, 1] if "q4_0" in (a, b) else [0, 1, 2]
        ours, theirs = (requests[p] if len(requests[p]) == len(kept) else requests[p][[0, 2]] for p in (a, b))
        centre = np.exp(np.log(requests[b]).mean()) - np.exp(np.log(requests[a]).mean())
        return bool(centre > stats.t.ppf(1 - 0.05 / 4, len(kept) - 1) * stats.sem(theirs - ours))

    ranked = sorted(requests, key=lambda pair: np.log(requests[pair]).mean())
    best = {b for b in ranked if not any(told_quicker(a, b) for a in ranked[: ranked.index(b)])}
    assert {
        pair for pair, row in rows.items() if row["verdict"] in ("pick", "not told from the best")
    } == best
    assert {"f16", "q5_1"} <= best and "q5_0" not in best


def test_ties_beat_nobody_on_the_front(made_up: tuple[list[Row], list[Row]]) -> None:
    rows = {row["ctk"]: row for row in pareto(*made_up, [model_row()], depth=0)}
    assert rows["f16"]["on_front"]  # the least divergence
    assert "q5_1" not in rows["q8_0"]["dominated_by"] and rows["q5_0"]["on_front"]
    for a, b in combinations(rows, 2):
        assert not (b in rows[a]["dominated_by"] and a in rows[b]["dominated_by"])


def test_equal_speeds_do_not_cross(made_up: tuple[list[Row], list[Row]]) -> None:
    rows = [row for row in crossovers(made_up[0]) if {row["pair_a"], row["pair_b"]} == {"f16", "q5_1"}]
    assert (
        rows
        and {row["verdict"] for row in rows} == {"none"}
        and {row["ahead_before"] for row in rows} == {None}
    )
