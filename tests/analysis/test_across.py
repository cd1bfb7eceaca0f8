"""The same cell on two machines or engines, each against its own f16."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.across import across
from kvsweep.analysis.schemas import ACROSS
from kvsweep.analysis.speed import over_rounds
from kvsweep.tables.columns import as_table
from synthetic_tables import quality_row, rounds_at

H200 = {"source": "slice:attic", "machine": "NVIDIA H200", "backend": "cuda"}
TEXT = {
    "corpus_sha256": "aa" * 32, "chunks": 16, "positions": "half", "method": "perplexity", "reference": "fork-metal",
}  # fmt: skip


def found(speeds: list[dict[str, Any]], quality: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As they stand in the table."""
    rows: list[dict[str, Any]] = as_table(across(over_rounds(speeds), quality), ACROSS).to_pylist()
    return rows


def speeds(f16: list[float], q8_0: list[float], **replaced: Any) -> list[dict[str, Any]]:
    return [
        *rounds_at("f16", "f16", f16, 8192, **replaced),
        *rounds_at("q8_0", "q8_0", q8_0, 8192, **replaced),
    ]


def test_speeds_are_compared_as_multiples_of_each_ones_f16() -> None:
    here = speeds([100, 101, 99], [90, 91.5, 88.5])
    there = speeds([1000, 1010, 995], [1000, 1005, 999], **H200)
    (row,) = found([*there, *here], [])
    assert (row["source"], row["other_source"], row["other_machine"]) == (
        "measured",
        "slice:attic",
        "NVIDIA H200",
    )
    assert (row["quantity"], row["reference"]) == ("speed relative to f16", "each its own f16")
    assert row["value"] == pytest.approx(0.9, rel=0.01) and row["other_value"] == pytest.approx(1, rel=0.01)
    assert row["ratio"] == pytest.approx(row["value"] / row["other_value"])
    assert (
        row["ratio_low"] < row["ratio"] < row["ratio_high"]
        and row["interval"] == "95 % of both, in quadrature"
    )
    # The command lines are those of one engine: machine and back end are all that differs.
    assert [text.partition(":")[0] for text in row["differs"]] == ["back end", "machine"]
    assert (row["comparable"], row["prevents"]) == (True, [])


def test_one_round_on_either_side_has_no_interval() -> None:
    (row,) = found([*speeds([100, 101], [90, 91]), *speeds([1000], [990], **H200)], [])
    assert (row["ratio_low"], row["interval"]) == (None, None) and row["ratio"] < 1


def test_where_f16_is_missing_there_is_nothing_to_be_relative_to() -> None:
    here = speeds([100], [90])
    assert found([*here, *rounds_at("q8_0", "q8_0", [990], 8192, **H200)], []) == []
    assert found(here, []) == []  # nothing is compared with itself


def test_another_family_or_another_pair_is_named_and_not_compared() -> None:
    mainline = {"engine": "mainline", "engine_family": "llama.cpp"}
    (row,) = found([*speeds([100], [90]), *speeds([110], [95], **mainline)], [])
    assert (row["comparable"], row["ratio"]) == (False, None)
    assert row["prevents"] == ["engine family: ours llama.cpp with turbo, theirs llama.cpp"]
    assert row["value"] == pytest.approx(0.9)  # what each is stands there all the same


def test_other_models_are_not_beside_each_other() -> None:
    other = {"model": "another", "model_sha256": "00" * 32}
    assert found([*speeds([100], [90]), *speeds([110], [95], **H200, **other)], []) == []
    renamed = H200 | {"model": "the same file"}
    assert len(found([*speeds([100], [90]), *speeds([110], [95], **renamed)], [])) == 1


def test_divergences_are_from_each_ones_own_f16_or_from_one() -> None:
    here = quality_row("q8_0", "q8_0", 0.006) | TEXT
    there = quality_row("q8_0", "q8_0", 0.003) | TEXT | H200
    kld, top1 = found([], [here, there])
    assert (kld["quantity"], kld["unit"], kld["reference"]) == ("kld_mean", "nats", "each its own f16")
    assert kld["ratio"] == pytest.approx(2) and math.isclose(kld["value"], 0.006)
    assert top1["quantity"] == "top1_agreement"
    mainline = {"engine": "mainline", "reference": "fork-metal"}
    beside = (
        there | mainline | {"source": "measured"}
    )  # another engine of this study, against the f16 of the first
    kld, _ = found([], [here, beside])
    assert (kld["reference"], kld["comparable"]) == ("the f16 of fork-metal", True)
    kld, _ = found([], [here | {"reference": "third"}, beside])
    assert (kld["reference"], kld["comparable"], kld["ratio"]) == (
        *("the f16 of third and of fork-metal", False),
        None,
    )


def test_what_others_published_is_beside_ours_and_not_beside_itself() -> None:
    published = {"source": "published:x", "model_sha256": None, "machine": "Apple M4"}
    other = published | {"source": "published:y", "machine": "Apple M5"}
    rows = [speeds([100], [90], **set_up) for set_up in (published, other)]
    assert found([row for own in rows for row in own], []) == []
    (one, two) = found([row for own in (speeds([50], [40]), *rows) for row in own], [])
    assert [row["other_source"] for row in (one, two)] == ["published:x", "published:y"]
    assert one["comparable"] is None and "model" in one["unknown"]


def test_the_digits_of_a_published_number_are_a_bound_that_is_added() -> None:
    published = {"source": "published:x", "model_sha256": None, "machine": "Apple M4"}
    theirs = speeds([250.0], [200.0], tokens_per_second_rounding=0.5, **published)
    (row,) = found([*speeds([100, 101, 99], [90, 91.5, 88.5]), *theirs], [])
    ours = math.log(row["value_high"] / row["value_low"]) / 2
    digits = math.log(row["other_value_high"] / row["other_value_low"]) / 2
    assert ours > 0 and digits == pytest.approx(0.5 / 250 + 0.5 / 200)
    half = math.log(row["ratio_high"] / row["ratio_low"]) / 2
    assert half == pytest.approx(ours + digits)
    assert row["interval"] == "95 % interval over rounds and rounding of the published digits"


def test_few_rounds_beside_many_hold_the_truth_in_95_percent() -> None:
    chance = np.random.default_rng(5)
    depths = range(256, 256 * 501, 256)
    rows = [
        row
        for depth in depths
        for rounds, spread, where in ((2, 0.01, {}), (10, 0.01, H200))
        for pair in ("f16", "q8_0")
        for row in rounds_at(pair, pair, (100 * np.exp(chance.normal(0, spread, rounds))).tolist(), depth, **where)
    ]  # fmt: skip
    held = [row["ratio_low"] <= 1 <= row["ratio_high"] for row in found(rows, [])]
    assert len(held) == len(depths) and sum(held) >= 0.95 * len(held)
