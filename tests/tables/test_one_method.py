"""Where both methods measured a context, no pair stands twice in what is compared."""

from typing import Any

from kvsweep.tables.row import SCORED, SET_UP, one_method


def row(n_ctx: int, ctk: str, method: str | None) -> dict[str, Any]:
    return {**dict.fromkeys((*SET_UP, *SCORED), "x"), "n_ctx": n_ctx, "ctk": ctk, "method": method}


def test_llama_perplexity_goes_first_where_both_measured() -> None:
    both = [row(4096, "f16", "perplexity"), row(4096, "f16", "scorer"), row(4096, "q8_0", "scorer")]
    deep = [row(32768, "f16", "scorer"), row(32768, "q8_0", "scorer")]
    assert one_method([*both, *deep]) == [both[0], *deep]


def test_a_slice_with_two_references_is_compared_by_its_own() -> None:
    own = [row(4096, pair, "perplexity") | {"reference": "x"} for pair in ("f16", "q8_0")]
    others = [one | {"reference": "mainline"} for one in own]
    assert one_method([*others, *own]) == own
    assert one_method(others) == others


def test_rows_from_before_there_was_a_scorer_all_stay() -> None:
    old = [row(4096, "f16", None), row(4096, "q8_0", None)]
    assert one_method(old) == old
