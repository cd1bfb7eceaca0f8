"""How a cell is marked: its pair's look, and what a reader must know of it.

Filled: measured, and the pair ran that was asked for. Half filled: another pair ran. Open: published by others.
Crossed: part of the graph left the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kvsweep.figures import style
from kvsweep.figures.drawing import Legend
from kvsweep.study.pairs import effective_pair, pair_label, pair_order
from kvsweep.tables.row import Row, is_published

PairKey = tuple[str, str, str, str]
Measured = tuple[
    float, float | None, float | None
]  # a value, and the ends of its interval where they are known

FALLBACK_NOTE = "fallback: left the device"
PAPER_COLOUR = "#ffffff"


def pair_of(row: Row) -> PairKey:
    """What was asked for, and what ran; where that is not known, what was asked for."""
    ctk, ctv = row["ctk"], row["ctv"]
    return ctk, ctv, row["effective_ctk"] or ctk, row["effective_ctv"] or ctv


def pairs_in_order(rows: Iterable[Row]) -> list[PairKey]:
    return sorted({pair_of(row) for row in rows}, key=lambda pair: (pair_order(pair[0], pair[1]), str(pair)))


def marker(pair: PairKey, *, published: bool) -> dict[str, Any]:
    """How matplotlib draws a pair's marker, as keywords of ``plot`` and ``errorbar``."""
    look = style.pair_style(*pair)
    size: float = matplotlib.rcParams["lines.markersize"]
    return {
        # Behind ours and a little larger, so that both are seen where they agree.
        "markersize": 1.6 * size if published else size,
        "zorder": 2.2 if published else 3,
        "color": look.colour,
        "marker": look.marker,
        "markeredgecolor": look.colour,
        "markerfacecolor": PAPER_COLOUR if published else look.colour,
        "markerfacecoloralt": PAPER_COLOUR,
        "fillstyle": "bottom" if look.ran_as_another and not published else "full",
    }


def curve(pair: PairKey, *, published: bool = False) -> dict[str, Any]:
    line = {"linestyle": style.pair_style(*pair).dashes, "linewidth": style.THIN if published else style.LINE}
    return {**marker(pair, published=published), **line}


def draw_curve(
    axes: Axes,
    pair: PairKey,
    x: Sequence[float],
    values: Sequence[Measured],
    legend: Legend,
    *,
    published: bool = False,
) -> None:
    """A pair's values with their error bars; what is not a number interrupts the curve."""
    label = pair_label(*pair)
    bars = axes.errorbar(
        x,
        [value for value, _, _ in values],
        yerr=[
            [math.nan if low is None else value - low for value, low, _ in values],
            [math.nan if high is None else high - value for value, _, high in values],
        ],
        label=label,
        **curve(pair, published=published),
    )
    legend.setdefault(label, bars.lines[0])


def ends_of(value: Measured, unit: str) -> dict[str, float | None]:
    """The ends of a value's interval, for the numbers beside a figure."""
    return {f"95 % from, {unit}": value[1], f"95 % to, {unit}": value[2]}


def draw_dot(axes: Axes, row: Row, x: float, y: float, **errors: Any) -> None:
    """A row's pair at a place; ``errors`` are ``xerr`` and ``yerr`` of ``errorbar``."""
    pair = pair_of(row)
    look = marker(pair, published=is_published(row))
    axes.errorbar([x], [y], linestyle="none", label=pair_label(*pair), **errors, **look)


def bar(value: float, low: float | None, high: float | None) -> list[list[float]] | None:
    """The error bar of a single point, as ``errorbar`` takes it; None where an end is not known."""
    return None if low is None or high is None else [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def cross_out(axes: Axes, points: Sequence[tuple[float, float]], legend: Legend) -> None:
    """Mark fallback cells: a cross on top of the marker, explained in the legend."""
    if points:
        x, y = zip(*points, strict=True)
        (cross,) = axes.plot(
            x, y, linestyle="none", marker="x", color="#000000", markersize=10, zorder=5, label="fallback"
        )
        legend.setdefault(FALLBACK_NOTE, cross)


def explain_published(rows: Iterable[Row], legend: Legend) -> None:
    """One line of the legend for each published source among the rows."""
    for row in rows:
        open_marker = Line2D(
            [], [], linestyle="none", marker="o", color="#444444", markerfacecolor=PAPER_COLOUR
        )
        legend.setdefault(f"open: {source_of(row)}", open_marker)


def source_of(row: Row) -> str:
    """`published m5max-part2, Apple M5 Max 128GB`."""
    parts = (str(row["source"]).replace(":", " ", 1), row["machine"])
    return ", ".join(part for part in parts if part)


def words_for(row: Row) -> str | None:
    """What a figure's table says that is special about a cell; None where nothing is."""
    return joined(
        source_of(row) if is_published(row) else "",
        "another pair ran" if effective_pair(*pair_of(row)) else "",
        "fallback" if row["fallback"] else "",
    )


def joined(*words: str | None) -> str | None:
    """What is said, with commas between; None where nothing is."""
    return ", ".join(filter(None, words)) or None
