"""Crossovers: the depth at which one pair overtakes another."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from kvsweep.analysis.groups import SUBJECT, Group, compare_beside_published
from kvsweep.figures import style
from kvsweep.figures.axes import depth_axis, depth_position, smallest_depth
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.marks import PAPER_COLOUR, bar, ends_of, explain_published, joined, source_of
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import Row, is_published, with_ends

MOST_LINES = 12  # of a panel; those beyond the errors come first


def crossovers(found: Sequence[Row]) -> Panels:
    """Where one pair overtakes another in speed, interpolated between measured depths."""
    crossings = [row for row in found if row["depth"] is not None and row["ahead_after"] is not None]
    comparison = compare_beside_published(crossings, (*SUBJECT, "phase", "n_tokens"))
    return panels_of(comparison, _panel)


def _panel(title: str, group: Group) -> Panel:
    rows = sorted((*group.rows, *group.published), key=lambda row: (_is_uncertain(row), float(row["depth"])))
    lines = list(dict.fromkeys(map(_words, rows)))
    shown = lines[:MOST_LINES]
    if len(lines) > len(shown):
        title += f" · {len(shown)} of {len(lines)} crossings"
    rows = [row for row in rows if _words(row) in shown]
    points = tuple(
        {
            "crossing": _words(row),
            "depth, tokens": row["depth"],
            **ends_of(with_ends(row, "depth"), "tokens"),
            "between, tokens": f"{row['between_low']} and {row['between_high']}",
            "mark": joined(
                source_of(row) if is_published(row) else "",
                "within the errors" if _is_uncertain(row) else "",
            ),
        }
        for row in rows
    )
    return Panel(title, 1.1 + 0.38 * len(shown), partial(_draw, rows, shown), points, beside=20)


def _words(row: Row) -> str:
    overtakes = "may overtake" if _is_uncertain(row) else "overtakes"
    return f"{row['ahead_after']} {overtakes} {row['ahead_before']}"


def _is_uncertain(row: Row) -> bool:
    return str(row["verdict"]) != "crosses"


def _position(depth: float, smallest: float) -> float:
    """Between 0 and the smallest other depth that was measured an axis of depths has no logarithm."""
    return depth_position(depth, smallest) if depth >= smallest else depth / smallest


def _draw(rows: Sequence[Row], lines: Sequence[str], axes: Axes, legend: Legend) -> None:
    depths = sorted({depth for row in rows for depth in row["depths"]})
    smallest = smallest_depth(depths)
    for row in rows:
        pair = Pair.parse(row["ahead_after"])
        look = style.pair_style(pair.ctk, pair.ctv)
        x = _position(row["depth"], smallest)
        low, high = (
            None if row[end] is None else _position(row[end], smallest) for end in ("depth_low", "depth_high")
        )
        bars = axes.errorbar(
            [x],
            [lines.index(_words(row))],
            xerr=bar(x, low, high),
            linestyle="none",
            color=look.colour,
            marker=look.marker,
            markerfacecolor=PAPER_COLOUR if is_published(row) else look.colour,
            markersize=4 if _is_uncertain(row) else None,
            label=_words(row),
        )
        if _is_uncertain(row):
            legend.setdefault("small: not told to cross", bars.lines[0])
    explain_published(filter(is_published, rows), legend)
    axes.set_yticks(range(len(lines)), [textwrap.fill(line, 26) for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    depth_axis(axes, depths, smallest)
