"""Quality: divergence of each pair, what quality the bits buy, agreement on the most likely token."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kvsweep.analysis.groups import QUALITY_SUBJECT, Group, compare_beside_published
from kvsweep.analysis.reference import control_of, is_control, kld_error, mean_bits, pareto_front, top1_error
from kvsweep.figures.axes import log_axis
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.labels import label_points
from kvsweep.figures.marks import (
    PairKey,
    cross_out,
    draw_dot,
    explain_published,
    pair_of,
    pairs_in_order,
    words_for,
)
from kvsweep.numbers import format_number, in_percent
from kvsweep.study.pairs import nominal_bits, pair_label, pair_order
from kvsweep.tables.row import Row, is_published

FLOOR_IN_REACH = (
    30.0  # a floor that many times below the lowest pair is named, not drawn: it would flatten the rest
)
BIT_TICKS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32)


def kld_by_pair(quality: Sequence[Row]) -> Panels:
    """Mean KL divergence of each pair; the control's own is the floor, drawn as a line."""
    rows = [row for row in quality if row["kld_mean"] is not None]
    return panels_of(compare_beside_published(rows, QUALITY_SUBJECT), _kld_by_pair)


def kld_by_bits(quality: Sequence[Row]) -> Panels:
    """Mean KL divergence against the size of the cache: what quality the bits buy."""
    rows = [row for row in quality if row["kld_mean"] is not None and _bits(row) is not None]
    return panels_of(compare_beside_published(rows, QUALITY_SUBJECT), _kld_by_bits)


def top1_by_pair(quality: Sequence[Row]) -> Panels:
    """Share of tokens at which the most likely next token is the one of the f16 cache."""
    rows = [row for row in quality if row["top1_agreement"] is not None]
    return panels_of(compare_beside_published(rows, QUALITY_SUBJECT), _top1_by_pair)


# --- pairs as lines of a list -------------------------------------------------------------------------------


def _pair_rows(axes: Axes, rows: Sequence[Row]) -> dict[PairKey, int]:
    """Give every pair a line of the vertical axis, most bits at the top."""
    pairs = pairs_in_order(rows)
    axes.set_yticks(range(len(pairs)), [textwrap.fill(pair_label(*pair), 24) for pair in pairs])
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.grid(axis="y", visible=True)
    return {pair: place for place, pair in enumerate(pairs)}


def _height(rows: Sequence[Row]) -> float:
    return 0.9 + sum(0.28 * (2 if len(pair_label(*pair)) > 24 else 1) for pair in pairs_in_order(rows))


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (pair_order(row["ctk"], row["ctv"]), str(row["source"])))


# --- divergence ---------------------------------------------------------------------------------------------


def _kld_by_pair(title: str, group: Group) -> Panel:
    rows = [*group.rows, *group.published]
    compared = [row for row in rows if not is_control(row)] or rows

    def draw(axes: Axes, legend: Legend) -> None:
        places = _pair_rows(axes, compared)
        low, _ = log_axis(axes, "x", _kld_extent(rows))
        for row in compared:
            place = places[pair_of(row)]
            if row["kld_mean"] > 0:
                draw_dot(axes, row, row["kld_mean"], place, xerr=kld_error(row))
            else:  # has no place on a logarithmic axis, but was measured: said in words
                axes.text(
                    low, place, f" {format_number(row['kld_mean'], 2)} (not above 0)", va="center", ha="left"
                )
        _draw_floor(axes, "x", group.rows, legend)
        cross_out(axes, [(r["kld_mean"], places[pair_of(r)]) for r in compared if r["fallback"]], legend)
        explain_published(filter(is_published, rows), legend)
        axes.set_xlabel("mean KL divergence from f16, nats (log scale; left is better)")

    return Panel(title, _height(compared), draw, _kld_points(rows), beside=8)


