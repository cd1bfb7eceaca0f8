"""The answers about quality and speed, recomputed from the raw files with numpy and scipy, without kvsweep's functions.

What is read here is what llama-perplexity and llama-bench printed; what is compared are the tables.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import recorded_study
from recomputed import ROUNDING, SUBJECT, Tables, half_of_interval, ln_ppl_ratios, printed
from scipy import stats


@pytest.mark.parametrize("n_ctx", recorded_study.CONTEXTS)
def test_every_duel_of_divergences(tables: Tables, n_ctx: int) -> None:
    duels = [row for row in tables["head_to_head"] if row["quantity"] == "kld_mean" and row["n_ctx"] == n_ctx]
    assert duels
    for row in duels:
        (a, _, mean_a, _), (b, _, mean_b, _) = (printed(row[side], n_ctx) for side in ("pair_a", "pair_b"))
        half = half_of_interval(a - b, ROUNDING[len(a)] * np.sqrt(2), 1e-6)
        assert row["difference"] == pytest.approx(mean_a - mean_b, abs=1e-12)
        assert row["difference_low"] == pytest.approx(mean_a - mean_b - half, rel=1e-5, abs=1e-11)
        assert row["difference_high"] == pytest.approx(mean_a - mean_b + half, rel=1e-5, abs=1e-11)


@pytest.mark.parametrize("n_ctx", recorded_study.CONTEXTS)
def test_every_duel_of_agreements(tables: Tables, n_ctx: int) -> None:
    duels = [
        row for row in tables["head_to_head"] if row["quantity"] == "top1_agreement" and row["n_ctx"] == n_ctx
    ]
    assert duels
    for row in duels:
        a, b = (printed(row[side], n_ctx)[1] for side in ("pair_a", "pair_b"))
        half = half_of_interval(a - b, 0.0, 1e-5)
        assert (row["difference_high"] - row["difference_low"]) / 2 == pytest.approx(half, rel=1e-5)


@pytest.mark.parametrize("n_ctx", recorded_study.CONTEXTS)
def test_every_duel_of_perplexities_by_their_paired_logarithms(tables: Tables, n_ctx: int) -> None:
    duels = [
        row for row in tables["head_to_head"] if row["quantity"] == "ln_ppl_ratio" and row["n_ctx"] == n_ctx
    ]
    assert duels
    for row in duels:
        (a, mean_a, _), (b, mean_b, _) = (ln_ppl_ratios(row[side], n_ctx) for side in ("pair_a", "pair_b"))
        half = half_of_interval(a - b, ROUNDING[len(a)] * np.sqrt(2), 1e-6)
        assert row["difference"] == pytest.approx(mean_a - mean_b, abs=1e-12)
        assert row["difference_low"] == pytest.approx(mean_a - mean_b - half, rel=1e-5, abs=1e-11)
        assert row["difference_high"] == pytest.approx(mean_a - mean_b + half, rel=1e-5, abs=1e-11)


def test_what_comes_from_k(tables: Tables) -> None:
    (row,) = [
        row for row in tables["k_or_v"] if (row["ctk"], row["ctv"], row["n_ctx"]) == ("f16", "q4_0", 1024)
    ]
    (v, _, mean_v, _), (control, _, mean_control, _) = (printed(pair, 1024) for pair in ("f16/q4_0", "f16"))
    half = half_of_interval(v - control, ROUNDING[len(v)] * np.sqrt(2), 1e-6)
    assert row["from_v"] == pytest.approx(mean_v - mean_control, abs=1e-12)
    assert row["from_v_high"] == pytest.approx(mean_v - mean_control + half, rel=1e-5)
    assert row["from_k"] == 0 and "share_k" not in row


def test_the_rates_of_false_discoveries(tables: Tables) -> None:
    for quantity in ("kld_mean", "top1_agreement", "ln_ppl_ratio"):
        duels = [row for row in tables["head_to_head"] if row["quantity"] == quantity]
        expected = stats.false_discovery_control([row["p_value"] for row in duels])
        assert [row["q_value"] for row in duels] == pytest.approx(list(expected))
        assert all(row["q_value"] <= 0.05 for row in duels if row["verdict"] == "better")


def test_speeds_are_tokens_over_mean_time(tables: Tables) -> None:
    dropped = {
        (row["phase"], row["depth"])
        for row in tables["repetitions"]
        if row["first_dropped"] and "depth" in row
    }
    for row in tables["speed"]:
        place = Path(f"d{row['depth']}", f"k-{row['ctk']}", f"v-{row['ctv']}")
        lines = (recorded_study.RESULTS / "throughput" / SUBJECT / place / "bench.jsonl").read_text()
        (test,) = [
            test
            for test in map(json.loads, lines.splitlines())
            if (test["n_gen"] > 0) == (row["phase"] == "decode")
        ]
        times = np.array(test["samples_ns"][(row["phase"], row["depth"]) in dropped :]) / 1e9
        assert row["tokens_per_second"] == pytest.approx(row["n_tokens"] / times.mean(), rel=1e-6)
        assert "tokens_per_second_low" not in row  # one round


def test_no_two_pairs_of_one_round_have_a_winner(tables: Tables) -> None:
    speeds = [row for row in tables["head_to_head"] if row["quantity"] in ("prefill", "decode")]
    assert speeds and {row["verdict"] for row in speeds} == {"one round"}
    assert len(list(combinations(recorded_study.PAIRS, 2))) >= len(
        {(r["pair_a"], r["pair_b"]) for r in speeds}
    )
