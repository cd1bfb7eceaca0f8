"""Figures from tables: each function takes a table as a pandas DataFrame and returns a matplotlib Figure.

What measured different things (another engine, model, corpus, context, machine, ...) gets its own panel,
never a place on the same curve. What was not measured is left out. Equal tables give equal bytes.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from kvsweep import style
from kvsweep.cache_types import BASELINE_PAIR, Pair
from kvsweep.presentation import (
    QUALITY_SUBJECT,
    THROUGHPUT_SUBJECT,
    Comparison,
    Row,
    compare,
    format_number,
    in_percent,
    larger,
    rows_of,
)
from kvsweep.statistics import relative_difference
from kvsweep.units import format_count

WIDTH = 5.0  # inches: a column of print, and still readable when shrunk to a phone
PANELS_IN_ONE_COLUMN = 4
CHARACTERS_PER_LINE = 54  # of a title, in a panel of that width
FALLBACK_NOTE = "fallback: left the device"

NO_BREAK_SPACE = "\u00a0"

PairKey = tuple[str, str, str | None, str | None]
Legend = dict[str, Artist]


# Draws one group of rows into a panel, and adds to the legend what it used.
PanelDrawer = Callable[[Axes, Sequence[Row], Legend], None]


# --- parts that all figures share ---------------------------------------------------------------------------


def _in_style(draw: Callable[[pd.DataFrame], Figure]) -> Callable[[pd.DataFrame], Figure]:
    @wraps(draw)
    def styled(table: pd.DataFrame) -> Figure:
        with matplotlib.rc_context(style.RC):
            return draw(table)

    return styled


def _pair(row: Row) -> PairKey:
    return row["ctk"], row["ctv"], row["effective_ctk"], row["effective_ctv"]


def _pairs_in_order(rows: Iterable[Row]) -> list[PairKey]:
    return sorted(
        {_pair(row) for row in rows}, key=lambda pair: (style.pair_order(pair[0], pair[1]), str(pair))
    )


def _marker(pair: PairKey) -> dict[str, Any]:
    look = style.pair_style(*pair)
    return {
        "color": look.colour,
        "marker": look.marker,
        "markeredgecolor": look.colour,
        "markerfacecolor": "white" if look.hollow else look.colour,
    }


def _curve(pair: PairKey) -> dict[str, Any]:
    return {**_marker(pair), "linestyle": style.pair_style(*pair).dashes}


def _cross_out(axes: Axes, points: Sequence[tuple[float, float]], legend: Legend) -> None:
    """Mark fallback cells: a cross on top of the marker, explained in the legend."""
    if points:
        x, y = zip(*points, strict=True)
        (cross,) = axes.plot(
            x, y, linestyle="none", marker="x", color="black", markersize=10, zorder=5, label="fallback"
        )
        legend.setdefault(FALLBACK_NOTE, cross)


def _wrapped(description: str) -> str:
    """The description in lines of a panel's width, broken between its parts only."""
    unbreakable = (part.replace(" ", NO_BREAK_SPACE) for part in description.split(" · "))
    return textwrap.fill(f"{NO_BREAK_SPACE}· ".join(unbreakable), CHARACTERS_PER_LINE)


def _nothing_measured(title: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 1.6), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, "no cell measured", ha="center", va="center", fontsize=style.SMALLEST_FONT + 3)
    return figure


