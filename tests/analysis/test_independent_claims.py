"""Claims and crossings over several rounds, recomputed with numpy and scipy, without kvsweep's functions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from claims_again import FAILS, HOLDS, NO_DATA, about, decided, order
from kvsweep.analysis.claims import evaluate
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.speed import over_rounds
from scipy import optimize, stats
from synthetic_tables import quality_row, rounds_at

Row = dict[str, Any]
K = 1024


# --- claims -------------------------------------------------------------------------------------------------


class Rates:
    """Rates (tokens/s) by pair, depth and phase in four rounds, a round as a whole slower or faster."""

    def __init__(self, seed: int, spread: float, rounds: int = 4) -> None:
        chance = np.random.default_rng(seed)
        rounds_alike = np.exp(chance.normal(0, 0.1, rounds))
        true = {
            ("turbo3", 64): (0.99, 1.0), ("q8_0", 64): (1.0, 1.0), ("q8_0/turbo4", 64): (0.985, 1.0),
            ("q8_0/turbo3", 64): (1.015, 1.0), ("turbo3", 128): (1.05, 1.0), ("q8_0", 128): (1.0, 1.0),
            ("turbo3", 256): (1.27, 0.9), ("turbo4", 256): (1.0, 1.0), ("q8_0/turbo4", 256): (1.01, 1.0),
            ("q8_0", 256): (1.0, 1.015),
        }  # fmt: skip
        self.of = {
            (pair, depth * K, phase): 100 * rate * rounds_alike * np.exp(chance.normal(0, spread, rounds))
            for (pair, depth), both in true.items()
            for phase, rate in zip(("prefill", "decode"), both, strict=True)
        }

    def rows(self) -> list[Row]:
        rows = []
        for (pair, depth, phase), rates in self.of.items():
            ctk, _, ctv = pair.partition("/")
            rows += rounds_at(ctk, ctv or ctk, list(rates), depth, phase)
        return over_rounds(rows)

    def faster(self, a: str, b: str, depth: int, phase: str) -> tuple[float, float]:
        """By which fraction a is faster than b, and the larger side of its interval."""
        logs = np.log(self.of[a, depth * K, phase] / self.of[b, depth * K, phase])
        half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
        middle = np.exp(logs.mean())
        return float(middle - 1), float(
            max(middle - np.exp(logs.mean() - half), np.exp(logs.mean() + half) - middle)
        )

    def verdicts(self) -> dict[int, str]:
        def near(a: str, b: str, depth: int, phase: str) -> str:
            return about(*self.faster(a, b, depth, phase), 0.0, 0.02)

        return {
            5: decided(*(near("q8_0/turbo4", "q8_0", 256, phase) for phase in ("prefill", "decode"))),
            9: near("turbo3", "q8_0", 64, "prefill"),
            10: decided(
                order(*self.faster("turbo3", "q8_0", 128, "prefill"), 1),
                order(*self.faster("turbo3", "q8_0", 64, "prefill"), -1),
            ),
            11: decided(*(near(pair, "q8_0", 64, "prefill") for pair in ("q8_0/turbo4", "q8_0/turbo3"))),
            12: decided(
                about(*self.faster("turbo3", "turbo4", 256, "prefill"), 0.27, 0.005),
                about(*self.faster("turbo4", "turbo3", 256, "decode"), 0.11, 0.005),
            ),
        }


def test_claims_about_speed_over_rounds() -> None:
    seen = set()
    for seed, spread in enumerate((0.0005, 0.002, 0.005, 0.01, 0.03)):
        rates = Rates(seed, spread)
        found = {row["claim"]: row for row in evaluate(rates.rows(), [])}
        expected = rates.verdicts()
        assert {number: found[number]["verdict"] for number in expected} == expected
        value, error = rates.faster("turbo3", "q8_0", 64, "prefill")
        assert found[9]["value"] == pytest.approx(value)
        assert found[9]["tolerance"] == pytest.approx(0.02 + error, rel=1e-6)
        seen |= set(expected.values())
    assert seen == {HOLDS, FAILS, NO_DATA}


@pytest.mark.parametrize(("times", "spread"), [(12.0, 0.01), (12.0, 0.3), (14.0, 0.05)])
def test_the_claim_about_divergence_window_by_window(times: float, spread: float) -> None:
    chance = np.random.default_rng(1)
    hard = np.exp(chance.normal(0, 0.5, 16))
    windows = {
        name: kld * hard * np.exp(chance.normal(0, spread, 16))
        for name, kld in (("q8_0", 0.01), ("turbo3", 0.01 * times))
    }
    rows = [
        quality_row(
            name, name, float(own.mean()), n_ctx=4096, kld_windows=own.tolist(), kld_window_rounding=None
        )
        for name, own in windows.items()
    ]
    a, b = windows["turbo3"], windows["q8_0"]
    ratio = a.mean() / b.mean()
    # To first order; each mean is off by half a printed digit at most.
    half = stats.t.ppf(0.975, 15) * stats.sem(a / a.mean() - b / b.mean()) + 5e-7 / a.mean() + 5e-7 / b.mean()
    (row,) = (row for row in evaluate([], rows) if row["claim"] == 3)
    assert row["value"] == pytest.approx(ratio)
    assert row["tolerance"] == pytest.approx(0.5 + ratio * half, rel=1e-5)
    assert row["verdict"] == about(ratio, ratio * half, 12.0, 0.5)


# --- crossings ----------------------------------------------------------------------------------------------

DEPTHS = np.array([0, 2048, 4096, 16384, 32768])


def drawn(seed: int, spread: float, *curves: Any, rounds: int = 4) -> tuple[list[Row], list[np.ndarray]]:
    """Cells of f16 and q8_0 with these seconds per token by depth, and their times: a row a round, a column a depth."""
    chance = np.random.default_rng(seed)
    slow = np.exp(chance.normal(0, 0.1, (rounds, 1)))
    times = [curve * slow * np.exp(chance.normal(0, spread, (rounds, len(DEPTHS)))) for curve in curves]
    rows = [
        row
        for pair, own in zip(("f16", "q8_0"), times, strict=True)
        for depth, column in zip(DEPTHS.tolist(), own.T, strict=True)
        for row in rounds_at(pair, pair, (1 / column).tolist(), depth)
    ]
    return crossovers(over_rounds(rows)), times


def half_of(weights: np.ndarray, stderrs: np.ndarray, freedom: int) -> float:
    """Half of the interval of a weighted sum of independent differences, by Welch and Satterthwaite."""
    parts = (weights * stderrs) ** 2
    return float(stats.t.ppf(0.975, parts.sum() ** 2 / (parts**2 / freedom).sum()) * np.sqrt(parts.sum()))


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_of_a_crossing_holds_where_the_fitted_difference_is_not_told_from_0(seed: int) -> None:
    (row,), (a, b) = drawn(seed, 0.01, 0.010 + 1e-6 * DEPTHS, 0.012 + 7.5e-7 * DEPTHS)
    means = [np.exp(np.log(times).mean(axis=0)) for times in (a, b)]
    apart, stderrs = means[0] - means[1], stats.sem(a - b)
    design = np.stack([np.ones(len(DEPTHS)), DEPTHS], axis=1)
    weights = 1 / (means[0] + means[1]) ** 2
    solve = np.linalg.solve(design.T @ (weights[:, None] * design), design.T * weights)
    start, slope = solve @ apart

    def beyond(depth: float) -> float:
        """Negative where the line's value is not told from 0."""
        return abs(start + slope * depth) - half_of(solve[0] + solve[1] * depth, stderrs, len(a) - 1)

    depth = -start / slope
    low, high = (
        end if beyond(end) <= 0 else optimize.brentq(beyond, depth, end) for end in (DEPTHS[0], DEPTHS[-1])
    )
    assert row["depth"] == pytest.approx(depth)
    assert (row["depth_low"], row["depth_high"]) == pytest.approx((low, high), rel=1e-4)
    assert row["verdict"] == (
        "crosses" if low > DEPTHS[0] and high < DEPTHS[-1] else "crosses within the errors"
    )
    assert (row["ahead_before"], row["ahead_after"]) == ("f16", "q8_0")


def test_two_crossings_that_the_rounds_show_lie_between_depths_with_another_order() -> None:
    base = 0.010 + 1e-6 * DEPTHS
    found, (a, b) = drawn(1, 1e-4, base, base * np.array([1.05, 1.03, 0.95, 0.96, 1.04]))
    apart = np.exp(np.log(a).mean(axis=0)) - np.exp(np.log(b).mean(axis=0))
    stderrs = stats.sem(a - b)
    assert (np.abs(apart) > stats.t.ppf(0.975, len(a) - 1) * stderrs).all()
    changes = [i for i, (one, other) in enumerate(pairwise(apart)) if one * other < 0]
    assert [row["number"] for row in found] == [1, 2] and changes == [1, 3]
    for row, left in zip(found, changes, strict=True):
        ends = DEPTHS[left], DEPTHS[left + 1]
        depth = ends[0] - apart[left] * (ends[1] - ends[0]) / (apart[left + 1] - apart[left])
        assert row["depth"] == pytest.approx(depth)
        assert (row["between_low"], row["between_high"]) == ends
        assert row["depth_low"] < depth < row["depth_high"] and row["verdict"] == "crosses"
