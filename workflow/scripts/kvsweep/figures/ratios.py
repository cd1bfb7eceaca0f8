"""Speed as a share of f16's in the same rounds: what tells which pair is faster, with how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import matplotlib
from matplotlib.axes import Axes

from kvsweep.analysis.groups import THROUGHPUT_SUBJECT, Group, compare
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.marks import pair_of, pairs_in_order, words_for
from kvsweep.figures.ratio_bars import draw_bar, finish, interval_numbers
from kvsweep.study.pairs import pair_label
from kvsweep.tables.row import Row, is_published
from kvsweep.units import format_count

SUBJECT = ("phase", *THROUGHPUT_SUBJECT)
ONE_ROUND = "open: one round, no interval"


def speed_ratios(speed: Sequence[Row]) -> Panels:
    """A line for each pair, a dot for each depth: speed over f16's; bars are 95 % over rounds."""
    known = [row for row in speed if row["ratio"] is not None and not row["fallback"]]
    # What others published has no rounds; it stands in the figures of speed by depth.
    measured = [row for row in known if not is_published(row)]
    comparison = compare(measured or known, SUBJECT)
    return panels_of(comparison, _panel)


def _panel(title: str, group: Group) -> Panel:
    depths = sorted({row["depth"] for row in group.rows})
    pairs = pairs_in_order(group.rows)
    place = {pair: line for line, pair in enumerate(pairs)}
    rows = sorted(group.rows, key=lambda row: (place[pair_of(row)], row["depth"]))
    points = tuple(
        {
            "pair": pair_label(*pair_of(row)),
            "depth, tokens": row["depth"],
            "speed, % of f16": 100 * row["ratio"],
            **interval_numbers(row),
            "verdict": row["verdict"],
            "mark": words_for(row),
        }
        for row in rows
    )
    height = 1.2 + len(pairs) * (0.16 + 0.09 * len(depths))
    return Panel(title, height, partial(_draw, rows, depths), points, beside=14)


def _draw(rows: Sequence[Row], depths: Sequence[int], axes: Axes, legend: Legend) -> None:
    pairs = pairs_in_order(rows)
    shades = matplotlib.colormaps["viridis"].resampled(max(len(depths), 2))
    step = 0.7 / max(len(depths), 2)
    axes.axvline(100, color="#444444", linewidth=1, zorder=1.5, label="f16")
    bars = []
    for index, depth in enumerate(depths):
        colour = shades(index / max(len(depths) - 1, 1) * 0.92)
        for row in (row for row in rows if row["depth"] == depth):
            line = pairs.index(pair_of(row)) + (index - (len(depths) - 1) / 2) * step
            bar = draw_bar(axes, row, line, colour, marker="o", markersize=4, label=pair_label(*pair_of(row)))
            bars.append(bar)
            name = f"depth {format_count(depth)}"
            if bar.is_known or name not in legend:
                legend[name] = bar.mark
            if row["verdict"] == "one round":
                legend.setdefault(ONE_ROUND, bar.mark)
    finish(axes, pairs, bars, "speed, % of f16's (log scale; right is faster)")
