"""How many answers are right with each pair, and whether that is told from f16: item by item, on the same prompts.

A task's items are compared at each context and for each kind of question. Where the exact test of McNemar shows a
difference among all comparisons of the table (q below 0.05, Benjamini and Hochberg) it is called so. Where it does not,
``detectable`` says which difference would have been shown. A trajectory is right or wrong nowhere: of it the share of
f16's tokens is given, and where the median one leaves f16's. Exercises have several tries: the shares after the first
and after the last stand side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from kvsweep.analysis.detectable import detectable_difference
from kvsweep.analysis.frames import either, frame_of, rows_of
from kvsweep.analysis.many import FALSE_DISCOVERIES, q_values
from kvsweep.analysis.schemas import TASK_SHARES
from kvsweep.statistics import Interval, mcnemar, paired_difference, wilson
from kvsweep.tables.row import SET_UP, Row, is_published, problem_with
from kvsweep.tables.schemas import TASK_ITEMS, TASKS
from kvsweep.tables.task_scores import agreement

WORSE, BETTER, NOT_SHOWN = "worse than f16", "better than f16", "no difference shown"
EXERCISES = "aider-polyglot"
_CELL = [*SET_UP, "task", "ctk", "ctv"]
_ASKED = [*SET_UP, "task", "kind", "context", "question"]
_ITEM = [*_ASKED, "item", "prompt_sha256"]
_ROW = [*_ASKED, "ctk", "ctv"]


def task_shares(cells: Iterable[Row], items: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``task_shares``, of the cells that were measured as the pair that they are."""
    cells = list(cells)
    ran = (row for row in cells if problem_with(row) is None and not is_published(row))
    counted = frame_of(items, TASK_ITEMS, *_ITEM, "ctk", "ctv", "right", "passed_at", "tokens")
    counted = _as_asked(counted.merge(frame_of(ran, TASKS, *_CELL).drop_duplicates(), on=_CELL))
    is_f16 = (counted.ctk == "f16") & (counted.ctv == "f16")
    of_f16 = counted[is_f16].drop_duplicates([*_ASKED, "item"], keep="last")
    both = counted[~is_f16].merge(of_f16[[*_ITEM, "right", "tokens"]], on=_ITEM, suffixes=("", "_f16"))
    both["judged"] = both.right.notna() & both.right_f16.notna()
    judged = both.groupby(_ROW, dropna=False).judged.transform("all")

    found = _by_row(counted, items=("item", "size"), right=("right", lambda right: right.sum(skipna=False)))
    found = found.merge(pd.concat([_judged(both[judged]), _laid_beside(both[~judged])]), on=_ROW, how="left")
    found = found.join(_ends("share", wilson, found, "right", "items"))
    found["q_value"] = q_values(found.p_value)
    shown = found.q_value < FALSE_DISCOVERIES
    found["verdict"] = either(
        None, {NOT_SHOWN: found.q_value.notna() & ~shown, BETTER: found.difference > 0, WORSE: shown}
    )
    in_order = found.groupby(_ASKED, sort=False, dropna=False).ngroup().sort_values(kind="stable").index
    # A published cell has a share and no items.
    published = ({**row, "context": row["n_ctx"]} for row in cells if is_published(row))
    return [
        *rows_of(found.loc[in_order].reindex(columns=TASK_SHARES.names)),
        *({name: row.get(name) for name in TASK_SHARES.names} for row in published),
    ]


def _as_asked(items: pd.DataFrame) -> pd.DataFrame:
    """The items as they are counted: an exercise, of whichever language, after its first try and after its last."""
    exercises = items[items.kind == EXERCISES]
    at_once = (exercises.right & exercises.passed_at.eq(1).fillna(False)).mask(exercises.right.isna())
    tries = (exercises.assign(question="first try", right=at_once), exercises.assign(question="all tries"))
    return pd.concat([items.drop(exercises.index), *tries]).sort_index(kind="stable")


def _by_row(rows: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    found: pd.DataFrame = rows.groupby(_ROW, sort=False, dropna=False, as_index=False).agg(**columns)
    return found


def _judged(both: pd.DataFrame) -> pd.DataFrame:
    """Of the items of which f16 was asked the same: how many only one of the two has right, and what that tells."""
    both = both.assign(only_pair=both.right & ~both.right_f16, only_f16=~both.right & both.right_f16)
    sums = {name: (name, "sum") for name in ("only_pair", "only_f16")}
    found = _by_row(both, compared=("item", "size"), **sums)
    counts = list(zip(found.only_pair, found.only_f16, found.compared, strict=True))
    found["p_value"] = [mcnemar(one, other) for one, other, _ in counts]
    found["detectable"] = [detectable_difference(*of) for of in counts]
    return found.join(_ends("difference", paired_difference, found, "only_pair", "only_f16", "compared"))


def _laid_beside(both: pd.DataFrame) -> pd.DataFrame:
    """How far trajectories are f16's."""
    tokens = [(own or [], of_f16 or []) for own, of_f16 in zip(both.tokens, both.tokens_f16, strict=True)]
    alike = [agreement(own, of_f16) for own, of_f16 in tokens]
    both = both.assign(
        same=[share for share, _ in alike],
        never_left=[at is None for _, at in alike],
        # One that never leaves f16's does so after its end at the earliest.
        left=[len(own) if at is None else at for (own, _), (_, at) in zip(tokens, alike, strict=True)],
    )
    return _by_row(
        both,
        compared=("item", "size"),
        same_tokens=("same", "mean"),
        median_first_difference=("left", "median"),
        never_left=("never_left", "sum"),
    )


def _ends(name: str, interval: Callable[..., Interval], rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The columns of an interval, of the rows in which these columns are known."""
    known = rows[[*columns]].dropna()
    ends = [interval(*map(int, row)) for row in known.to_numpy()]
    return pd.DataFrame(ends, index=known.index, columns=[name, f"{name}_low", f"{name}_high"])
