"""How many answers are right with each pair, and whether that is told from f16: item by item, on the same prompts.

A task's items are compared at each context and for each kind of question. Where the exact test of McNemar shows a
difference among all comparisons of the table (q below 0.05, Benjamini and Hochberg) it is called so. Where it does not,
``detectable`` says which difference would have been shown. A trajectory is right or wrong nowhere: of it the share of
f16's tokens is given, and where the median one leaves f16's. Exercises have several tries: the shares after the first
and after the last stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from statistics import fmean, median
from typing import Any

from kvsweep.analysis.detectable import detectable_difference
from kvsweep.analysis.many import q_values
from kvsweep.analysis.set_ups import by_columns
from kvsweep.statistics import mcnemar, paired_difference, wilson
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.row import SET_UP, Row, is_published, pair_of, problem_with
from kvsweep.tables.task_scores import agreement

WORSE, BETTER, NOT_SHOWN = "worse than f16", "better than f16", "no difference shown"
_FALSE_DISCOVERIES = 0.05
EXERCISES = "aider-polyglot"
_cell = itemgetter(*SET_UP, "task", "ctk", "ctv")


def task_shares(cells: Iterable[Row], items: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``task_shares``, of the cells that were measured as the pair that they are."""
    cells = list(cells)
    counts = {_cell(row) for row in cells if problem_with(row) is None and not is_published(row)}
    found: list[dict[str, Any]] = []
    same = (*SET_UP, "task", "kind", "context", "question")
    counted = [one for row in items if _cell(row) in counts for one in _as_asked(row)]
    for key, rows in by_columns(counted, same).items():
        by_pair = by_columns(rows, ("ctk", "ctv"))
        base = {row["item"]: row for row in by_pair.get((BASELINE_PAIR.ctk, BASELINE_PAIR.ctv), ())}
        for own in by_pair.values():
            shared = {**dict(zip(same, key, strict=True)), "ctk": own[0]["ctk"], "ctv": own[0]["ctv"]}
            found.append({**shared, **_share(own), **_beside(own, base)})
    for row, q in zip(found, q_values([_or_nan(row.get("p_value")) for row in found]), strict=True):
        if row.get("p_value") is not None:
            row["q_value"] = float(q)
            row["verdict"] = NOT_SHOWN
            if q < _FALSE_DISCOVERIES:
                row["verdict"] = BETTER if row["difference"] > 0 else WORSE
    return [*found, *map(_as_published, filter(is_published, cells))]


def _as_asked(row: Row) -> list[Row]:
    """An item as it is counted; an exercise, of whichever language, after its first try and after its last."""
    if row["kind"] != EXERCISES:
        return [row]
    first = {**row, "right": row["right"] and row["passed_at"] == 1}
    return [{**first, "question": "first try"}, {**row, "question": "all tries"}]


def _as_published(row: Row) -> dict[str, Any]:
    """The row of a published cell, which has a share and no items."""
    same = (*SET_UP, "task", "kind", "ctk", "ctv", "items", "right", "share", "share_low", "share_high")
    return {name: row[name] for name in same} | {"context": row["n_ctx"]}


def _share(rows: Sequence[Row]) -> dict[str, Any]:
    if any(row["right"] is None for row in rows):
        return {"items": len(rows)}
    right = sum(row["right"] for row in rows)
    share = wilson(right, len(rows))
    return {
        **{"items": len(rows), "right": right},
        **{"share": share.value, "share_low": share.low, "share_high": share.high},
    }


def _beside(rows: Sequence[Row], base: Mapping[str, Row]) -> dict[str, Any]:
    """Beside f16, of the items of which the same was asked; nothing for f16 itself."""
    if pair_of(rows[0]) == BASELINE_PAIR:
        return {}
    both = [
        (row, base[row["item"]])
        for row in rows
        if row["item"] in base and base[row["item"]]["prompt_sha256"] == row["prompt_sha256"]
    ]
    if not both:
        return {}
    if any(one["right"] is None or other["right"] is None for one, other in both):
        alike = [agreement(one["tokens"] or [], other["tokens"] or []) for one, other in both]
        # One that never leaves f16's does so after its end at the earliest.
        left = [
            len(one["tokens"] or []) if at is None else at
            for (one, _), (_, at) in zip(both, alike, strict=True)
        ]
        return {
            "compared": len(both),
            "same_tokens": fmean(share for share, _ in alike),
            "median_first_difference": float(median(left)),
            "never_left": sum(at is None for _, at in alike),
        }
    only_pair = sum(one["right"] and not other["right"] for one, other in both)
    only_f16 = sum(other["right"] and not one["right"] for one, other in both)
    difference = paired_difference(only_pair, only_f16, len(both))
    return {
        **{"compared": len(both), "only_pair": only_pair, "only_f16": only_f16},
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p_value": mcnemar(only_pair, only_f16),
        "detectable": detectable_difference(only_pair, only_f16, len(both)),
    }


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
