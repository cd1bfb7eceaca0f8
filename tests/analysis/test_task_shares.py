"""Shares of right answers beside f16's, on the same items."""

from typing import Any

import pyarrow as pa
import pytest
from kvsweep.analysis.schemas import TASK_SHARES
from kvsweep.analysis.task_shares import NOT_SHOWN, WORSE, task_shares

SET_UP = {
    **{"source": "measured", "engine": "e", "engine_commit": None, "backend": "cpu", "machine": "here"},
    **{"model": "m", "model_sha256": "0"},
}


def cell(pair: str, status: str = "measured") -> dict[str, Any]:
    ran = {"effective_ctk": pair, "effective_ctv": pair, "fallback": False}
    return {**SET_UP, "task": "r", "ctk": pair, "ctv": pair, "status": status, **ran}


def items(pair: str, letters: str, kind: str = "recall", **more: Any) -> list[dict[str, Any]]:
    """An item for each letter: r is right, w wrong."""
    of = {**SET_UP, "task": "r", "kind": kind, "ctk": pair, "ctv": pair, "context": 1024, "question": "one"}
    return [
        {**of, "item": str(at), "prompt_sha256": str(at), "right": one == "r", "tokens": [1], **more}
        for at, one in enumerate(letters)
    ]


def shares(*found: list[dict[str, Any]], status: str = "measured") -> dict[str, dict[str, Any]]:
    pairs = [rows[0]["ctk"] for rows in found]
    rows = task_shares(
        [cell(pair, status if pair != "f16" else "measured") for pair in pairs],
        [row for one in found for row in one],
    )
    pa.Table.from_pylist(rows, schema=TASK_SHARES)
    return {row["ctk"]: row for row in rows}


def test_a_pair_that_loses_many_items_is_worse() -> None:
    found = shares(items("f16", "r" * 30 + "w" * 10), items("q4_0", "r" * 15 + "w" * 25))["q4_0"]
    assert (found["only_pair"], found["only_f16"], found["difference"]) == (0, 15, -0.375)
    assert found["p_value"] == pytest.approx(2 / 2**15)
    assert found["difference_low"] < -0.375 < found["difference_high"] < 0
    assert found["verdict"] == WORSE


def test_exercises_are_counted_after_the_first_try_and_after_all() -> None:
    """Whatever their language; an exercise is right after all tries if it is right after one."""
    tries = {"r": 1, "s": 2, "w": None}
    rows = []
    for pair, letters in (("f16", "rrsw"), ("q4_0", "rsww")):
        for item, letter in zip(items(pair, letters, kind="aider-polyglot"), letters, strict=True):
            language = "python" if item["item"] in "01" else "rust"
            rows.append(item | {"question": language, "passed_at": tries[letter], "right": letter != "w"})
    found = task_shares([cell("f16"), cell("q4_0")], rows)
    right = {(row["ctk"], row["question"]): (row["right"], row["items"]) for row in found}
    assert right == {
        **{("f16", "first try"): (2, 4), ("f16", "all tries"): (3, 4)},
        **{("q4_0", "first try"): (1, 4), ("q4_0", "all tries"): (2, 4)},
    }


def test_what_was_published_stands_by_itself() -> None:
    share = {"items": 225, "right": 140, "share": 0.622, "share_low": 0.557, "share_high": 0.683}
    theirs = cell("q8_0") | share | {"source": "published:x", "kind": "aider-polyglot", "n_ctx": None}
    (row,) = task_shares([theirs], [])
    pa.Table.from_pylist([row], schema=TASK_SHARES)
    assert (row["share"], row["context"], row.get("verdict")) == (0.622, None, None)


def test_what_is_not_shown_says_what_could_have_been() -> None:
    found = shares(items("f16", "r" * 38 + "w" * 2), items("q8_0", "r" * 37 + "w" * 3))
    assert found["q8_0"]["verdict"] == NOT_SHOWN
    assert 6 / 40 <= found["q8_0"]["detectable"] < 0.25
    assert found["f16"]["share"] == 0.95
    assert found["f16"]["verdict"] is None


def test_many_comparisons_are_more_demanding() -> None:
    base, worse = items("f16", "r" * 20), items("q4_0", "r" * 14 + "w" * 6)
    assert shares(base, worse)["q4_0"]["verdict"] == WORSE
    alike = [items(pair, "r" * 20) for pair in ("q8_0", "q5_1", "q5_0")]
    assert shares(base, worse, *alike)["q4_0"]["verdict"] == NOT_SHOWN


def test_only_the_same_prompts_are_compared() -> None:
    found = shares(items("f16", "rr"), items("q8_0", "rw", prompt_sha256="other"))["q8_0"]
    assert (found["items"], found.get("compared")) == (2, None)


def test_a_cell_that_failed_says_nothing() -> None:
    assert list(shares(items("f16", "rr"), items("q8_0", "rw"), status="crashed")) == ["f16"]


def test_a_trajectory_is_laid_beside_f16s() -> None:
    base = items("f16", "ww", "trajectory", right=None, tokens=[1, 2, 3, 4])
    other = items("q8_0", "ww", "trajectory", right=None, tokens=[1, 2, 9, 4])
    found = shares(base, other)["q8_0"]
    assert (found["same_tokens"], found["median_first_difference"], found["never_left"]) == (0.75, 2.0, 0)
    assert found["share"] is None