def _kld_by_bits(title: str, group: Group) -> Panel:
    rows = [*group.rows, *group.published]
    shown = [row for row in rows if row["kld_mean"] > 0 and not is_control(row)]
    places = [(_bits(row) or 0.0, float(row["kld_mean"])) for row in shown]
    # Of one source: rounded numbers of another machine neither make our front nor are beaten by it.
    front = pareto_front(
        place for row, place in zip(shown, places, strict=True) if row["source"] == group.rows[0]["source"]
    )

    def draw(axes: Axes, legend: Legend) -> None:
        log_axis(axes, "y", _kld_extent(rows), margin=0.1)
        low, high = log_axis(axes, "x", [x for x, _ in places] or [16.0], margin=0.14)
        axes.set_xticks(bits := [b for b in BIT_TICKS if low <= b <= high], [str(b) for b in bits])
        if len(front) > 1:
            (line,) = axes.plot(
                *zip(*front, strict=True),
                color="#999999",
                linewidth=1,
                drawstyle="steps-post",
                zorder=1.5,
                label="front",
            )
            legend.setdefault("Pareto front of the values: none has fewer bits and a lower one", line)
        for row, (x, y) in zip(shown, places, strict=True):
            draw_dot(axes, row, x, y, yerr=kld_error(row))
        _draw_floor(axes, "y", group.rows, legend)
        cross_out(axes, [p for row, p in zip(shown, places, strict=True) if row["fallback"]], legend)
        explain_published(filter(is_published, rows), legend)
        axes.set_xlabel("mean bits per cached value, (K + V)/2 (log scale)")
        axes.set_ylabel("mean KL divergence, nats (log scale)")

    # A published pair that is ours, too, is known by its marker.
    ours = {pair_of(row)[:2] for row in shown if row["source"] == group.rows[0]["source"]}
    labels = [
        (x, y, pair_label(*pair_of(row)))
        for row, (x, y) in zip(shown, places, strict=True)
        if row["source"] == group.rows[0]["source"] or pair_of(row)[:2] not in ours
    ]
    return Panel(
        title,
        4.2,
        draw,
        tuple(
            {**point, "mean bits per value": bits}
            for point, (bits, _) in zip(_kld_points(shown, ordered=False), places, strict=True)
        ),
        finish=partial(label_points, points=labels, front=front),
    )


def _bits(row: Row) -> float | None:
    """Bits per value as logged. A published row has no log: its types' blocks tell them."""
    return nominal_bits(row["ctk"], row["ctv"]) if is_published(row) else mean_bits(row)


def _kld_points(rows: Sequence[Row], *, ordered: bool = True) -> tuple[dict[str, object], ...]:
    return tuple(
        {
            "pair": pair_label(*pair_of(row)),
            "mean KLD, nats": row["kld_mean"],
            "±, nats": kld_error(row),
            "mark": words_for(row),
        }
        for row in (_in_order(rows) if ordered else rows)
    )


def _floor_in_reach(rows: Sequence[Row]) -> float | None:
    """The control's mean KLD where it is worth a place on the axis."""
    control = control_of(rows)
    others = [row["kld_mean"] for row in rows if not is_control(row) and row["kld_mean"] > 0]
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
    control = control_of(rows)
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
    values = [row["kld_mean"] for row in rows if row["kld_mean"] > 0 and not is_control(row)]
    ends = [row["kld_mean"] + sign * (kld_error(row) or 0) for row in rows for sign in (-1, 1)]
    floor = _floor_in_reach(rows)
    extent = values + ([floor] if floor else [])
    return extent + [end for end in ends if extent and end > min(extent) / 10] or [1e-6, 1e-3]


# --- agreement ----------------------------------------------------------------------------------------------


def _top1_by_pair(title: str, group: Group) -> Panel:
    rows = [*group.rows, *group.published]

    def draw(axes: Axes, legend: Legend) -> None:
        places = _pair_rows(axes, rows)
        for row in rows:
            share, error = 100 * row["top1_agreement"], in_percent(top1_error(row))
            draw_dot(axes, row, share, places[pair_of(row)], xerr=error)
        fallback = [(100 * row["top1_agreement"], places[pair_of(row)]) for row in rows if row["fallback"]]
        cross_out(axes, fallback, legend)
        explain_published(filter(is_published, rows), legend)
        axes.set_xlabel("same most likely token as f16, % of tokens (right is better)")

    points = (
        {
            "pair": pair_label(*pair_of(row)),
            "same top-1, %": in_percent(row["top1_agreement"]),
            "±, %": in_percent(top1_error(row)),
            "mark": words_for(row),
        }
        for row in _in_order(rows)
    )
    return Panel(title, _height(rows), draw, tuple(points), beside=8)