def _panels(
    title: str,
    comparison: Comparison,
    height: Callable[[Sequence[Row]], float],
    draw: PanelDrawer,
) -> Figure:
    """One panel per group, under one title and above one legend; `height` is a panel's, in inches."""
    groups = comparison.groups
    if not groups:
        return _nothing_measured(title)
    columns = 1 if len(groups) <= PANELS_IN_ONE_COLUMN else 2
    heights = [
        max(height(group.rows) for group in groups[start : start + columns])
        for start in range(0, len(groups), columns)
    ]
    figure = Figure(figsize=(WIDTH * columns, sum(heights) + 0.6), layout="constrained")
    grid = figure.subplots(len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    panels = list(grid.flat)
    for spare in panels[len(groups) :]:
        spare.set_axis_off()
    legend: Legend = {}
    for axes, group in zip(panels, groups, strict=False):
        # Everything a panel shows is said above it, what sets it apart first: panels get passed on alone.
        axes.set_title(_wrapped(comparison.full_title(group)))
        draw(axes, group.rows, legend)
    figure.suptitle(title, x=0.01, ha="left")
    _add_legend(figure, legend, columns)
    return figure


def _add_legend(figure: Figure, legend: Legend, columns: int) -> None:
    """Below all panels, in as many columns as fit; the figure grows by its lines."""
    if not legend:
        return
    labels = list(legend)

    def width(n_columns: int) -> float:
        """In points, with matplotlib's way to deal entries out: the first columns take what is over."""
        columns_of_labels = np.array_split(np.array(labels, dtype=object), n_columns)
        return sum(5.2 * max(map(len, column)) + 45 for column in columns_of_labels)

    most = min(len(labels), 4 * columns)
    per_line = next((n for n in range(most, 1, -1) if width(n) <= 72 * WIDTH * columns), 1)
    total_width, height = figure.get_size_inches()
    figure.set_size_inches(total_width, height + 0.19 * math.ceil(len(labels) / per_line))
    figure.legend(list(legend.values()), labels, loc="outside lower center", ncols=per_line)


def log_ticks(low: float, high: float) -> list[float]:
    """At least four round numbers between two positive ones, as few as can be, for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
        ticks = [m * 10.0**d for d in decades for m in multiples if low <= m * 10.0**d <= high]
        if len(ticks) >= 4:
            return ticks
    step = 10.0 ** math.floor(math.log10(high - low)) if high > low else high
    step = next((s for s in (step, step / 2, step / 5) if (high - low) / s >= 4), step / 5)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_axis(axes: Axes, which: str, extent: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """A logarithmic axis over the positive numbers of `extent`, with a margin, labelled at round numbers."""
    low, high = min(v for v in extent if v > 0), max(extent)
    room = max(margin * math.log10(high / low), 0.02)
    low, high = low / 10**room, high * 10**room
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log", nonpositive="clip")
    getattr(axes, f"set_{which}lim")(low, high)
    ticks = log_ticks(low, high)
    axis.set_ticks(ticks, [format_number(tick, 3) for tick in ticks])
    axis.set_ticks([], minor=True)
    return low, high


# --- speed --------------------------------------------------------------------------------------------------


def depth_position(depth: float, smallest: float) -> float:
    """Where a depth stands: powers of two at equal steps; 0 one step before the smallest other depth."""
    return math.log2(depth / smallest) + 1 if depth > 0 else 0.0


def _speed_by_depth(table: pd.DataFrame, phase: str, title: str) -> Figure:
    rows = [row for row in rows_of(table) if row["phase"] == phase]
    measured = [row for row in rows if row["tokens_per_second"] is not None]
    smallest = min((row["depth"] for row in measured if row["depth"] > 0), default=1)

    def draw(axes: Axes, group: Sequence[Row], legend: Legend) -> None:
        # The group has the measured cells only; the others of the same subject interrupt the curves.
        subject = tuple(group[0][column] for column in THROUGHPUT_SUBJECT[:-1])
        missing = {
            (row["ctk"], row["ctv"], row["depth"])
            for row in rows
            if row["tokens_per_second"] is None
            and tuple(row[column] for column in THROUGHPUT_SUBJECT[:-1]) == subject
        }
        extent: list[float] = []
        fallback: list[tuple[float, float]] = []
        for pair in _pairs_in_order(group):
            cells = {row["depth"]: row for row in group if _pair(row) == pair}
            gaps = {depth for ctk, ctv, depth in missing if (ctk, ctv) == pair[:2]} - set(cells)
            depths = sorted(cells.keys() | gaps)
            speed = [cells[d]["tokens_per_second"] if d in cells else math.nan for d in depths]
            error = [
                _or_nan(cells[d]["tokens_per_second_stddev"]) if d in cells else math.nan for d in depths
            ]
            label = style.pair_label(*pair)
            bars = axes.errorbar(
                [depth_position(d, smallest) for d in depths], speed, yerr=error, label=label, **_curve(pair)
            )
            legend.setdefault(label, bars.lines[0])
            extent += [row["tokens_per_second"] for row in cells.values()]
            extent += [
                row["tokens_per_second"] + sign * (row["tokens_per_second_stddev"] or 0)
                for row in cells.values()
                for sign in (-1, 1)
            ]
            fallback += [
                (depth_position(d, smallest), row["tokens_per_second"])
                for d, row in cells.items()
                if row["fallback"]
            ]
        _cross_out(axes, fallback, legend)
        _log_axis(axes, "y", extent)
        axes.set_ylabel("tokens/s (log scale)")
        _depth_axis(axes, sorted({row["depth"] for row in group}), smallest)

    return _panels(title, compare(measured, THROUGHPUT_SUBJECT), lambda _: 3.9, draw)


def _depth_axis(axes: Axes, depths: Sequence[int], smallest: float) -> None:
    positions = [depth_position(depth, smallest) for depth in depths]
    axes.set_xlim(positions[0] - 0.35, positions[-1] + 0.35)
    shown = _spaced(positions, 0.07 * (positions[-1] - positions[0]))
    axes.set_xticks([positions[i] for i in shown], [format_count(int(depths[i])) for i in shown])
    axes.set_xlabel("depth: tokens already in the KV cache (log scale, 0 set apart)")


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _spaced(positions: Sequence[float], distance: float) -> list[int]:
    """Indices of positions (ascending) that keep their distance from the one kept before."""
    kept: list[int] = []
    for i, position in enumerate(positions):
        if not kept or position - positions[kept[-1]] >= distance:
            kept.append(i)
    return kept


@_in_style
def prefill_by_depth(table: pd.DataFrame) -> Figure:
    """Prompt processing rate against depth; error bars: sample standard deviation over repetitions."""
    return _speed_by_depth(table, "prefill", "Prefill speed by depth")


@_in_style
def decode_by_depth(table: pd.DataFrame) -> Figure:
    """Text generation rate against depth; error bars: sample standard deviation over repetitions."""
    return _speed_by_depth(table, "decode", "Decode speed by depth")


REFERENCES = (BASELINE_PAIR, Pair("q8_0", "q8_0"))


def reference_of(rows: Sequence[Row]) -> PairKey | None:
    """The pair to compare speeds with: f16, or q8_0 where that ran at more depths."""
    depths = {
        pair: len({row["depth"] for row in rows if _pair(row) == pair})
        for pair in _pairs_in_order(rows)
        if Pair(*pair[:2]) in REFERENCES and style.effective_pair(*pair) is None
    }
    return max(depths, key=lambda pair: depths[pair], default=None)


def _speed_by_depth_relative(table: pd.DataFrame, phase: str, title: str) -> Figure:
    measured = [
        row for row in rows_of(table) if row["phase"] == phase and row["tokens_per_second"] is not None
    ]
    # A fallback is slower by factors; beside it no difference between the others could be seen.
    rows = [row for row in measured if not row["fallback"]]
    left_out = [row for row in measured if row["fallback"]]
    smallest = min((row["depth"] for row in rows if row["depth"] > 0), default=1)
    groups = compare(rows, THROUGHPUT_SUBJECT).groups
    comparable = [row for group in groups if reference_of(group.rows) for row in group.rows]

    def draw(axes: Axes, group: Sequence[Row], legend: Legend) -> None:
        reference = reference_of(group)
        assert reference is not None
        base = {row["depth"]: row for row in group if _pair(row) == reference}
        for pair in _pairs_in_order(group):
            if pair == reference:
                continue
            cells = sorted(
                (row for row in group if _pair(row) == pair and row["depth"] in base),
                key=lambda row: int(row["depth"]),
            )
            if not cells:
                continue
            x = [depth_position(row["depth"], smallest) for row in cells]
            change = [
                100 * (row["tokens_per_second"] / base[row["depth"]]["tokens_per_second"] - 1)
                for row in cells
            ]
            spans = [relative_difference(_samples(row), _samples(base[row["depth"]])) for row in cells]
            below = [100 * (span.difference - span.low) if span else math.nan for span in spans]
            above = [100 * (span.high - span.difference) if span else math.nan for span in spans]
            label = style.pair_label(*pair)
            bars = axes.errorbar(x, change, yerr=[below, above], label=label, **_curve(pair))
            legend.setdefault(label, bars.lines[0])
        name = str(Pair(*reference[:2]))
        axes.axhline(0, color="#444444", linewidth=1, zorder=1.5, label="reference")
        for pair in _pairs_in_order(left_out):
            legend[f"left out (fallback): {style.pair_label(*pair)}"] = Line2D([], [], linestyle="none")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g} %".replace("-", "−") if value else name)
        axes.set_ylabel(f"difference from {name} at the same depth")
        _depth_axis(axes, sorted(base), smallest)

    return _panels(title, compare(comparable, THROUGHPUT_SUBJECT), lambda _: 3.9, draw)


def _samples(row: Row) -> list[float]:
    samples = row["samples"]
    return [] if samples is None else [float(sample) for sample in samples]


@_in_style
def prefill_relative(table: pd.DataFrame) -> Figure:
    """Prompt processing rate against that of a reference pair; error bars are 95 % confidence intervals."""
    return _speed_by_depth_relative(table, "prefill", "Prefill speed, compared at equal depth")


@_in_style
def decode_relative(table: pd.DataFrame) -> Figure:
    """Text generation rate against that of a reference pair; error bars are 95 % confidence intervals."""
    return _speed_by_depth_relative(table, "decode", "Decode speed, compared at equal depth")


# --- quality ------------------------------------------------------------------------------------------------


PRINTED_KLD_ERROR = 5e-7  # nats: llama-perplexity prints six decimals


def kld_error(row: Row) -> float | None:
    """The larger of the two standard errors of the mean KL divergence, in nats; at least what printing rounds off."""
    error = larger(row["kld_mean_stderr"], row["kld_window_stderr"])
    return None if error is None else max(error, PRINTED_KLD_ERROR)


def _is_control(row: Row) -> bool:
    return Pair(row["ctk"], row["ctv"]) == BASELINE_PAIR


def _control_of(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if _is_control(row)), None)


FLOOR_IN_REACH = (
    30.0  # a floor that many times below the lowest pair is named, not drawn: it would flatten the rest
)


def _floor_in_reach(rows: Sequence[Row]) -> float | None:
    """The control's mean KLD where it is worth a place on the axis."""
    control = _control_of(rows)
    others = [row["kld_mean"] for row in rows if not _is_control(row) and row["kld_mean"] > 0]
    if (
        control is None
        or control["kld_mean"] <= 0
        or (others and control["kld_mean"] * FLOOR_IN_REACH < min(others))
    ):
        return None
    return float(control["kld_mean"])


def _draw_floor(axes: Axes, which: str, rows: Sequence[Row], legend: Legend) -> None:
    """The control's mean KLD as a line over the panel; only named in the legend where far below, or 0.

    What is not above 0 is called 0: it is noise of the 16-bit baseline.
    """
    control = _control_of(rows)
    if control is None:
        return
    kld, floor = control["kld_mean"], _floor_in_reach(rows)
    name = f"floor (f16 against itself): {format_number(kld, 2) if kld > 0 else '0'}"
    if floor is None:
        legend.setdefault(f"{name}, below the axis", Line2D([], [], linestyle="none"))
        return
    along = axes.axvline if which == "x" else axes.axhline
    legend.setdefault(
        name, along(floor, color="#444444", linewidth=1, linestyle=(0, (6, 2, 1, 2)), label="floor")
    )


def _kld_extent(rows: Sequence[Row]) -> list[float]:
    """What a logarithmic axis has to span: values, ends of error bars, and a floor in reach."""
    values = [row["kld_mean"] for row in rows if row["kld_mean"] > 0 and not _is_control(row)]
    ends = [row["kld_mean"] + sign * (kld_error(row) or 0) for row in rows for sign in (-1, 1)]
    floor = _floor_in_reach(rows)
    extent = values + ([floor] if floor else [])
    return extent + [end for end in ends if extent and end > min(extent) / 10] or [1e-6, 1e-3]


def _pair_rows(axes: Axes, rows: Sequence[Row]) -> dict[PairKey, int]:
    """Give every pair a line of the vertical axis, most bits at the top."""
    pairs = _pairs_in_order(rows)
    labels = [textwrap.fill(style.pair_label(*pair), 24) for pair in pairs]
    axes.set_yticks(range(len(pairs)), labels)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.grid(axis="y", visible=True)
    return {pair: place for place, pair in enumerate(pairs)}


def _pair_panel_height(rows: Sequence[Row]) -> float:
    return 0.9 + sum(0.28 * (2 if len(style.pair_label(*pair)) > 24 else 1) for pair in _pairs_in_order(rows))


def _dot(axes: Axes, x: float, y: float, pair: PairKey, *, xerr: float | None, label: str) -> None:
    axes.errorbar(
        [x],
        [y],
        xerr=None if xerr is None else [xerr],
        linestyle="none",
        label=label,
        zorder=3,
        **_marker(pair),
    )


@_in_style
def kld_by_pair(table: pd.DataFrame) -> Figure:
    """Mean KL divergence of each pair; the control's own is the floor, drawn as a line."""
    rows = [row for row in rows_of(table) if row["kld_mean"] is not None]

    def draw(axes: Axes, group: Sequence[Row], legend: Legend) -> None:
        compared = [row for row in group if not _is_control(row)] or group
        places = _pair_rows(axes, compared)
        low, _ = _log_axis(axes, "x", _kld_extent(group))
        for row in compared:
            place = places[_pair(row)]
            if row["kld_mean"] > 0:
                label = style.pair_label(*_pair(row))
                _dot(axes, row["kld_mean"], place, _pair(row), xerr=kld_error(row), label=label)
            else:  # has no place on a logarithmic axis, but was measured: said in words
                axes.text(
                    low, place, f" {format_number(row['kld_mean'], 2)} (not above 0)", va="center", ha="left"
                )
        _draw_floor(axes, "x", group, legend)
        _cross_out(axes, [(r["kld_mean"], places[_pair(r)]) for r in compared if r["fallback"]], legend)
        axes.set_xlabel("mean KL divergence from f16, nats (log scale; left is better)")

    return _panels("KL divergence by pair", compare(rows, QUALITY_SUBJECT), _pair_panel_height, draw)


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both coordinates (less is better), by ascending first coordinate."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


BIT_TICKS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32)


