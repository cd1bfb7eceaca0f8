"""Answers: the share that is right, by the length of the context."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from kvsweep.analysis.groups import SUBJECT, Group, compare
from kvsweep.figures.depth import token_axis
from kvsweep.figures.drawing import Drawing, Legend, Panel
from kvsweep.figures.labels import label_points
from kvsweep.figures.marks import PairKey, curve
from kvsweep.numbers import in_percent
from kvsweep.study.pairs import pair_label, pair_order
from kvsweep.tables.row import Row


def right_by_context(task_shares: Sequence[Row]) -> Drawing:
    """Share of right answers of each pair, a panel for each task and kind of question; bars are 95 % (Wilson)."""
    comparison = compare(
        # Of what was published the context is not known.
        [row for row in task_shares if row["share"] is not None and row["context"] is not None],
        ("task", "question", *SUBJECT),
    )
    return Drawing(
        "Right answers by context",
        tuple(_panel(comparison.full_title(group), group) for group in comparison.groups),
    )


def _look(row: Row) -> PairKey:
    """Only cells in which the pair ran that was asked for have a share."""
    return row["ctk"], row["ctv"], row["ctk"], row["ctv"]


def _panel(title: str, group: Group) -> Panel:
    lines: dict[PairKey, list[Row]] = {}
    for row in sorted(group.rows, key=lambda row: (pair_order(row["ctk"], row["ctv"]), row["context"])):
        lines.setdefault(_look(row), []).append(row)
    points = tuple(
        {
            "pair": pair_label(*pair),
            "context, tokens": row["context"],
            "right, %": in_percent(row["share"]),
            "95 % from, %": in_percent(row["share_low"]),
            "95 % to, %": in_percent(row["share_high"]),
            "answers": row["items"],
            "against f16": row["verdict"],
        }
        for pair, rows in lines.items()
        for row in rows
    )
    ends = [
        (float(rows[-1]["context"]), 100 * rows[-1]["share"], pair_label(*pair))
        for pair, rows in lines.items()
    ]
    return Panel(title, 3.4, partial(_draw, lines), points, finish=partial(label_points, points=ends))


def _draw(lines: dict[PairKey, list[Row]], axes: Axes, legend: Legend) -> None:
    for place, (pair, rows) in enumerate(lines.items()):
        # A step aside, so that bars of equal shares are seen.
        aside = 2 ** (0.03 * (place - (len(lines) - 1) / 2))
        share = [100 * row["share"] for row in rows]
        bars = axes.errorbar(
            [row["context"] * aside for row in rows],
            share,
            yerr=[
                [100 * (row["share"] - row["share_low"]) for row in rows],
                [100 * (row["share_high"] - row["share"]) for row in rows],
            ],
            label=pair_label(*pair),
            **curve(pair),
        )
        legend.setdefault(pair_label(*pair), bars.lines[0])
    token_axis(axes, [row["context"] for rows in lines.values() for row in rows])
    axes.set_ylim(-4, 104)
    axes.set_xlabel("context, tokens (log scale)")
    axes.set_ylabel("right answers, %")
