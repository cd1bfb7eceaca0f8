"""Crossings with their depths, intervals and rates of false discoveries, recomputed with numpy and scipy alone.

Of the recorded study from its raw files (one round), of the published numbers from their file, and of made-up cells
with rounds, of which some are missing.
"""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recorded_study
from crossings_again import Crossing, crossings, differences
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.pair_schemas import CROSSOVERS
from kvsweep.analysis.speed import over_rounds
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import read_published
from recomputed import SUBJECT, Tables
from scipy import stats
from support import ROOT
from synthetic_tables import rounds_at

PUBLISHED = ROOT / "resources" / "published"
Row = dict[str, Any]
Times = dict[str, np.ndarray]  # by pair: seconds per token, a row a round, a column a depth


def check(rows: list[Row], times: Times, depths: np.ndarray, bounds: Times | None = None) -> set[str]:
    """Every row of the table of one phase; returns its verdicts. ``bounds``: by pair and depth, of published times."""
    off = bounds or dict.fromkeys(times, np.zeros(len(depths)))
    expected: list[tuple[Row, Crossing | None, float]] = []
    for a, b in combinations(times, 2):
        own = [row for row in rows if (row["pair_a"], row["pair_b"]) == (a, b)]
        found = differences(times[a], times[b], depths, off[a] + off[b])
        assert own and all(row["depths"] == found.depths.tolist() for row in own)
        if len(found.depths) < 2:
            assert [row["verdict"] for row in own] == ["too few depths"]
            continue
        lines = crossings(found)
        assert [row.get("number") for row in own] == [n + 1 for n in range(len(lines))] or [None]
        expected += zip(own, lines, (one.p for one in lines), strict=True) if lines else [(own[0], None, 1.0)]
    p = np.array([p for _, _, p in expected])
    q = np.full(len(p), np.nan)
    q[~np.isnan(p)] = stats.false_discovery_control(p[~np.isnan(p)])
    for (row, line, _), one in zip(expected, q, strict=True):
        check_row(row, line, one, depths)
    assert len(rows) >= len(expected)
    return {row["verdict"] for row in rows}


def check_row(row: Row, line: Crossing | None, q: float, depths: np.ndarray) -> None:
    if line is None:
        assert row["verdict"] == "none" and row.get("depth") is row.get("q_value") is None
        return
    assert row["depth"] == pytest.approx(line.depth, rel=1e-6, abs=1e-3)
    order = (row["pair_a"], row["pair_b"])
    assert (row["ahead_after"], row["ahead_before"]) == (order if line.is_slower_before else order[::-1])
    assert row["between_low"] <= line.depth <= row["between_high"]
    assert not (
        (depths > row["between_low"]) & (depths < row["between_high"]) & np.isin(depths, row["depths"])
    ).any()
    if np.isnan(line.p):
        assert row["verdict"] == "crosses, errors unknown"
        assert row.get("depth_low") is row.get("p_value") is row.get("q_value") is None
        return
    assert (row["depth_low"], row["depth_high"]) == pytest.approx((line.low, line.high), rel=1e-6, abs=1e-3)
    assert (row["p_value"], row["q_value"]) == pytest.approx((line.p, q), rel=1e-6)
    inside = line.low > min(row["depths"]) and line.high < max(row["depths"])
    assert row["verdict"] == "crosses" or not inside or q > 0.05
    if row["verdict"] == "crosses":
        assert q <= 0.05 and line.low > row["depths"][0] and line.high < row["depths"][-1]


# --- the recorded study -------------------------------------------------------------------------------------


def seconds_per_token(pair: str, phase: str, depth: int, dropped: bool) -> float:
    """The mean of what llama-bench printed, without the first repetition where that does not count."""
    ctk, _, ctv = pair.partition("/")
    place = Path(f"d{depth}", f"k-{ctk}", f"v-{ctv or ctk}")
    lines = (recorded_study.RESULTS / "throughput" / SUBJECT / place / "bench.jsonl").read_text().splitlines()
    (test,) = (one for one in map(json.loads, lines) if (one["n_gen"] > 0) == (phase == "decode"))
    return float(np.mean(test["samples_ns"][int(dropped) :])) / 1e9 / (test["n_gen"] or test["n_prompt"])


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_crossings_of_the_recorded_study(tables: Tables, phase: str) -> None:
    dropped = {
        row.get("depth") for row in tables["repetitions"] if row["phase"] == phase and row["first_dropped"]
    }
    depths = np.array(recorded_study.DEPTHS)
    rows = [row for row in tables["crossovers"] if row["phase"] == phase]
    pairs = dict.fromkeys(row[side] for row in rows for side in ("pair_a", "pair_b"))
    assert set(pairs) == set(recorded_study.PAIRS)
    times = {
        pair: np.array([[seconds_per_token(pair, phase, int(depth), depth in dropped) for depth in depths]])
        for pair in pairs
    }
    assert check(rows, times, depths) == {"none", "crosses, errors unknown"}