def mean_bits(row: Row) -> float | None:
    """(K + V)/2 in bits per cached value; None where one of them is unknown."""
    k, v = row["bits_per_value_k"], row["bits_per_value_v"]
    return None if k is None or v is None else (k + v) / 2


@_in_style
def kld_by_bits(table: pd.DataFrame) -> Figure:
    """Mean KL divergence against the size of the cache: what quality the bits buy."""
    rows = [row for row in rows_of(table) if row["kld_mean"] is not None and mean_bits(row) is not None]
    to_label: list[tuple[Axes, list[tuple[float, float, str]], Sequence[tuple[float, float]]]] = []

    def draw(axes: Axes, group: Sequence[Row], legend: Legend) -> None:
        shown = [row for row in group if row["kld_mean"] > 0 and not _is_control(row)]
        points = [(mean_bits(row) or 0.0, float(row["kld_mean"])) for row in shown]
        _log_axis(axes, "y", _kld_extent(group), margin=0.1)
        low, high = _log_axis(axes, "x", [x for x, _ in points] or [16.0], margin=0.14)
        axes.set_xticks(bits := [b for b in BIT_TICKS if low <= b <= high], [str(b) for b in bits])
        front = pareto_front(points)
        if len(front) > 1:
            (line,) = axes.plot(
                *zip(*front, strict=True),
                color="#999999",
                linewidth=1,
                drawstyle="steps-post",
                zorder=1.5,
                label="front",
            )
            legend.setdefault("Pareto front: no pair has fewer bits and a lower divergence", line)
        for row, (x, y) in zip(shown, points, strict=True):
            error = kld_error(row)
            label = style.pair_label(*_pair(row))
            axes.errorbar(
                [x],
                [y],
                yerr=None if error is None else [error],
                linestyle="none",
                label=label,
                zorder=3,
                **_marker(_pair(row)),
            )
        _draw_floor(axes, "y", group, legend)
        _cross_out(axes, [p for row, p in zip(shown, points, strict=True) if row["fallback"]], legend)
        axes.set_xlabel("mean bits per cached value, (K + V)/2 (log scale)")
        axes.set_ylabel("mean KL divergence, nats (log scale)")
        labels = [(x, y, style.pair_label(*_pair(row))) for row, (x, y) in zip(shown, points, strict=True)]
        to_label.append((axes, labels, front))

    figure = _panels("KL divergence by cache size", compare(rows, QUALITY_SUBJECT), lambda _: 4.2, draw)
    figure.draw_without_rendering()  # fixes the layout: only then is it known where labels collide
    for axes, labels, front in to_label:
        _label_points(axes, labels, front)
    return figure


