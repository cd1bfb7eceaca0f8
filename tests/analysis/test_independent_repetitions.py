"""First repetitions and drift, from the times that llama-bench printed and from made-up ones, with numpy and scipy."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import odd_raw
import pytest
import recorded_study
from kvsweep.analysis.pair_schemas import REPETITIONS
from kvsweep.analysis.repetitions import repetitions
from kvsweep.slices.given import read_all
from kvsweep.slices.read import read_slice
from kvsweep.tables.columns import as_table
from kvsweep.tables.storage import read_table
from scipy import stats
from slice_raw import SLICES, raw_files, timed_in
from synthetic_tables import throughput_row

Row = dict[str, Any]
# ln of the seconds of each repetition, of each process by engine, phase and depth.
Times = dict[tuple[str, str], dict[int, list[np.ndarray]]]
ALL = None  # all depths of a phase


def times_in(benches: dict[str, list[str]]) -> Times:
    """Of what llama-bench printed, by engine."""
    found: Times = defaultdict(lambda: defaultdict(list))
    for engine, texts in benches.items():
        for test in (test for text in texts for test in timed_in(text)):
            phase = "decode" if test["n_gen"] else "prefill"
            found[engine, phase][test["n_depth"]].append(np.log(test["samples_ns"]))
    return found


def told(values: list[float], confidence: float) -> tuple[tuple[float, ...], bool]:
    """Mean and interval over processes, and whether 0 is not in it."""
    middle = float(np.mean(values))
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return (middle, middle - half, middle + half), abs(middle) > half


def check(rows: list[Row], times: Times) -> list[Row]:
    """Every row beside what the times say; the rows in which something is told."""
    found = {(row["engine"], row["phase"], row["depth"]): row for row in rows}
    assert len(found) == len(rows) == sum(len(depths) + 1 for depths in times.values())
    for (engine, phase), depths in times.items():
        confidence = 1 - 0.05 / (len(depths) + 1)  # the depths and all together
        by_depth = depths | {ALL: [logs for own in depths.values() for logs in own]}
        first = {
            depth: told([float(logs[0] - logs[1:].mean()) for logs in own], confidence)
            for depth, own in by_depth.items()
        }
        dropped = {depth: first[depth][1] or first[ALL][1] for depth in by_depth}
        slopes = {
            depth: [float(np.polyfit(np.arange(len(kept)), kept, 1)[0])
                    for logs in own if len(kept := logs[1:] if dropped[depth] else logs) > 1]
            for depth, own in depths.items()
        }  # fmt: skip
        slopes[ALL] = [slope for own in slopes.values() for slope in own]
        for depth, own in by_depth.items():
            row = found[engine, phase, depth]
            assert (row["processes"], row["first_dropped"]) == (len(own), dropped[depth])
            assert [row[f"first{end}"] for end in ("", "_low", "_high")] == near(first[depth][0])
            if len(slopes[depth]) < 2:
                assert row["trend"] is row["trend_low"] is row["drifts"] is None
                continue
            trend, drifts = told(slopes[depth], confidence)
            assert [row[f"trend{end}"] for end in ("", "_low", "_high")] == near(trend)
            assert row["drifts"] == drifts
    return [row for row in rows if row["first_dropped"] or row["drifts"]]


def near(ends: tuple[float, ...]) -> Any:
    return pytest.approx(list(ends), rel=1e-6, abs=2e-5)  # the rates that are read have six digits


# --- raw files ----------------------------------------------------------------------------------------------


def test_repetitions_of_three_rounds_on_a_gpu() -> None:
    benches = defaultdict(list)
    for path, text in raw_files("h200-speed").items():
        if path.endswith("bench.jsonl"):
            benches[Path(path).parts[1]].append(text)
    rows = read_slice("here", SLICES / "h200-speed.zip", read_tables=read_all).throughput
    special = check(as_table(repetitions(rows), REPETITIONS).to_pylist(), times_in(benches))
    assert {row["engine"] for row in special} == {"fork", "mainline"}


@pytest.mark.parametrize("name", ["one round beside three", "some rounds failed"])
def test_repetitions_of_a_run_with_failed_cells(name: str, tmp_path: Path) -> None:
    results = odd_raw.copied(tmp_path)
    odd_raw.ODD[name](results)
    recorded_study.tables_of(results, None)
    measured = [text for cell in odd_raw.speed_cells(results) if (text := (cell / "bench.jsonl").read_text())]
    ours = [
        row
        for row in read_table(results / "tables", "repetitions").to_pylist()
        if row["source"] == "measured"
    ]
    check(ours, times_in({"mainline": measured}))


# --- made-up processes: the first repetition is slower, or all become slower ---------------------------------


@pytest.mark.parametrize(
    ("first", "trend", "dropped", "drifts"),
    [
        ({}, 0.0, set(), False),
        ({0: 0.1, 2048: -0.1}, 0.0, {0, 2048}, False),
        ({0: 0.1, 1024: 0.1, 2048: 0.1}, 0.0, {0, 1024, 2048, ALL}, False),
        ({0: 0.1, 1024: 0.1, 2048: 0.1}, 0.02, {0, 1024, 2048, ALL}, True),
    ],
)  # fmt: skip
def test_what_a_first_repetition_and_a_trend_do(
    first: dict[int, float], trend: float, dropped: set[int | None], drifts: bool
) -> None:
    chance = np.random.default_rng(3)
    times: Times = {("fork-metal", "decode"): {}}
    rows = []
    for depth in (0, 1024, 2048):
        own = np.log(0.1) + 0.004 * chance.standard_normal((8, 4)) + 0.1 * chance.standard_normal((8, 1))
        own += trend * np.arange(4)
        own[:, 0] += first.get(depth, 0.0)
        times["fork-metal", "decode"][depth] = list(own)
        rows += [
            throughput_row("q8_0", "q8_0", depth, samples=(128 / np.exp(logs)).tolist(), round=number + 1)
            for number, logs in enumerate(own)
        ]
    found = as_table(repetitions(rows), REPETITIONS).to_pylist()
    check(found, times)
    assert {row["depth"] for row in found if row["first_dropped"]} == dropped
    assert any(row["drifts"] for row in found) == drifts
