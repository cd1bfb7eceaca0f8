"""Draws speed as a share of f16's, in %: a line for each pair and a bar for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kvsweep.figures.axes import log_axis
from kvsweep.figures.marks import PAPER_COLOUR, PairKey, bar, ends_of
from kvsweep.study.pairs import pair_label
from kvsweep.tables.row import Row, with_ends

# A longer bar runs out of the panel: it would flatten all the others.
FARTHEST = 3.0


class Bar(NamedTuple):
    """What was drawn of a row: its mark, whether it has an interval, and what the axis has to hold."""

    mark: Line2D
    is_known: bool
    extent: tuple[float, ...]


def interval_numbers(row: Row) -> dict[str, float | int | None]:
    """A row's 95 % interval over rounds, for the numbers beside a figure."""
    return {
        **ends_of(with_ends(row, "ratio", 100), "%"),
        "rounds": len(row["ratio_rounds"] or ()) or None,
    }


def draw_bar(axes: Axes, row: Row, line: float, colour: Any, **look: Any) -> Bar:
    """A row's ratio at a height of the panel; hollow where it has no interval."""
    x, low, high = with_ends(row, "ratio", 100)
    known = low is not None and high is not None
    bars = axes.errorbar(
        [x],
        [line],
        xerr=bar(x, low, high),
        linestyle="none",
        color=colour,
        markerfacecolor=colour if known else PAPER_COLOUR,
        **look,
    )
    extent = (x, max(low or x, x / FARTHEST), min(high or x, x * FARTHEST))
    return Bar(bars.lines[0], known, extent)


def finish(axes: Axes, pairs: Sequence[PairKey], bars: Sequence[Bar], label: str) -> None:
    """The axes of a panel with a line for each pair, around f16's 100 %."""
    log_axis(axes, "x", [100.0, *(end for bar in bars for end in bar.extent)])
    axes.set_yticks(range(len(pairs)), [pair_label(*pair) for pair in pairs])
    axes.set_ylim(len(pairs) - 0.45, -0.55)
    for line in range(1, len(pairs)):
        axes.axhline(line - 0.5, color="#dddddd", linewidth=0.6, zorder=0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)