# Where a label may go, in points from its point: beside it first, then ever farther, with a line to it.
_LABEL_PLACES = [(8.0, 0.0), (7.0, 7.0), (-8.0, 0.0), (-7.0, -7.0), (-7.0, 7.0), (7.0, -7.0)] + [
    (radius * math.cos(angle), radius * math.sin(angle))
    for radius in (13.0, 20.0, 28.0, 38.0, 50.0, 64.0)
    for angle in (math.pi * step / 8 for step in (1, 15, 7, 9, 3, 13, 5, 11, 0, 8, 4, 12, 2, 14, 6, 10))
]


def _label_points(
    axes: Axes, points: Sequence[tuple[float, float, str]], front: Sequence[tuple[float, float]]
) -> None:
    """Write each (x, y, label) beside its point, at the first place that covers nothing."""
    dots_per_point = axes.figure.dpi / 72

    def box_around(corners: Sequence[tuple[float, float]], room: float) -> Bbox:
        x, y = axes.transData.transform(corners).T
        room *= dots_per_point
        return Bbox.from_extents(min(x) - room, min(y) - room, max(x) + room, max(y) + room)

    taken = [box_around([(x, y)], 5.5) for x, y, _ in points]
    for (x, y), (next_x, next_y) in pairwise(front):
        taken += [box_around([(x, y), (next_x, y)], 1), box_around([(next_x, y), (next_x, next_y)], 1)]
    panel = axes.get_window_extent()
    for x, y, label in points:
        for dx, dy in _LABEL_PLACES:
            note = _point_label(axes, (x, y), (dx, dy), label)
            note.get_window_extent()  # moves the words to their place, of which only their own box counts
            box = Text.get_window_extent(note)
            free = not any(box.overlaps(other) for other in taken)
            if free and panel.contains(box.x0, box.y0) and panel.contains(box.x1, box.y1):
                taken.append(box)
                break
            note.remove()
        else:  # no room anywhere: on top of something is better than nowhere
            _point_label(axes, (x, y), _LABEL_PLACES[0], label)


