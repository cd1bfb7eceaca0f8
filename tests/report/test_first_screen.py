"""What a set-up's first sentences say where something is missing, equal, or refused: no more than the data do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from kvsweep.analysis.advice import advice
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.report.answer import _names, answers
from kvsweep.study.config import parse_workloads
from kvsweep.tables.columns import as_table
from synthetic_tables import in_rounds, model_row, quality_row, throughput_row, unmeasured

Row = dict[str, Any]
RATES = {"f16": 80.0, "q8_0": 75.0, "q5_0": 70.0, "q4_0": 66.0}
WORK = {
    "chat": {"title": "chat", "depth": 0, "prompt_tokens": 512, "generated_tokens": 512},
    "long": {"title": "long", "goal": "context", "depth": 0, "prompt_tokens": 512, "generated_tokens": 64},
}


def cells(between: float = 0.002, depths: Iterable[int] = (0, 4096)) -> list[Row]:
    return in_rounds(
        (
            throughput_row(pair, pair, depth, phase, rate / (1 + depth / 8192), wall_seconds=60.0)
            for pair, rate in RATES.items()
            for depth in depths
            for phase in ("prefill", "decode")
        ),
        between=between,
    )


def first_screen(rows: list[Row], n_ctx_train: int = 262_144) -> str:
    """As the report says it, with the workloads' own lines."""
    kld = {"f16": 0.0, "q8_0": 0.001, "q5_0": 0.004, "q4_0": 0.01}
    quality = [quality_row(pair, pair, kld[pair]) for pair in dict.fromkeys(row["ctk"] for row in rows)]
    models, over = [model_row(n_ctx_train=n_ctx_train)], over_rounds(rows)
    head_to_head(over, quality, models)  # has to take these rows, too
    tables = {
        "advice": advice(over, quality, models, parse_workloads(WORK).values()),
        "speed": speeds(over),
        "pareto": pareto(over, quality, models),
    }
    (one,) = answers(*(as_table(found, ANALYSIS[name]).to_pylist() for name, found in tables.items()))
    work = " ".join(f"{a.work}: {a.pick}{a.undecided} {a.why} {a.decides}" for a in one.workloads)
    return f"{' '.join(one.sentences)} | {work}"


def failed(rows: list[Row], which: Callable[[Row], bool], status: str = "crashed") -> list[Row]:
    return [unmeasured(row, status, "it ended") if which(row) else row for row in rows]


def is_f16(row: Row) -> bool:
    return bool(row["ctk"] == "f16")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (cells(), "every quantized cache that was timed is slower than f16 (decode at 4K: 6."),
        (failed(cells(), bool, "unsupported"), "no speed was measured (unsupported)"),
        (
            failed(cells(), lambda row: not is_f16(row)),
            "no quantized cache was measured in decode (crashed)",
        ),
        (failed(cells(), is_f16, "oom"), "no speed is compared with f16, which was not measured (oom)"),
        ([row for row in cells() if not is_f16(row)], "with f16, which was not measured (not asked for)"),
        (
            [row for row in cells() if is_f16(row) == (row["depth"] == 0)],
            "with f16, which was measured at no depth and round that another pair has",
        ),
        (
            failed(cells(), lambda row: is_f16(row) and row["round"] > 1),
            "the rate of every quantized cache that was timed lay below f16's in the one round that both have",
        ),
        (failed(cells(), lambda row: is_f16(row) and row["round"] == 2), "cache that was timed is slower"),
        (
            failed(cells(), lambda row: row["ctk"] == "q4_0" and row["round"] > 1),
            " for q5_0), 1 not told from it in the one round that both have",
        ),
        (cells(between=3.0), "3 quantized caches are not told from f16"),  # rounds 20 times apart
        (cells(depths=(0,)), "] for q8_0 to 17."),
    ],
)  # fmt: skip
def test_what_is_said_of_speed(rows: list[Row], said: str) -> None:
    assert said in first_screen(rows)


def test_f16_alone_is_compared_with_nothing() -> None:
    said = first_screen([row for row in cells() if is_f16(row)])
    assert "slower" not in said and "compared" not in said and "chat: f16 the only feasible one" in said


def test_equal_pairs_are_undecided_and_no_round_helps() -> None:
    rows = [row | {"samples": [50.0] * 3, "tokens_per_second": 50.0} for row in cells()]
    said = first_screen(rows)
    assert "3 quantized caches are not told from f16" in said
    assert "What would decide it: no number of rounds: what was measured took equally long." in said
    assert "as long as" in said and "0 %" not in said.partition("|")[2]


def test_what_would_decide_names_the_time_that_it_takes() -> None:
    """A round is eight processes of a minute, four of them at the deepest depth."""
    said = first_screen(cells(between=3.0))
    assert "What would decide it: more than 10 rounds, about 1 h 20 min, for a difference of about" in said
    assert (
        "cells at a greater depth: all of these ran at the deepest that was measured, 4K; a round there took 4 min "
        "00 s, and takes longer the deeper it is"
    ) in said


def test_no_deeper_cell_is_asked_for_than_the_model_was_trained_for() -> None:
    said = first_screen(cells(), n_ctx_train=4608)
    assert "long: f16 measured to 4K, as with 3 other pairs, of which none diverges less" in said
    assert "greater depth" not in said


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ("abcd", "a, b, c or d"),
        ("abcde", "a, b, c, d or e"),
        ("abcdef", "a, b, c, d or one of 2 others"),
    ],
)
def test_many_names_are_counted(pairs: str, said: str) -> None:
    assert _names([{"ctk": pair, "ctv": pair} for pair in pairs]) == said
