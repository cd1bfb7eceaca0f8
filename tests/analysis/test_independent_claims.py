"""Claims over several rounds, recomputed with numpy and scipy, without kvsweep's functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from claims_again import FAILS, HOLDS, NO_DATA, about, decided, order
from kvsweep.analysis.claims import evaluate
from kvsweep.analysis.speed import over_rounds
from scipy import stats
from synthetic_tables import quality_row, rounds_at

Row = dict[str, Any]
K = 1024


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