def _point_label(
    axes: Axes, point: tuple[float, float], offset: tuple[float, float], label: str
) -> Annotation:
    dx, dy = offset
    line = {"arrowstyle": "-", "color": "#777777", "linewidth": 0.6, "shrinkB": 4}
    note = axes.annotate(
        label,
        point,
        xytext=offset,
        textcoords="offset points",
        ha="left" if dx > 4 else "right" if dx < -4 else "center",
        va="center" if abs(dy) < 4 else "bottom" if dy > 0 else "top",
        color="#222222",
        arrowprops=line if math.hypot(dx, dy) > 14 else None,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        zorder=4,
    )
    note.set_in_layout(False)
    return note


@_in_style
def top1_by_pair(table: pd.DataFrame) -> Figure:
    """Share of tokens at which the most likely next token is the one of the f16 cache."""
    rows = [row for row in rows_of(table) if row["top1_agreement"] is not None]

    def draw(axes: Axes, group: Sequence[Row], legend: Legend) -> None:
        places = _pair_rows(axes, group)
        for row in group:
            pair = _pair(row)
            share, error = in_percent(row["top1_agreement"]), in_percent(row["top1_agreement_stderr"])
            assert share is not None
            _dot(axes, share, places[pair], pair, xerr=error, label=style.pair_label(*pair))
        _cross_out(
            axes,
            [(100 * row["top1_agreement"], places[_pair(row)]) for row in group if row["fallback"]],
            legend,
        )
        axes.set_xlabel("same most likely token as f16, % of tokens (right is better)")

    return _panels("Top-1 agreement by pair", compare(rows, QUALITY_SUBJECT), _pair_panel_height, draw)


