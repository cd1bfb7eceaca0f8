"""Shipped slices recomputed from their raw files with numpy and scipy: how fast the cache is read, two set-ups beside
each other, parts by depth, and two methods on one cell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.across import across
from kvsweep.analysis.agreement import agreement
from kvsweep.analysis.bandwidth import bandwidth, read_bandwidths
from kvsweep.analysis.depth import by_depth
from kvsweep.analysis.memory import memory
from kvsweep.analysis.schemas import ACROSS, AGREEMENT, BANDWIDTH, DEPTH
from kvsweep.analysis.speed import over_rounds
from kvsweep.slices.given import read_all
from kvsweep.slices.read import read_slice
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import OtherRows
from recomputed import ends_of_part
from scipy import stats
from slice_raw import SLICES, pair_at, raw_files, timed_in

Row = dict[str, Any]
GEMMA, SMOL = "h200-gemma-3-270m-quality", "h200-smollm2-135m-quality"


def read(name: str) -> OtherRows:
    return read_slice("here", SLICES / f"{name}.zip", read_tables=read_all)


def sums_in(name: str) -> dict[tuple[str, int, str, str], Row]:
    """Sums of the scorer's tokens by engine, context, K and V."""
    return {
        (Path(path).parts[1], int(Path(path).parts[4][1:]), *pair_at(path)): json.loads(text)
        for path, text in raw_files(name).items()
        if path.endswith("sums.json")
    }


def half_of(values: np.ndarray) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


# --- bandwidth ----------------------------------------------------------------------------------------------

# Seconds per token of each repetition, by engine and pair, depth and round.
Seconds = dict[tuple[str, str, str], dict[int, dict[int, np.ndarray]]]


def decode_in(raw: dict[str, str]) -> Seconds:
    """Seconds per token of each repetition that llama-bench printed."""
    found: Seconds = {}
    for path in (path for path in raw if path.endswith("bench.jsonl")):
        cell = Path(path).parts[1], *pair_at(path)
        round_ = json.loads(raw[path.replace("bench.jsonl", "run.json")]).get("round", 1)
        (decode,) = (test for test in timed_in(raw[path]) if test["n_gen"])
        times = np.array(decode["samples_ns"]) / 1e9 / decode["n_gen"]
        found.setdefault(cell, {}).setdefault(decode["n_depth"], {})[round_] = times
    return found


