"""Answers: the share that is right, by the length of the context."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from kvsweep.analysis.groups import SUBJECT, Group, compare
from kvsweep.analysis.set_ups import by_columns
from kvsweep.figures.depth import token_axis
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.labels import label_points
from kvsweep.figures.marks import PairKey, draw_curve, ends_of
from kvsweep.numbers import in_percent
from kvsweep.study.pairs import pair_label, pair_order
from kvsweep.tables.row import Row, with_ends

# From a pair's bars to the next one's, as a share of the axis; all together take no more than the second.
_STEP, _MOST_ASIDE = 0.02, 0.2


def right_by_context(task_shares: Sequence[Row]) -> Panels:
    """Share of right answers of each pair, a panel for each task and kind of question; bars are 95 % (Wilson)."""
    comparison = compare(
        # Of what was published the context is not known.
        [row for row in task_shares if row["share"] is not None and row["context"] is not None],
        ("task", "question", *SUBJECT),
    )
    return panels_of(comparison, _panel)


def _panel(title: str, group: Group) -> Panel:
    in_order = sorted(group.rows, key=lambda row: (pair_order(row["ctk"], row["ctv"]), row["context"]))
    # Only cells in which the pair ran that was asked for have a share.
    lines = {(*pair, *pair): own for pair, own in by_columns(in_order, ("ctk", "ctv")).items()}
    points = tuple(
        {
            "pair": pair_label(*pair),
            "context, tokens": row["context"],
            "right, %": in_percent(row["share"]),
            **ends_of(with_ends(row, "share", 100), "%"),
            "answers": row["items"],
            "against f16": row["verdict"],
        }
        for pair, rows in lines.items()
        for row in rows
    )
    aside = _steps_aside(lines)
    ends = [
        (rows[-1]["context"] * aside[pair], 100 * rows[-1]["share"], pair_label(*pair))
        for pair, rows in lines.items()
    ]
    finish = partial(label_points, points=ends)
    return Panel(title, 3.4, partial(_draw, lines, aside), points, finish=finish)


def _octaves(lines: dict[PairKey, list[Row]]) -> float:
    """How long the axis is; a single context has one all the same."""
    contexts = [row["context"] for rows in lines.values() for row in rows]
    return max(math.log2(max(contexts) / min(contexts)), 1.0)


def _steps_aside(lines: dict[PairKey, list[Row]]) -> dict[PairKey, float]:
    """By how much each pair stands beside its context, as a factor, so that bars of equal shares are seen."""
    step = _octaves(lines) * min(_STEP, _MOST_ASIDE / len(lines))
    return {pair: 2 ** (step * (place - (len(lines) - 1) / 2)) for place, pair in enumerate(lines)}


def _draw(lines: dict[PairKey, list[Row]], asides: dict[PairKey, float], axes: Axes, legend: Legend) -> None:
    for pair, rows in lines.items():
        x = [row["context"] * asides[pair] for row in rows]
        draw_curve(axes, pair, x, [with_ends(row, "share", 100) for row in rows], legend)
    contexts = [row["context"] for rows in lines.values() for row in rows]
    token_axis(axes, contexts)
    room = 2 ** (0.14 * _octaves(lines))
    axes.set_xlim(min(contexts) / room, max(contexts) * room)
    axes.set_ylim(-4, 104)
    axes.set_xlabel("context, tokens (log scale)")
    axes.set_ylabel("right answers, %")