# --- all of them --------------------------------------------------------------------------------------------


class Picture(NamedTuple):
    """A figure by name: how it is drawn, from which table, and what is said of it."""

    draw: Callable[[pd.DataFrame], Figure]
    table: str
    title: str
    caption: str


_PAIR_LOOK = (
    "Colour is the type of V, the marker the type of K, a solid line means both are equal; hollow markers "
    "are pairs that ran as another pair than asked for, crosses are cells where part of the graph left the "
    "device."
)
_SPREAD = (
    "Error bars: sample standard deviation over the repetitions. "
    "Cells that were not measured interrupt their line."
)
_INTERVAL = (
    "Fallback cells are left out. Error bars: 95 % confidence intervals after Welch, from the repetitions "
    "of both cells. They know nothing of what changes between processes, such as the machine's temperature."
)

FIGURES: dict[str, Picture] = {
    "prefill_by_depth": Picture(
        prefill_by_depth,
        "throughput",
        "Prefill speed by depth",
        f"Prompt processing rate with that many tokens already in the KV cache. {_SPREAD} {_PAIR_LOOK}",
    ),
    "decode_by_depth": Picture(
        decode_by_depth,
        "throughput",
        "Decode speed by depth",
        f"Text generation rate with that many tokens already in the KV cache. {_SPREAD} {_PAIR_LOOK}",
    ),
    "prefill_relative": Picture(
        prefill_relative,
        "throughput",
        "Prefill speed, compared at equal depth",
        "Difference from the prompt processing rate of f16, or of q8_0 where that ran at more depths, in "
        f"the same panel at the same depth. {_INTERVAL}",
    ),
    "decode_relative": Picture(
        decode_relative,
        "throughput",
        "Decode speed, compared at equal depth",
        "Difference from the text generation rate of f16, or of q8_0 where that ran at more depths, in the "
        f"same panel at the same depth. {_INTERVAL}",
    ),
    "kld_by_pair": Picture(
        kld_by_pair,
        "quality",
        "KL divergence by pair",
        "Mean KL divergence of the next-token distribution from that of an f16 cache on the same tokens. "
        "Error bars: the larger of two standard errors, one taking tokens as independent, one from the "
        "spread between windows. The floor is f16 against its own stored baseline: what the method shows "
        "where nothing changed.",
    ),
    "kld_by_bits": Picture(
        kld_by_bits,
        "quality",
        "KL divergence by cache size",
        "What quality the bits buy: mean KL divergence against bits per cached value, from the logged cache "
        "size. Pairs on the grey line are beaten by no other in both. Error bars as in the figure before.",
    ),
    "top1_by_pair": Picture(
        top1_by_pair,
        "quality",
        "Top-1 agreement by pair",
        "Share of tokens at which the most likely next token is the same as with an f16 cache. Error bars: "
        "standard error.",
    ),
}


def save(figure: Figure, path: Path, kind: str) -> None:
    """Write as `svg` or `png`, without date or version: equal figures give equal bytes."""
    unnamed: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
        "png": {"Software": None},
    }
    with matplotlib.rc_context(style.RC):
        figure.savefig(path, format=kind, metadata=unnamed[kind])
