"""Every published number beside one of ours, recomputed from the published files with numpy and scipy."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.across import across
from kvsweep.analysis.comparisons import compare
from kvsweep.analysis.schemas import ACROSS, COMPARISONS
from kvsweep.analysis.speed import over_rounds
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import read_published
from scipy import stats
from support import ROOT
from synthetic_tables import quality_row, rounds_at

Row = dict[str, Any]
PLACE = ROOT / "resources" / "published"


def lines_of(file: str) -> list[dict[str, str]]:
    with (PLACE / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def half_digit(text: str) -> float:
    return 0.5 / 10 ** len(text.partition(".")[2])


def beside(rows: list[Row]) -> list[Row]:
    return list(as_table(compare(rows), COMPARISONS).to_pylist())


def ends_of(ratio: float, half: float) -> Any:
    """``half``: of the interval of the ratio's logarithm."""
    return pytest.approx((ratio * np.exp(-half), ratio * np.exp(half)))


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_every_published_rate(rounds: int) -> None:
    chance = np.random.default_rng(rounds)
    printed = {
        (line["ctk"], line["ctv"], int(line["depth"]), line["phase"]): line["tokens_per_second"]
        for line in lines_of("throughput.csv")
    }
    rates = {cell: 50 * np.exp(chance.normal(0, 0.05, rounds)) for cell in printed}
    ours = [row for cell, own in rates.items() for row in rounds_at(*cell[:2], own.tolist(), *cell[2:])]
    rows = beside([*over_rounds([*ours, *read_published(PLACE).throughput])])
    assert len(rows) == len(printed)
    for row in rows:
        cell = row["ctk"], row["ctv"], row["depth"], row["phase"]
        text, logs = printed[cell], np.log(rates[cell])
        assert row["ours"] == pytest.approx(np.exp(logs.mean()))
        if not text:  # it did not fit
            assert row["theirs"] is row["ratio"] is None and row["their_status"] in ("oom", "skipped")
            continue
        ratio = np.exp(logs.mean()) / float(text)
        assert (row["theirs"], row["ratio"]) == pytest.approx((float(text), ratio))
        if rounds == 1:
            assert row["ratio_low"] is row["ratio_high"] is None
            continue
        # A printed digit is a bound: it is added to the interval of ours, relative to the number.
        half = stats.t.ppf(0.975, rounds - 1) * stats.sem(logs) + half_digit(text) / float(text)
        assert (row["ratio_low"], row["ratio_high"]) == ends_of(ratio, half)


def test_every_published_speed_relative_to_its_f16() -> None:
    """The same rule as for the rates themselves: a printed digit is added, of both numbers that make the ratio."""
    chance = np.random.default_rng(3)
    printed = {
        (line["depth"], line["phase"], line["ctk"], line["ctv"]): line["tokens_per_second"]
        for line in lines_of("throughput.csv")
        if line["source"] == "m5max-part2"
    }
    rates = {cell: 50 * np.exp(chance.normal(0, 0.05, 3)) for cell in printed}
    ours = [
        row
        for (depth, phase, ctk, ctv), own in rates.items()
        for row in rounds_at(ctk, ctv, own.tolist(), int(depth), phase)
    ]
    theirs = [row for row in read_published(PLACE).throughput if row["source"] == "published:m5max-part2"]
    rows = as_table(across(over_rounds([*ours, *theirs]), []), ACROSS).to_pylist()
    compared = {cell for cell, text in printed.items() if text and printed.get((*cell[:2], "f16", "f16"))}
    compared = {cell for cell in compared if cell[2:] != ("f16", "f16")}
    assert len(rows) == len(compared) == 12
    for row in rows:
        place, pair = (str(row["depth"]), row["phase"]), (row["ctk"], row["ctv"])
        texts = [printed[*place, *one] for one in (pair, ("f16", "f16"))]
        logs = np.log(rates[*place, *pair] / rates[*place, "f16", "f16"])
        ratio = np.exp(logs.mean()) / (float(texts[0]) / float(texts[1]))
        digits = sum(half_digit(text) / float(text) for text in texts)
        half = stats.t.ppf(0.975, 2) * stats.sem(logs) + digits
        assert row["ratio"] == pytest.approx(ratio)
        assert (row["ratio_low"], row["ratio_high"]) == ends_of(ratio, half)


@pytest.mark.parametrize("method", ["scorer", "perplexity"])
def test_every_published_quality(method: str) -> None:
    chance = np.random.default_rng(7)
    printed = {(line["n_ctx"], line["ctk"], line["ctv"]): line for line in lines_of("quality.csv")}
    windows = {cell: 0.01 * np.exp(chance.normal(0, 0.3, 16)) for cell in printed}
    ours = [
        quality_row(ctk, ctv, float(own.mean()), n_ctx=int(n_ctx), method=method, chunks=16,
                    kld_windows=own.tolist(), kld_window_rounding=None, ppl=6.0, ppl_stderr=0.03,
                    top1_agreement=0.96, top1_agreement_stderr=0.002)
        for (n_ctx, ctk, ctv), own in windows.items()
    ]  # fmt: skip
    rows = beside([*ours, *read_published(PLACE).quality])
    quantities = ("ppl", "kld_mean", "top1_agreement")
    assert len(rows) == sum(bool(line[of]) for line in printed.values() for of in quantities)
    for row in rows:
        cell = str(row["n_ctx"]), row["ctk"], row["ctv"]
        text = printed[cell][row["quantity"]]
        measured = {"kld_mean": windows[cell].mean(), "ppl": 6.0, "top1_agreement": 0.96}[row["quantity"]]
        assert (row["ours"], row["theirs"]) == pytest.approx((measured, float(text)))
        assert row["ratio"] == pytest.approx(measured / float(text))
        own = windows[cell]
        error, digit = {
            "kld_mean": (stats.t.ppf(0.975, 15) * stats.sem(own), 5e-7),
            "ppl": (stats.norm.ppf(0.975) * 0.03, 5e-7),
            "top1_agreement": (stats.norm.ppf(0.975) * 0.002, 5e-6),
        }[row["quantity"]]
        # llama-perplexity prints six decimals, of which half a digit is a bound, too.
        error += digit if method == "perplexity" else 0.0
        half = error / row["ours"] + half_digit(text) / float(text)
        assert (row["ratio_low"], row["ratio_high"]) == ends_of(row["ratio"], half)
