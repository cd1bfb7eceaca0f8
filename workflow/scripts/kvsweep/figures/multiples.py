"""Decode speed relative to f16 by depth, a panel for each machine or engine, all on the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from kvsweep.figures.axes import depth_axis, depth_position, log_axis, smallest_depth
from kvsweep.figures.drawing import Legend, Panel, Panels
from kvsweep.figures.machines import SetUp, comparable_rows, models_of, set_ups_of
from kvsweep.figures.marks import draw_curve, explain_published, pair_of, pairs_in_order
from kvsweep.figures.ratio_bars import FARTHEST, interval_numbers
from kvsweep.study.pairs import pair_label
from kvsweep.tables.row import Row, is_published, with_ends

_HEIGHT = 2.6  # inches


def speed_by_machine(speed: Sequence[Row]) -> Panels:
    """Small multiples: for each model and family of engines that several set-ups have, a panel for each of them."""
    decode = [row for row in comparable_rows(speed) if row["phase"] == "decode"]
    panels: list[Panel] = []
    for model in models_of(decode):
        set_ups = set_ups_of(model)
        if len(set_ups) > 1:
            panels += [_panel(set_up, model) for set_up in set_ups]
    return tuple(panels)


def _panel(set_up: SetUp, everything: Sequence[Row]) -> Panel:
    points = tuple(
        {
            "pair": pair_label(*pair_of(row)),
            "depth, tokens": row["depth"],
            "speed, % of its own f16": 100 * row["ratio"],
            **interval_numbers(row),
        }
        for row in set_up.rows
    )
    return Panel(
        f"{set_up.name} · {set_up.rows[0]['model']}", _HEIGHT, partial(_draw, set_up, everything), points
    )


def _draw(set_up: SetUp, everything: Sequence[Row], axes: Axes, legend: Legend) -> None:
    """``everything`` is what all panels of the model show: it sets the axes."""
    depths = sorted({row["depth"] for row in everything})
    smallest = smallest_depth(depths)
    published = is_published(set_up.rows[0])
    axes.axhline(100, color="#444444", linewidth=1, zorder=1.5)
    for pair in pairs_in_order(set_up.rows):
        rows = sorted((row for row in set_up.rows if pair_of(row) == pair), key=lambda row: int(row["depth"]))
        x = [depth_position(row["depth"], smallest) for row in rows]
        draw_curve(axes, pair, x, [with_ends(row, "ratio", 100) for row in rows], legend, published=published)
    if published:
        explain_published(set_up.rows, legend)
    log_axis(axes, "y", [100.0, *(100 * end for row in everything for end in _extent(row))])
    axes.set_ylabel("% of its own f16\n(log scale)")
    depth_axis(axes, depths, smallest)


def _extent(row: Row) -> tuple[float, float]:
    """What the axis has to hold of a row: a longer bar runs out of the panel."""
    ratio = row["ratio"]
    return max(row["ratio_low"] or ratio, ratio / FARTHEST), min(row["ratio_high"] or ratio, ratio * FARTHEST)
