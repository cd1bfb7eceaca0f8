"""How much of the damage comes from K, how much from V."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.analysis.k_or_v import k_or_v
from kvsweep.analysis.pair_schemas import K_OR_V
from kvsweep.tables.columns import as_table
from synthetic_tables import quality_row, unmeasured

Row = dict[str, Any]
FROM_K = {"f16": 0.0, "q8_0": 0.001, "q4_0": 0.008}
FROM_V = {"f16": 0.0, "q8_0": 0.0005, "q4_0": 0.002}
FLOOR = 1e-5


def cell(ctk: str, ctv: str, more: float = 0.0) -> Row:
    kld = FLOOR + FROM_K[ctk] + FROM_V[ctv] + more
    return quality_row(ctk, ctv, kld, kld_mean_stderr=1e-4, kld_window_stderr=None)


def grid(*rows: Row) -> dict[tuple[str, str], Row]:
    return {(row["ctk"], row["ctv"]): row for row in as_table(k_or_v(rows), K_OR_V).to_pylist()}


def test_one_sided_cells_tell_it_directly() -> None:
    found = grid(
        cell("f16", "f16"), cell("q4_0", "f16"), cell("f16", "q4_0"), cell("q4_0", "q4_0", more=0.0003)
    )
    both = found["q4_0", "q4_0"]
    assert both["estimator"] == "one-sided cells"
    assert (both["from_k"], both["from_v"], both["interaction"]) == pytest.approx((0.008, 0.002, 0.0003))
    assert both["from_k_stderr"] == pytest.approx(math.sqrt(2) * 1e-4, rel=1e-4)
    # kld(K, V) - kld(K, f16) - kld(f16, V) + control
    assert both["interaction_stderr"] == pytest.approx(2e-4, rel=1e-4)
    assert both["share_k"] == pytest.approx(0.8)
    assert both["share_k_low"] < 0.8 < both["share_k_high"] < 0.85
    alone = found["q4_0", "f16"]
    assert alone["share_k"] is alone["interaction"] is None  # K does all of it by definition
    assert found["f16", "f16"]["share_k"] is None  # no damage


def test_blanks_stay_blank_but_their_parts_are_known() -> None:
    failed = unmeasured(cell("q8_0", "q4_0"), "timeout", "no end after 3600 s")
    found = grid(cell("f16", "f16"), cell("q4_0", "f16"), cell("f16", "q8_0"), failed, cell("q8_0", "f16"))
    missing = found["q4_0", "q8_0"]
    assert (missing["status"], missing["kld_mean"]) == ("not asked for", None)
    assert (missing["from_k"], missing["from_v"]) == pytest.approx((0.008, 0.0005))
    timeout = found["q8_0", "q4_0"]
    assert (timeout["status"], timeout["reason"], timeout["kld_mean"]) == (
        "timeout",
        "no end after 3600 s",
        None,
    )
    assert (timeout["from_k"], timeout["from_v"], timeout["share_k"]) == (pytest.approx(0.001), None, None)


def test_equal_types_alone_do_not_tell() -> None:
    found = grid(cell("f16", "f16"), cell("q8_0", "q8_0"), cell("q4_0", "q4_0"))
    for pair in (("q8_0", "q8_0"), ("q4_0", "q4_0")):
        assert found[pair]["kld_mean"] is not None
        assert (found[pair]["from_k"], found[pair]["from_v"], found[pair]["estimator"]) == (None, None, None)


def test_main_effects_where_the_cells_determine_them() -> None:
    # No q4_0/f16: what q4_0 does as K follows from q4_0/q8_0 and f16/q8_0.
    found = grid(cell("f16", "f16"), cell("f16", "q8_0"), cell("q4_0", "q8_0"), cell("q4_0", "q4_0"))
    both = found["q4_0", "q4_0"]
    assert both["estimator"] == "main effects"
    assert (both["from_k"], both["from_v"]) == pytest.approx((0.008, 0.002))
    assert both["interaction"] is None  # as many cells as effects: nothing is left over


def test_without_the_control_nothing_is_known() -> None:
    found = grid(cell("q4_0", "f16"), cell("f16", "q4_0"))
    assert all(row["from_k"] is None for row in found.values())


def test_a_cell_without_a_divergence_is_a_blank() -> None:
    found = grid(cell("f16", "f16"), cell("q4_0", "f16") | {"kld_mean": None})["q4_0", "f16"]
    assert found["kld_mean"] is found["from_k"] is None
    assert found["reason"] == "no KL divergence is known"


@pytest.mark.parametrize("changed", [{"effective_ctk": "q8_0"}, {"fallback": True}])
def test_what_did_not_run_as_the_pair_is_a_blank(changed: Row) -> None:
    found = grid(cell("f16", "f16"), cell("q4_0", "f16") | changed)["q4_0", "f16"]
    assert found["kld_mean"] is found["from_k"] is None
    assert found["reason"] in ("ran as q8_0/f16", "work left the device")


def test_texts_and_contexts_are_never_mixed() -> None:
    other = cell("q4_0", "f16") | {"n_ctx": 512}
    rows = as_table(k_or_v([cell("f16", "f16"), other]), K_OR_V).to_pylist()
    assert all(row["from_k"] is None for row in rows if row["ctk"] == "q4_0")


@given(st.sets(st.tuples(st.sampled_from(list(FROM_K)), st.sampled_from(list(FROM_V))), min_size=1))
def test_where_damages_add_up_each_estimate_is_the_truth(pairs: set[tuple[str, str]]) -> None:
    found = grid(*(cell(*pair) for pair in sorted({("f16", "f16"), *pairs})))
    for (ctk, ctv), row in found.items():
        assert row["from_k"] is None or row["from_k"] == pytest.approx(FROM_K[ctk], abs=1e-9)
        assert row["from_v"] is None or row["from_v"] == pytest.approx(FROM_V[ctv], abs=1e-9)
        assert row["interaction"] is None or row["interaction"] == pytest.approx(0, abs=1e-9)


def test_what_cancels_is_0_and_no_dust_of_the_arithmetic() -> None:
    """0.1 + 0.2 - 0.3 is 5.6e-17, of which K did all: a share of 1 with an interval without width."""
    shared = {"kld_mean_stderr": 1e-4, "kld_window_stderr": None}
    found = grid(
        quality_row("f16", "f16", 0.0, **shared),
        quality_row("f16", "q4_0", 0.3, **shared),
        quality_row("q8_0", "q4_0", 0.1 + 0.2, **shared),
    )
    both = found["q8_0", "q4_0"]
    assert (both["from_k"], both["share_k"], both["estimator"]) == (0.0, 0.0, "main effects")
    assert both["share_k_low"] == 0.0 < both["share_k_high"] < 0.001


def test_what_a_fit_leaves_over_is_a_residual_and_no_interaction() -> None:
    """q8_0 as K is told by two cells, which differ from each other by what the fit cannot explain."""
    found = grid(
        cell("f16", "f16"), cell("f16", "q8_0"), cell("f16", "q4_0"), cell("q8_0", "q8_0"),
        cell("q8_0", "q4_0", more=0.0004),
    )  # fmt: skip
    for pair, over in ((("q8_0", "q8_0"), -0.0002), (("q8_0", "q4_0"), 0.0002)):
        assert found[pair]["estimator"] == "main effects"
        assert (found[pair]["interaction"], found[pair]["residual"]) == (None, pytest.approx(over, rel=0.6))