def sizes_in(raw: dict[str, str]) -> dict[tuple[str, str, str, int], float]:
    """Bytes of K and V of all layers, as logged, by engine, pair and depth."""
    found = {}
    for path in (path for path in raw if path.startswith("throughput") and path.endswith("stderr.log")):
        sides = re.findall(r"K \(\w+\): +([\d.]+) MiB, V \(\w+\): +([\d.]+) MiB", raw[path])
        of_prefill = sides[: len(sides) // 2]  # the first test, with the larger cache
        (depth,) = re.findall(r"/d(\d+)/", path)
        found[Path(path).parts[1], *pair_at(path), int(depth)] = (
            sum(float(n) for two in of_prefill for n in two) * 2**20
        )
    return found


def seconds_of(
    seconds: Seconds, dropped: dict[tuple[str, int], int], cell: tuple[str, str, str], depth: int
) -> np.ndarray:
    """Mean seconds per token of a cell in each round."""
    rounds = sorted(seconds[cell][depth].items())
    return np.array([times[dropped[cell[0], depth] :].mean() for _, times in rounds])


def test_how_fast_a_fuller_cache_is_read() -> None:
    raw = raw_files("h200-speed")
    seconds, sizes = decode_in(raw), sizes_in(raw)
    dropped = without_first(seconds)
    given = read("h200-speed")
    cells = over_rounds(given.throughput)
    rows = as_table(bandwidth(cells, memory(cells, given.models), read_bandwidths()), BANDWIDTH).to_pylist()
    assert len(rows) == 2 * 9
    for row in rows:
        cell = row["engine"], row["ctk"], row["ctv"]
        shallow, deep = (
            seconds_of(seconds, dropped, cell, row[depth]) for depth in ("depth_from", "depth_to")
        )
        longer = stats.gmean(deep) - stats.gmean(shallow)
        half = half_of(deep - shallow)
        size = sizes[*cell, row["depth_to"]] - sizes[*cell, row["depth_from"]]
        assert row["cache_bytes"] == pytest.approx(size, abs=0.1 * 2**20)
        assert row["seconds"] == pytest.approx(longer, abs=1e-8)
        assert [row["seconds_low"], row["seconds_high"]] == pytest.approx(
            [longer - half, longer + half], abs=1e-7
        )
        if longer <= 0:
            assert row["gigabytes_per_second"] is row["share"] is None
            continue
        rate = row["cache_bytes"] / longer / 1e9
        assert row["gigabytes_per_second"] == pytest.approx(rate, rel=1e-3)
        assert row["share"] == pytest.approx(rate / 4800, rel=1e-3)
        assert row["gigabytes_per_second_low"] == pytest.approx(
            row["cache_bytes"] / (longer + half) / 1e9, rel=1e-3
        )
        assert (row["gigabytes_per_second_high"] is None) == (longer <= half)


def without_first(seconds: Seconds) -> dict[tuple[str, int], int]:
    """1 for an engine and depth at which the first repetition of decode is told from the others, else 0."""
    effects: dict[str, dict[int, list[float]]] = {}
    for (engine, *_), depths in seconds.items():
        for depth, rounds in depths.items():
            own = [float(np.log(times[0]) - np.log(times[1:]).mean()) for times in rounds.values()]
            effects.setdefault(engine, {}).setdefault(depth, []).extend(own)
    found = {}
    for engine, depths_of in effects.items():
        everywhere = np.concatenate(list(depths_of.values()))
        for depth, own in depths_of.items():
            p = [stats.ttest_1samp(values, 0).pvalue for values in (own, everywhere)]
            found[engine, depth] = int(min(p) < 0.05 / (len(depths_of) + 1))
    return found


# --- two set-ups beside each other --------------------------------------------------------------------------


def weighted(sums: Row, column: str) -> np.ndarray:
    """A value of each window: of its parts, by their tokens."""
    tokens = np.array([part["window_tokens"] for part in sums["parts"]])
    parts = np.array([part[column] for part in sums["parts"]], dtype=float)
    return parts.sum(axis=0) / tokens.sum() if column == "same_top" else tokens @ parts / tokens.sum()


def test_two_engines_relative_speeds_stand_beside_each_other_without_a_ratio() -> None:
    seconds = decode_in(raw_files("h200-speed"))
    dropped = without_first(seconds)
    rows = as_table(across(over_rounds(read("h200-speed").throughput), []), ACROSS).to_pylist()
    decode = [row for row in rows if row["phase"] == "decode"]
    assert len(decode) == 6 and all(row["ratio"] is None and row["comparable"] is False for row in rows)
    for row in decode:
        for engine, value in ((row["engine"], "value"), (row["other_engine"], "other_value")):
            own, f16 = (
                seconds_of(seconds, dropped, (engine, *pair), row["depth"])
                for pair in ((row["ctk"], row["ctv"]), ("f16", "f16"))
            )
            logs = np.log(f16 / own)  # within rounds
            ends = np.exp(logs.mean() + half_of(logs) * np.array([0, -1, 1]))
            assert [row[f"{value}{end}"] for end in ("", "_low", "_high")] == pytest.approx(
                list(ends), rel=1e-4
            )


def test_rotated_beside_unrotated_window_by_window() -> None:
    sums = sums_in(SMOL)
    rows = as_table(across([], read(SMOL).quality), ACROSS).to_pylist()
    rows = [row for row in rows if row["comparable"] is not False]
    assert len(rows) == 20 and {row["other_engine"] for row in rows} == {"mainline-unrotated"}
    for row in rows:
        column = {"kld_mean": "kld", "top1_agreement": "same_top"}[row["quantity"]]
        a, b = (
            weighted(sums[row[engine], row["n_ctx"], row["ctk"], row["ctv"]], column)
            for engine in ("engine", "other_engine")
        )
        assert (row["value"], row["other_value"]) == pytest.approx((a.mean(), b.mean()))
        if not b.any():  # f16 beside itself
            assert row["ratio"] is None
            continue
        assert row["ratio"] == pytest.approx(a.mean() / b.mean())
        half = half_of(a / a.mean() - b / b.mean())
        ends = np.exp(np.log(a.mean() / b.mean()) + np.array([-half, half]))
        if column == "kld":
            assert [row["ratio_low"], row["ratio_high"]] == pytest.approx(list(ends))
        else:  # never narrower than as many independent tokens allow
            assert row["ratio_low"] <= ends[0] * (1 + 1e-9) and row["ratio_high"] >= ends[1] * (1 - 1e-9)


# --- parts by depth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [GEMMA, SMOL])
def test_every_part_by_depth(name: str) -> None:
    sums = sums_in(name)
    rows = as_table(by_depth(read(name).quality), DEPTH).to_pylist()
    assert len(rows) == 16 * len(sums)
    for row in rows:
        own = sums[row["engine"], row["n_ctx"], row["ctk"], row["ctv"]]
        (part,) = (part for part in own["parts"] if part["depth_from"] == row["depth_from"])
        tokens, windows = part["window_tokens"], len(part["kld"])
        assert (row["depth_to"], row["tokens"]) == (part["depth_to"], tokens * windows)
        kld, ratio, shares = (np.array(part[of]) for of in ("kld", "ln_ppl_ratio", "same_top"))
        shares = shares / tokens
        expected = {"kld_mean": kld.mean(), "ln_ppl_ratio": ratio.mean(), "top1_agreement": shares.mean()}
        assert {of: row[of] for of in expected} == pytest.approx(expected)
        ends = ends_of_part(kld) if kld.any() else (0.0, 0.0)
        assert (row["kld_mean_low"], row["kld_mean_high"]) == pytest.approx(ends)
        ends = ratio.mean() - half_of(ratio), ratio.mean() + half_of(ratio)
        assert (row["ln_ppl_ratio_low"], row["ln_ppl_ratio_high"]) == pytest.approx(ends)
        wilson = stats.binomtest(int(sum(part["same_top"])), tokens * windows).proportion_ci(method="wilson")
        low, high = shares.mean() - half_of(shares), shares.mean() + half_of(shares)
        ends = max(min(low, wilson.low), 0.0), min(max(high, wilson.high), 1.0)
        assert (row["top1_agreement_low"], row["top1_agreement_high"]) == pytest.approx(ends)


# --- two methods on one cell --------------------------------------------------------------------------------


def test_llama_perplexity_beside_the_scorer() -> None:
    printed = {
        pair_at(path): float(found[1])
        for path, text in raw_files("h200-gemma-3-270m-llama-perplexity").items()
        if path.endswith("stdout.log") and (found := re.search(r"Mean\s+KLD:\s+(-?[\d.]+)", text))
    }
    sums = sums_in(GEMMA)
    quality = [*read("h200-gemma-3-270m-llama-perplexity").quality, *read(GEMMA).quality]
    rows = as_table(agreement(quality), AGREEMENT).to_pylist()
    assert {(row["ctk"], row["ctv"]) for row in rows} == printed.keys() and len(rows) == 4
    for row in rows:
        pair = row["ctk"], row["ctv"]
        scored = weighted(sums["fork", 4096, *pair], "kld").mean()
        most = (
            abs(printed["f16", "f16"]) + 0.003 * scored + 1e-6
        )  # two printed numbers, each half a digit off
        assert row["difference"] == pytest.approx(printed[pair] - scored, abs=1e-12)
        assert (row["expected_low"], row["expected_high"]) == pytest.approx((-most, most))
        assert row["verdict"] == ("agrees" if abs(printed[pair] - scored) <= most else "disagrees")
