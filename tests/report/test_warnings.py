"""What the report warns of: repetitions that cannot be of the same work, and where a cell ran."""

from typing import Any

import pytest
from kvsweep.analysis.pair_schemas import REPETITIONS
from kvsweep.analysis.repetitions import repetitions
from kvsweep.report import warnings
from kvsweep.tables.columns import as_table
from synthetic_analysis import answers
from synthetic_tables import throughput_row


def row(**values: Any) -> dict[str, Any]:
    return {
        "n_tokens": 512,
        "samples": None,
        "graph_splits": 2,
        "kv_devices": ["CUDA0"],
        "fallback_why": None,
    } | values


@pytest.mark.parametrize(
    ("milliseconds", "apart"),
    [
        ([512, 511, 38], True),
        ([38, 512], True),
        ([512, 171], False),
        ([512, 500, 530], False),
        ([512], False),
    ],
)
def test_repetitions_that_cannot_be_of_the_same_work(milliseconds: list[float], apart: bool) -> None:
    cell = row(samples=[1000 * 512 / duration for duration in milliseconds])
    assert warnings.apart(cell) == apart
    if apart:
        assert warnings._durations(cell) == "38 ms beside 512 ms"
    assert not warnings.apart(row())


def test_a_first_repetition_that_does_not_count_is_no_spread() -> None:
    """Of prefill the first repetition of every process is slow, of decode that of one."""
    places = [(pair, depth) for pair in ("f16", "q8_0", "q4_0") for depth in (0, 8192)]
    cells = [
        throughput_row(pair, pair, depth, phase, samples=[first, 100.0, 100.1, 99.8])
        for number, (pair, depth) in enumerate(places)
        for phase, first in (("prefill", 70.0 + number), ("decode", 100.0 + 20 * (number == 2)))
    ]
    told = as_table(repetitions(cells), REPETITIONS).to_pylist()
    (spread,) = (one for one in warnings.warnings_of(cells, [], repetitions=told) if "Spread" in one.kind)
    assert {row["phase"] for row in told if row["first_dropped"]} == {"prefill"}
    assert spread.cells == ("q8_0: decode at 0 – 9.5 %",)


def test_where_a_cell_ran_says_why_it_is_a_fallback() -> None:
    assert warnings._where_it_ran(row(fallback_why="all weights lie in the host's memory")).startswith(
        "all weights"
    )
    assert warnings._where_it_ran(row()) == "2 graph splits, KV cache on CUDA0"


def test_two_methods_that_disagree_are_said_at_the_top() -> None:
    agreement = answers()["agreement"].to_pylist()
    (caution,) = warnings.warnings_of([], [], agreement=agreement)
    assert "disagree" in caution.kind
    (cell,) = caution.cells
    assert cell == "turbo4 at 4K: KL divergence 0.0512 by llama-perplexity, 0.0468 by the scorer"
