"""Quality by depth: divergence and agreement against the fill of the cache, and the tail against the mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from kvsweep.analysis.groups import QUALITY_SUBJECT, Group, compare, compare_beside_published
from kvsweep.analysis.reference import is_control, kld_error
from kvsweep.figures.axes import log_axis
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.labels import label_points
from kvsweep.figures.marks import (
    Measured,
    PairKey,
    bar,
    curve,
    draw_dot,
    ends_of,
    explain_published,
    pairs_in_order,
    words_for,
)
from kvsweep.figures.marks import pair_of as look_of
from kvsweep.study.pairs import pair_label
from kvsweep.tables.row import Row, is_published, with_ends
from kvsweep.units import format_count

# Windows of all lengths stand in one panel: the depth is what they are compared at.
SUBJECT = tuple(name for name in QUALITY_SUBJECT if name != "n_ctx")
_HEIGHT = 4.4
_MOST_TICKS = 9


class _Quantity(NamedTuple):
    column: str
    unit: str  # in the figure's table
    axis: str
    log: bool
    factor: float  # from the table's unit to the axis'


_KLD = _Quantity("kld_mean", "nats", "mean KL divergence from f16, nats (log scale)", True, 1)
_TOP1 = _Quantity("top1_agreement", "%", "same most likely token as f16, % of tokens", False, 100)


def kld_against_depth(depth: Sequence[Row]) -> Panels:
    """Mean KL divergence of each pair against the number of tokens in the cache; of rows of the table `depth`."""
    shown = [row for row in depth if not is_control(row) and row["kld_mean"] > 0]
    return _against_depth(shown, _KLD)


def top1_against_depth(depth: Sequence[Row]) -> Panels:
    """Share of tokens with f16's most likely token against the number of tokens in the cache."""
    return _against_depth([row for row in depth if not is_control(row)], _TOP1)


def _against_depth(rows: Sequence[Row], quantity: _Quantity) -> Panels:
    return panels_of(compare(rows, SUBJECT), partial(_panel, quantity))


class _Line(NamedTuple):
    """A pair in windows of one length."""

    pair: PairKey
    n_ctx: int
    rows: Sequence[Row]


def _lines(rows: Iterable[Row]) -> list[_Line]:
    by_line: dict[tuple[PairKey, int], list[Row]] = {}
    for row in sorted(rows, key=lambda row: float(row["depth_tokens"])):
        by_line.setdefault((_pair(row), row["n_ctx"]), []).append(row)
    order = pairs_in_order(map(_with_effective, rows))
    return sorted(
        (_Line(pair, n_ctx, own) for (pair, n_ctx), own in by_line.items()),
        key=lambda line: (order.index(line.pair), line.n_ctx),
    )


def _with_effective(row: Row) -> Mapping[str, Any]:
    """The table has only cells in which the pair that was asked for ran."""
    return {**row, "effective_ctk": row["ctk"], "effective_ctv": row["ctv"]}


def _pair(row: Row) -> PairKey:
    return look_of(_with_effective(row))


