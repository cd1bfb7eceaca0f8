"""Runs in which something is missing, equal or broken: every table and both reports are made, and nothing is decided
that the data leave open."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from kvsweep.analysis.advice import advice
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.k_or_v import k_or_v
from kvsweep.analysis.memory import largest_contexts, memory
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.report.html import render_html
from kvsweep.report.markdown import render_markdown
from kvsweep.report.view import view_of
from kvsweep.study.config import parse_workloads
from kvsweep.tables.columns import as_table
from kvsweep.tables.schemas import TABLES
from synthetic_analysis import answers_of
from synthetic_tables import in_rounds, model_row, quality_row, table_of, throughput_row, unmeasured

Row = dict[str, Any]
Tables = dict[str, list[Row]]
RATES = {"f16": 80.0, "q8_0": 75.0, "q4_1": 70.0, "q4_0": 66.0}
DAMAGE = {"f16": 0.0, "q8_0": 0.001, "q4_1": 0.004, "q4_0": 0.01}
WORK = {
    "chat": {"title": "c", "depth": 0, "prompt_tokens": 512, "generated_tokens": 512, "highest_kld": 0.005}
}


def timed(n_rounds: int = 3) -> list[Row]:
    rows = [
        throughput_row(pair, pair, depth, phase, rate / (1 + depth / 8192))
        for pair, rate in RATES.items()
        for depth in (0, 4096)
        for phase in ("prefill", "decode")
    ]
    return in_rounds(rows, n_rounds, between=0.01)


def scored(n_windows: int = 16) -> list[Row]:
    def windows(kld: float) -> list[float]:
        return [kld * (1 + 0.3 * math.sin(7 * n + 100 * kld)) for n in range(n_windows)]

    return [
        quality_row(
            pair,
            pair,
            math.fsum(windows(kld)) / n_windows,
            chunks=n_windows,
            kld_windows=windows(kld),
            kld_window_rounding=0.0,
            ln_ppl_ratio_windows=windows(0.6 * kld),
            ln_ppl_ratio_window_rounding=0.0,
            top1_windows=[round(500 * (1 - math.sqrt(kld)))] * n_windows,
            window_tokens=500,
        )
        for pair, kld in DAMAGE.items()
    ]


def made_of(throughput: list[Row], quality: list[Row]) -> Tables:
    """Every table of answers, by way of its schema, and both reports of them."""
    cells, models = over_rounds(throughput), [model_row()]
    tables: dict[str, Any] = {
        "speed": speeds(cells),
        "head_to_head": head_to_head(cells, quality, models),
        "pareto": pareto(cells, quality, models),
        "k_or_v": k_or_v(quality),
        "crossovers": crossovers(cells),
        "memory": memory(throughput, models),
        "largest_context": largest_contexts(throughput, models, [2**30]),
        "advice": advice(cells, quality, models, parse_workloads(WORK).values()),
    }
    measured = {"throughput": throughput, "quality": quality, "models": models}
    view = view_of(
        {name: table_of(name, measured.get(name, [])) for name in TABLES}
        | {name: answers_of(name, tables.get(name, [])) for name in ANALYSIS}
    )
    page = re.sub(r"<script.*?</script>", "", render_html(view, []), flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|None)\b", page + render_markdown(view))
    return {name: as_table(rows, ANALYSIS[name]).to_pylist() for name, rows in tables.items()}


def failed(which: Callable[[Row], bool], rows: list[Row]) -> list[Row]:
    return [unmeasured(row, "crashed", "it ended") if which(row) else row for row in rows]


def of(pair: str) -> Callable[[Row], bool]:
    return lambda row: bool(row["ctk"] == pair)


_SCORES = (
    *("kld_mean", "kld_windows", "ln_ppl_ratio", "ln_ppl_ratio_windows"),
    *("top1_agreement", "top1_windows"),
)


def equal(rows: list[Row]) -> list[Row]:
    return [
        row | {"tokens_per_second": 50.0, "samples": [50.0] * 3}
        if "phase" in row
        else row | {name: scored()[1][name] for name in _SCORES}
        for row in rows
    ]


def only(pairs: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["ctk"] in pairs.split()]


def without_windows(pair: str) -> list[Row]:
    """One pair was scored on fewer windows of the same text."""
    return [
        row | {name: row[name][:4] for name in ("kld_windows", "ln_ppl_ratio_windows", "top1_windows")}
        if row["ctk"] == pair
        else row
        for row in scored()
    ]


ODD = {
    "failed cells": (failed(of("q4_1"), timed()), failed(of("q4_0"), scored())),
    "everything failed": (failed(lambda _: True, timed()), failed(lambda _: True, scored())),
    "one round": (timed(1), scored()),
    "one window": (timed(), scored(1)),
    "two rounds and two windows": (timed(2), scored(2)),
    "all cells equal": (equal(timed()), equal(scored())),
    "a single pair": (only("q8_0", timed()), only("q8_0", scored())),
    "no f16": (only("q8_0 q4_1 q4_0", timed()), only("q8_0 q4_1 q4_0", scored())),
    "f16 only": (only("f16", timed()), only("f16", scored())),
    "nothing timed": ([], scored()),
    "nothing scored": (timed(), []),
    "nothing at all": ([], []),
    "other windows": (timed(), without_windows("q4_0")),
    "f16 in one round": (
        failed(lambda row: bool(row["ctk"] == "f16" and row["round"] > 1), timed()),
        scored(),
    ),
}


@pytest.fixture(scope="module")
def made() -> dict[str, Tables]:
    return {name: made_of(*rows) for name, rows in ODD.items()}


def verdicts(rows: list[Row], quantity: str | None = None) -> set[str]:
    return {row["verdict"] for row in rows if quantity is None or row["quantity"] == quantity}


def test_a_whole_run_decides_what_is_far_apart() -> None:
    """Else the others would show nothing."""
    tables = made_of(timed(), scored())
    assert "slower" in verdicts(tables["speed"]) and "better" in verdicts(tables["head_to_head"], "kld_mean")
    assert "pick" in verdicts(tables["advice"])


@pytest.mark.parametrize("name", ["one round", "f16 in one round"])
def test_one_round_names_no_winner(made: dict[str, Tables], name: str) -> None:
    assert verdicts(made[name]["speed"]) <= {"one round", None}
    if name == "one round":
        assert not any(row["winner"] for row in made[name]["head_to_head"] if row["quantity"] == "decode")
        assert "crosses" not in verdicts(made[name]["crossovers"]) and "pick" not in verdicts(
            made[name]["advice"]
        )


def test_one_window_names_no_winner_and_meets_no_limit(made: dict[str, Tables]) -> None:
    tables = made["one window"]
    for quantity in ("kld_mean", "ln_ppl_ratio"):
        assert verdicts(tables["head_to_head"], quantity) <= {"error unknown", "equal"}
    of_pair = {row["ctk"]: row for row in tables["advice"]}
    assert {of_pair[pair]["verdict"] for pair in ("q8_0", "q4_1", "q4_0")} == {"undecided"}
    assert all(row["share_k"] is None and row["kld_mean_low"] is None for row in tables["k_or_v"])


def test_a_single_window_moves_nobody_on_the_front_by_a_hair() -> None:
    """Neither does a value without an interval beat another one, nor is it beaten by one, within the margin."""
    for factor, beaten in ((1.01, []), (1.4, []), (0.7, []), (1.6, ["q4_0"])):
        quality = scored(1)
        by_pair = {row["ctk"]: row for row in quality}
        # q4_0 has fewer bits than q4_1, and is as fast.
        kld = by_pair["q4_0"]["kld_mean"] * factor
        by_pair["q4_1"] |= {"kld_mean": kld, "kld_windows": [kld]}
        rates = [row for row in timed() if row["phase"] == "decode" and row["ctk"] in ("q4_0", "q4_1")]
        same = [row | {"ctk": pair, "ctv": pair, "effective_ctk": pair, "effective_ctv": pair}
                for row in rates if row["ctk"] == "q4_0" for pair in ("q4_0", "q4_1")]  # fmt: skip
        rows = {row["ctk"]: row for row in pareto(over_rounds(same), quality, [model_row()])}
        assert rows["q4_1"]["dominated_by"] == beaten, factor
        assert rows["q4_1"]["margin"] == "KL divergence by a factor of 1.5"


def test_equals_are_not_told_apart(made: dict[str, Tables]) -> None:
    tables = made["all cells equal"]
    assert verdicts(tables["speed"]) == {"error unknown", None}
    assert not any(row["winner"] for row in tables["head_to_head"] if row["quantity"] != "kv_bytes_per_token")
    assert verdicts(tables["crossovers"]) == {"none"} and "pick" not in verdicts(tables["advice"])


@pytest.mark.parametrize(
    "name", ["a single pair", "no f16", "f16 only", "nothing timed", "everything failed"]
)
def test_without_f16_beside_it_nothing_is_faster_or_slower(made: dict[str, Tables], name: str) -> None:
    assert verdicts(made[name]["speed"]) <= {None}


@pytest.mark.parametrize("name", ["nothing scored", "everything failed", "nothing at all"])
def test_what_is_not_scored_meets_no_limit(made: dict[str, Tables], name: str) -> None:
    chosen = [
        row
        for row in made[name]["advice"]
        if row["verdict"] in ("pick", "feasible", "not told from the best")
    ]
    assert {row["ctk"] for row in chosen} <= {"f16"}  # which diverges from itself by nothing


def test_what_failed_wins_nothing(made: dict[str, Tables]) -> None:
    tables = made["failed cells"]
    speed = {row["verdict"] for row in tables["speed"] if row["ctk"] == "q4_1"}
    assert speed == {None}
    for row in tables["head_to_head"]:
        out = "q4_0" if row["corpus"] else "q4_1"
        assert row["quantity"] == "kv_bytes_per_token" or out not in (row["pair_a"], row["pair_b"])


def test_other_windows_are_compared_with_wider_intervals(made: dict[str, Tables]) -> None:
    """What makes a window hard for both does not cancel."""
    wide, paired = (
        next(
            row for row in tables["head_to_head"] if row["quantity"] == "kld_mean" and row["pair_b"] == "q4_0"
        )
        for tables in (made["other windows"], made_of(timed(), scored()))
    )
    assert (
        wide["difference_high"] - wide["difference_low"]
        > paired["difference_high"] - paired["difference_low"]
    )