# --- published numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_crossings_of_what_was_published(phase: str) -> None:
    with (PUBLISHED / "throughput.csv").open(encoding="utf-8", newline="") as file:
        lines = [
            line for line in csv.DictReader(file) if (line["phase"], line["status"]) == (phase, "measured")
        ]
    depths = np.unique([int(line["depth"]) for line in lines])
    times: Times = {}
    bounds: Times = {}
    for line in lines:
        pair = line["ctk"] if line["ctk"] == line["ctv"] else f"{line['ctk']}/{line['ctv']}"
        at, text = list(depths).index(int(line["depth"])), line["tokens_per_second"]
        times.setdefault(pair, np.full((1, len(depths)), np.nan))[0, at] = 1 / float(text)
        digits = len(text.partition(".")[2])
        bounds.setdefault(pair, np.full(len(depths), np.nan))[at] = 0.5 / 10**digits / float(text) ** 2
    rows = as_table(crossovers(over_rounds(read_published(PUBLISHED).throughput)), CROSSOVERS).to_pylist()
    found = check([row for row in rows if row["phase"] == phase], times, depths, bounds)
    assert "crosses, errors unknown" not in found and ("crosses" in found or phase == "decode")


# --- rounds -------------------------------------------------------------------------------------------------

DEPTHS = np.array([0, 2048, 4096, 16384, 32768])
CURVES = {
    "f16": 0.010 + 1e-6 * DEPTHS,
    "q8_0": 0.012 + 7.5e-7 * DEPTHS,
    "q5_1": 0.0125 + 8e-7 * DEPTHS,
    "q5_0": (0.010 + 1e-6 * DEPTHS) * [1.2, 0.8, 1.2, 0.8, 1.2],  # on no line
    "q4_1": 0.030 + 1e-6 * DEPTHS,
    "q4_0": 0.0115 + 9e-7 * DEPTHS,
}


def drawn(seed: int, rounds: int, spread: float) -> Times:
    """Seconds per token, of which some are missing: single rounds, and every round of a depth."""
    chance = np.random.default_rng(seed)
    slow = np.exp(chance.normal(0, 0.1, (rounds, 1)))
    times = {
        pair: curve * slow * np.exp(chance.normal(0, spread, (rounds, len(DEPTHS))))
        for pair, curve in CURVES.items()
    }
    times["q4_1"][:, [0, 1, 3, 4]] = np.nan
    times["q5_1"][:, 2] = np.nan
    times["q4_0"][0, 1] = np.nan
    times["q8_0"][rounds - 1, 3] = np.nan
    times["iq4_nl"] = times["q8_0"] * 0.99  # the same in every round but for a factor
    return times


@pytest.mark.parametrize("spread", [1e-4, 0.003, 0.03, 0.2])
@pytest.mark.parametrize("rounds", [1, 2, 3, 6])
def test_crossings_over_rounds(rounds: int, spread: float) -> None:
    times = drawn(rounds, rounds, spread)
    rows = [
        row
        for pair, own in times.items()
        for depth, column in zip(DEPTHS.tolist(), own.T, strict=True)
        for row in rounds_at(pair, pair, (1 / np.nan_to_num(column, nan=1.0)).tolist(), depth)
        if not np.isnan(column[row["round"] - 1])
    ]
    table = as_table(crossovers(over_rounds(rows)), CROSSOVERS).to_pylist()
    verdicts = check(table, times, DEPTHS)
    assert "too few depths" in verdicts
    if rounds == 1:
        assert verdicts <= {"too few depths", "none", "crosses, errors unknown"}
    if rounds > 2 and spread < 0.01:
        assert "crosses" in verdicts