def _panel(quantity: _Quantity, title: str, group: Group) -> Panel:
    lines = _lines(group.rows)

    def value_of(row: Row) -> Measured:
        return with_ends(row, quantity.column, quantity.factor)

    def draw(axes: Axes, legend: Legend) -> None:
        extent = []
        for line in lines:
            x = [row["depth_tokens"] for row in line.rows]
            y, *ends = zip(*map(value_of, line.rows), strict=True)
            look = {**curve(line.pair), "markersize": 2.5, "linewidth": 1.2}
            (drawn,) = axes.plot(x, y, label=pair_label(*line.pair), **look)
            low, high = (
                [value if end is None else end for end, value in zip(side, y, strict=True)] for side in ends
            )
            if quantity.log:  # a bar that reaches 0 ends at the bottom; a long one runs out of the panel
                low = [max(end, value / 3) for end, value in zip(low, y, strict=True)]
                high = [min(end, value * 3) for end, value in zip(high, y, strict=True)]
            axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
            legend.setdefault(pair_label(*line.pair), drawn)
            extent += [*y, *low, *high]
        if quantity.log:
            log_axis(axes, "y", extent)
        token_axis(axes, [row["depth_tokens"] for row in group.rows])
        axes.set_xlabel("tokens in the KV cache (log scale)")
        axes.set_ylabel(quantity.axis)

    deepest = max((line.n_ctx for line in lines), default=0)
    names = [
        (float(line.rows[-1]["depth_tokens"]), value_of(line.rows[-1])[0], pair_label(*line.pair))
        for line in lines
        if line.n_ctx == deepest
    ]
    points = tuple(
        {
            "pair": pair_label(*line.pair),
            "window, tokens": line.n_ctx,
            "depth, tokens": row["depth_tokens"],
            f"{quantity.column}, {quantity.unit}": value_of(row)[0],
            **ends_of(value_of(row), quantity.unit),
            "scored tokens": row["tokens"],
            "errors by": row["error_by"],
        }
        for line in lines
        for row in line.rows
    )
    finish = partial(label_points, points=names)
    return Panel(title, _HEIGHT, draw, points, finish=finish)


def token_axis(axes: Axes, depths: Sequence[float]) -> None:
    """A logarithmic axis of numbers of tokens with powers of two as ticks, and room on the right for names."""
    low, high = max(min(depths, default=1.0), 1.0), max(depths, default=1.0)
    room = max(math.log2(high / low), 0.5)
    axes.set_xscale("log", base=2)
    axes.set_xlim(low / 2 ** (0.05 * room), high * 2 ** (0.16 * room))
    exponents = range(math.ceil(math.log2(low) - 0.01), math.floor(math.log2(high) + 0.01) + 1)
    ticks = [2**exponent for exponent in exponents[:: -(-len(exponents) // _MOST_TICKS) or 1]]
    if len(ticks) < 2:
        ticks = sorted({round(low), round(high)})
    axes.set_xticks(ticks, [format_count(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


# --- the tail -----------------------------------------------------------------------------------------------


def tail_by_mean(quality: Sequence[Row]) -> Panels:
    """The divergence that one token in a thousand exceeds, against the mean: what a mean does not tell."""
    rows = [
        row
        for row in quality
        if (row["kld_mean"] or 0) > 0 and (row["kld_p999"] or 0) > 0 and not is_control(row)
    ]
    return panels_of(compare_beside_published(rows, QUALITY_SUBJECT), _tail)


def _tail(title: str, group: Group) -> Panel:
    rows = [*group.rows, *group.published]

    def draw(axes: Axes, legend: Legend) -> None:
        means = [row["kld_mean"] + side * (kld_error(row) or 0.0) for row in rows for side in (-1, 0, 1)]
        log_axis(axes, "x", [mean for mean in means if mean > 0], margin=0.12)
        ends = [row[name] for row in rows for name in ("kld_p999", "kld_p999_low", "kld_p999_high")]
        log_axis(axes, "y", [end for end in ends if end], margin=0.1)
        for row in rows:
            tail = with_ends(row, "kld_p999")
            draw_dot(axes, row, row["kld_mean"], tail[0], xerr=kld_error(row), yerr=bar(*tail))
        explain_published(filter(is_published, rows), legend)
        axes.set_xlabel("mean KL divergence, nats (log scale)")
        axes.set_ylabel("KL divergence of 1 token in 1,000, nats (log scale)")

    names = [(row["kld_mean"], row["kld_p999"], pair_label(*look_of(row))) for row in group.rows]
    points = tuple(
        {
            "pair": pair_label(*look_of(row)),
            "mean KLD, nats": row["kld_mean"],
            "±, mean KLD": kld_error(row),
            "99.9 % KLD, nats": row["kld_p999"],
            **ends_of(with_ends(row, "kld_p999"), "nats"),
            "mark": words_for(row),
        }
        for row in rows
    )
    finish = partial(label_points, points=names)
    return Panel(title, 3.9, draw, points, finish=finish)
