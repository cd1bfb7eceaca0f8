"""Claims about quality, memory and fallbacks, recomputed with numpy and scipy, without kvsweep's functions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from claims_again import FAILS, HOLDS, NO_DATA, about, decided, order
from kvsweep.analysis.claims import evaluate
from kvsweep.analysis.speed import over_rounds
from scipy import stats
from synthetic_tables import quality_row, rounds_at, throughput_row, unmeasured

Row = dict[str, Any]
K = 1024
TOKENS = 2047  # of a window that are scored


def verdicts_of(speeds: list[Row], quality: list[Row]) -> dict[int, Row]:
    return {row["claim"]: row for row in evaluate(over_rounds(speeds), quality)}


# --- quality: 1, 2 and 4 ------------------------------------------------------------------------------------


class Scores:
    """KL divergence, ln PPL ratio and agreement by window of four pairs; the text is as hard for all of them."""

    def __init__(self, seed: int, spread: float, windows: int) -> None:
        chance = np.random.default_rng(seed)
        hard = np.exp(chance.normal(0, 0.4, windows))

        def drawn(true: float, by: float = spread) -> np.ndarray:
            own: np.ndarray = true * hard * np.exp(chance.normal(0, by, windows))
            return own

        true = {"f16": 0.0, "q8_0": 0.0016, "turbo4": 0.009, "turbo3": 0.019}
        self.kld = {pair: drawn(kld) for pair, kld in true.items()}
        self.ln_ppl = {pair: drawn(0.55 * kld) for pair, kld in true.items()}
        lost = {"f16": 0.0, "q8_0": 0.014, "turbo4": 0.035, "turbo3": 0.064}
        self.right = {pair: np.round(TOKENS * (1 - drawn(share))) for pair, share in lost.items()}
        self.ppl_stderr = 0.03
        self.paired = {pair: (0.04 * kld / 0.0016, 0.4 * spread) for pair, kld in true.items()}

    def rows(self) -> list[Row]:
        return [
            quality_row(
                pair,
                pair,
                float(self.kld[pair].mean()),
                kld_windows=self.kld[pair].tolist(),
                kld_window_rounding=None,
                kld_mean_stderr=0.0004,
                ln_ppl_ratio=float(self.ln_ppl[pair].mean()),
                ln_ppl_ratio_windows=self.ln_ppl[pair].tolist(),
                ln_ppl_ratio_window_rounding=None,
                ln_ppl_ratio_stderr=0.0005,
                top1_agreement=float(self.right[pair].mean()) / TOKENS,
                top1_agreement_stderr=0.002,
                top1_windows=self.right[pair].astype(int).tolist(),
                window_tokens=TOKENS,
                ppl_stderr=self.ppl_stderr,
                ppl_difference=self.paired[pair][0],
                ppl_difference_stderr=self.paired[pair][1],
            )
            for pair in self.kld
        ]

    def half(self, *weighted: tuple[float, np.ndarray], half_digit: float) -> float:
        """Of a sum of means over windows; of a single window none is known."""
        windows = np.sum([weight * own for weight, own in weighted], axis=0)
        bound = half_digit * len(weighted)
        if len(windows) < 2:
            return float("inf")
        return float(stats.t.ppf(0.975, len(windows) - 1) * stats.sem(windows) + bound)

    def verdicts(self) -> dict[int, str]:
        value, stderr = self.paired["q8_0"]
        own = self.ln_ppl["turbo3"]
        ln_half = self.half((1, own), half_digit=5e-7)
        shares = {pair: right / TOKENS for pair, right in self.right.items()}

        def apart(of: dict[str, np.ndarray], a: str, b: str, **errors: float) -> tuple[float, float]:
            return float(of[a].mean() - of[b].mean()), self.half((1, of[a]), (-1, of[b]), **errors)

        lost = apart(shares, "q8_0", "turbo3", half_digit=5e-6)
        between = []
        for good, bad in pairwise(("q8_0", "turbo4", "turbo3")):
            between += [
                order(*apart(self.ln_ppl, bad, good, half_digit=5e-7), 1),
                order(*apart(self.kld, bad, good, half_digit=5e-7), 1),
                order(*apart(shares, good, bad, half_digit=5e-6), 1),
            ]
        return {
            1: about(value, stats.norm.ppf(0.975) * stderr, 0.0, self.ppl_stderr),
            2: decided(
                about(np.expm1(own.mean()), np.exp(own.mean()) * ln_half, 0.01, 0.005),
                about(*lost, 0.05, 0.005),
            ),
            4: decided(*between),
        }


@pytest.mark.parametrize("windows", [1, 4, 32])
def test_claims_about_quality_window_by_window(windows: int) -> None:
    seen: set[tuple[int, str]] = set()
    for seed, spread in enumerate((0.0, 0.01, 0.05, 0.2, 0.6)):
        scores = Scores(seed, spread, windows)
        found = {number: row["verdict"] for number, row in verdicts_of([], scores.rows()).items()}
        expected = scores.verdicts()
        assert {number: found[number] for number in expected} == expected
        seen |= set(expected.items())
    assert {number for number, _ in seen} == {1, 2, 4} and len(seen) >= 4


def test_pairs_that_are_equal_have_no_order() -> None:
    scores = Scores(0, 0.0, 8)
    scores.kld["turbo4"] = scores.kld["q8_0"]
    assert scores.verdicts()[4] == verdicts_of([], scores.rows())[4]["verdict"] == NO_DATA


def test_a_failed_cell_of_quality_decides_nothing() -> None:
    rows = [
        unmeasured(row, "oom", "no memory") if row["ctk"] == "turbo3" else row
        for row in Scores(1, 0.01, 8).rows()
    ]
    found = verdicts_of([], rows)
    assert {found[number]["verdict"] for number in (2, 3, 4)} == {NO_DATA}


# --- memory: 6 and 13 ---------------------------------------------------------------------------------------


def fitting(pair: str, depth: int, *statuses: str) -> list[Row]:
    ctk, _, ctv = pair.partition("/")
    rows = [
        throughput_row(ctk, ctv or ctk, depth * K, phase)
        for phase, _ in zip(("prefill", "decode"), statuses, strict=False)
    ]
    return [
        row if status == "measured" else unmeasured(row, status, "as it ended")
        for row, status in zip(rows, statuses, strict=True)
    ]


OUTCOMES = {("measured", "measured"): True, ("measured", "oom"): False, ("oom", "oom"): False, ("oom",): False,
            ("measured",): True, ("timeout", "timeout"): None, ("timeout", "oom"): False, (): None,
            ("measured", "crashed"): True}  # fmt: skip


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [*((one, ("oom", "oom")) for one in OUTCOMES), *((("measured", "measured"), one) for one in OUTCOMES)],
)
def test_what_fits(smaller: tuple[str, ...], larger: tuple[str, ...]) -> None:
    def as_stated(fits: bool | None, expected: bool) -> str:
        return NO_DATA if fits is None else HOLDS if fits is expected else FAILS

    rows = [*fitting("q8_0/turbo4", 512, *smaller), *fitting("q8_0", 512, *larger)]
    others = ("f16", "q8_0", "turbo4", "q8_0/turbo4", "q8_0/turbo3")
    rows += fitting("turbo3", 1024, *smaller)
    rows += [row for pair in others for row in fitting(pair, 1024, *larger)]
    if rows:
        found = verdicts_of(rows, [])
        expected = decided(as_stated(OUTCOMES[smaller], True), as_stated(OUTCOMES[larger], False))
        assert (found[6]["verdict"], found[13]["verdict"]) == (expected, expected)


# --- speed: 7 and 8 -----------------------------------------------------------------------------------------

DEPTHS = (0, 8, 32, 64, 128, 256, 512)


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_the_tighter_v_is_slower_at_every_depth_but_one(seed: int, rounds: int) -> None:
    chance = np.random.default_rng(seed)
    of: dict[str, dict[int, np.ndarray]] = {"q8_0/turbo4": {}, "q8_0/turbo3": {}}
    for depth in DEPTHS:
        slow = np.exp(chance.normal(0, 0.1, rounds))
        true = 1.0 if depth == 8 else 0.97 if seed else 1.02
        for pair, rate in (("q8_0/turbo4", 1.0), ("q8_0/turbo3", true)):
            of[pair][depth] = 80 * rate * slow * np.exp(chance.normal(0, max(0.002 * seed, 1e-5), rounds))
    rows = [
        row
        for pair, rates in of.items()
        for depth, own in rates.items()
        for row in rounds_at("q8_0", pair.removeprefix("q8_0/"), own.tolist(), depth * K)
    ]
    expected = []
    for depth in DEPTHS:
        logs = np.log(of["q8_0/turbo3"][depth] / of["q8_0/turbo4"][depth])
        if rounds == 1:
            expected.append(NO_DATA)
            continue
        half = stats.t.ppf(0.975, rounds - 1) * stats.sem(logs)
        middle = np.exp(logs.mean())
        value, error = (
            middle - 1,
            max(middle - np.exp(logs.mean() - half), np.exp(logs.mean() + half) - middle),
        )
        expected.append((FAILS if value < -error else HOLDS) if depth == 8 else order(value, error, -1))
    found = verdicts_of(rows, [])[7]
    assert found["verdict"] == decided(*expected)
    assert found["expected"] == len(expected) - expected.count(NO_DATA) or found["verdict"] == NO_DATA


@pytest.mark.parametrize(
    ("at_8", "at_64", "at_128", "fallback"),
    [
        (34.0, 50.0, 78.0, True), (34.0, 50.0, 78.0, None), (34.0, 50.0, 78.0, False), (40.0, 50.0, 78.0, True),
        (34.0, 20.0, 78.0, True), (34.0, None, 78.0, True), (None, 50.0, 78.0, None), (None, 50.0, None, True),
        (None, 20.0, None, True),
    ],
)  # fmt: skip
def test_the_fallback(
    at_8: float | None, at_64: float | None, at_128: float | None, fallback: bool | None
) -> None:
    rows, parts = [], []
    for depth, times, stated in ((8, at_8, 34.0), (64, at_64, None), (128, at_128, 78.0)):
        if times is None:
            continue
        rates = np.array([2000.0, 1990.0, 2010.0])
        rows += rounds_at("f16", "f16", rates.tolist(), depth * K, "prefill")
        rates = rates * [1.0, 1 + 1e-6, 1.0]
        rows += rounds_at("f16", "turbo4", (rates / times).tolist(), depth * K, "prefill", fallback=fallback)
        if stated:
            parts.append(about(times, 0.0, stated, 0.5))
        elif not 34 <= times <= 78:
            parts.append(FAILS)
        if fallback is False:
            parts.append(FAILS)
    parts += [NO_DATA for times in (at_8, at_128) if times is None]
    if rows:
        assert verdicts_of(rows, [])[8]["verdict"] == decided(*parts)
