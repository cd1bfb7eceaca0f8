"""Speed by depth: rates, and differences from a reference at equal depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kvsweep.analysis.groups import SUBJECT, THROUGHPUT_SUBJECT, Group, compare_beside_published
from kvsweep.analysis.reference import is_reference, reference_of
from kvsweep.analysis.set_ups import by_columns
from kvsweep.analysis.speed import against
from kvsweep.figures.axes import depth_axis, depth_position, log_axis, smallest_depth
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.marks import (
    Measured,
    PairKey,
    cross_out,
    draw_curve,
    ends_of,
    explain_published,
    pair_of,
    pairs_in_order,
    words_for,
)
from kvsweep.numbers import in_percent
from kvsweep.study.pairs import Pair, pair_label, pair_order
from kvsweep.tables.row import Row, is_published, with_ends

_HEIGHT = 3.9  # inches
# Percent; beside a slower one no difference between the others could be seen.
SLOWER_BY_FACTORS = -100 * 2 / 3


def by_source(group: Group) -> Iterable[tuple[bool, Sequence[Row]]]:
    """The rows of a panel by source, because sources are never mixed: ours first, then each published one; with
    whether it was published."""
    of_others = by_columns(group.published, ("source",)).values()
    return [(is_published(group.rows[0]), group.rows), *((True, rows) for rows in of_others)]


# --- rates --------------------------------------------------------------------------------------------------


def by_depth(phase: str, speed: Sequence[Row]) -> Panels:
    """The rate of a phase against depth, over rounds."""
    rows = [row for row in speed if row["phase"] == phase]
    comparison = compare_beside_published(
        [row for row in rows if row["tokens_per_second"] is not None], THROUGHPUT_SUBJECT
    )
    missing: dict[tuple[Any, ...], set[int]] = {}
    for row in rows:
        if row["tokens_per_second"] is None:
            missing.setdefault(_curve_of(row), set()).add(row["depth"])
    return panels_of(comparison, partial(_rates, missing))


def _curve_of(row: Row) -> tuple[Any, ...]:
    """What the points of one curve share."""
    return (*(row[column] for column in SUBJECT), row["ctk"], row["ctv"])


def _rates(missing: dict[tuple[Any, ...], set[int]], title: str, group: Group) -> Panel:
    rows = [*group.rows, *group.published]
    smallest = smallest_depth([row["depth"] for row in rows])

    def draw(axes: Axes, legend: Legend) -> None:
        fallback: list[tuple[float, float]] = []
        for published, own in by_source(group):
            for pair in pairs_in_order(own):
                cells = {row["depth"]: row for row in own if pair_of(row) == pair}
                # Cells that were not measured interrupt the curve.
                gaps = missing.get(_curve_of(next(iter(cells.values()))), set()) - set(cells)
                depths = sorted(cells.keys() | gaps)
                x = [depth_position(d, smallest) for d in depths]
                values = [with_ends(cells[d], "tokens_per_second") if d in cells else _GAP for d in depths]
                draw_curve(axes, pair, x, values, legend, published=published)
                fallback += [
                    (depth_position(d, smallest), row["tokens_per_second"])
                    for d, row in cells.items()
                    if row["fallback"]
                ]
            if published:
                explain_published(own, legend)
        cross_out(axes, fallback, legend)
        log_axis(
            axes,
            "y",
            [
                # A bar that is longer than that runs out of the panel: it would flatten all the others.
                min(max(end, row["tokens_per_second"] / 2), row["tokens_per_second"] * 2)
                for row in rows
                for name in _ENDS
                if (end := row[name]) is not None
            ],
        )
        axes.set_ylabel("tokens/s (log scale)")
        depth_axis(axes, sorted({row["depth"] for row in rows}), smallest)

    points = [
        {
            "pair": pair_label(*pair_of(row)),
            "depth, tokens": row["depth"],
            "tokens/s": row["tokens_per_second"],
            **ends_of(with_ends(row, "tokens_per_second"), "tokens/s"),
            "rounds": len(row["rounds"]) or None,
            "spread within a process, %": in_percent(row["spread_within"]),
            "mark": words_for(row),
        }
        for row in _in_order(rows)
    ]
    return Panel(title, _HEIGHT, draw, tuple(points))


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(
        rows, key=lambda row: (pair_order(row["ctk"], row["ctv"]), row["depth"], str(row["source"]))
    )


_GAP: Measured = (math.nan, None, None)
_ENDS = ("tokens_per_second_low", "tokens_per_second", "tokens_per_second_high")


# --- differences --------------------------------------------------------------------------------------------


def relative(phase: str, speed: Sequence[Row]) -> Panels:
    """The rate of a phase against that of a reference pair, within rounds."""
    known = [row for row in speed if row["phase"] == phase and row["tokens_per_second"] is not None]
    comparison = compare_beside_published([row for row in known if not row["fallback"]], THROUGHPUT_SUBJECT)
    left_out = by_columns([row for row in known if row["fallback"]], THROUGHPUT_SUBJECT)
    return panels_of(comparison, partial(_differences, left_out))


class _Curve(NamedTuple):
    """A pair's cells of one source, and how far each is from the reference's at its depth."""

    published: bool
    pair: PairKey
    cells: Sequence[Row]
    changes: Sequence[Measured]  # percent


def _differences(fallback: Mapping[tuple[Any, ...], list[Row]], title: str, group: Group) -> Panel | None:
    """None where nothing can be compared; ``fallback``: by set-up the rows that are left out."""
    reference = reference_of(group.rows)
    if reference is None:
        return None
    curves: list[_Curve] = []
    too_slow: list[_Curve] = []
    for one in _curves(group, reference):
        slow = min(change for change, _, _ in one.changes) < SLOWER_BY_FACTORS
        (too_slow if slow else curves).append(one)
    if not curves:
        return None
    left_out = fallback.get(tuple(group.rows[0][column] for column in THROUGHPUT_SUBJECT), [])
    omitted = {
        "fallback": pairs_in_order(left_out),
        "slower by factors": [one.pair for one in too_slow],
    }
    points = tuple(
        {
            "pair": pair_label(*one.pair),
            "depth, tokens": row["depth"],
            f"difference from {reference}, %": change[0],
            **ends_of(change, "%"),
            "mark": words_for(row),
        }
        for one in curves
        for row, change in zip(one.cells, one.changes, strict=True)
    )
    return Panel(title, _HEIGHT, partial(_draw_differences, curves, str(reference), omitted), points)


def _curves(group: Group, reference: Pair) -> Iterable[_Curve]:
    for published, own in by_source(group):
        base = {row["depth"]: row for row in own if is_reference(row, reference)}
        others = [row for row in own if not is_reference(row, reference) and row["depth"] in base]
        for pair in pairs_in_order(others):
            cells = [row for row in others if pair_of(row) == pair and against(row, base[row["depth"]])]
            cells.sort(key=lambda row: int(row["depth"]))
            if cells:
                yield _Curve(published, pair, cells, [_change(row, base[row["depth"]]) for row in cells])


def _draw_differences(
    curves: Sequence[_Curve],
    reference: str,
    omitted: Mapping[str, Sequence[PairKey]],
    axes: Axes,
    legend: Legend,
) -> None:
    depths = sorted({row["depth"] for one in curves for row in one.cells})
    smallest = smallest_depth(depths)
    for published, pair, cells, changes in curves:
        x = [depth_position(row["depth"], smallest) for row in cells]
        draw_curve(axes, pair, x, changes, legend, published=published)
        if published:
            explain_published(cells, legend)
    axes.axhline(0, color="#444444", linewidth=1, zorder=1.5, label="reference")
    for reason, pairs in omitted.items():
        names = dict.fromkeys(pair_label(*pair) for pair in pairs)
        if names:
            legend[f"left out ({reason}): {', '.join(names)}"] = Line2D([], [], linestyle="none")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g} %".replace("-", "−") if value else reference)
    axes.set_ylabel(f"difference from {reference} at the same depth")
    axes.set_ylim(*_limits([change for one in curves for change in one.changes]))
    depth_axis(axes, depths, smallest)


def _limits(changes: Sequence[Measured]) -> tuple[float, float]:
    """The vertical axis: all differences and 0, and of their intervals what does not flatten the rest."""
    middles = [0.0, *(middle for middle, _, _ in changes)]
    room = max(max(middles) - min(middles), 2.0)
    ends = [end for _, *both in changes for end in both if end is not None]
    low = min([*middles, *(max(end, min(middles) - room) for end in ends)])
    high = max([*middles, *(min(end, max(middles) + room) for end in ends)])
    return low - 0.05 * room, high + 0.05 * room


def _change(row: Row, base: Row) -> Measured:
    """The difference in percent and the ends of its 95 % interval, None where no error is known."""
    found = against(row, base)
    low, high = (
        None if (end := found[name]) is None else 100 * (end - 1) for name in ("ratio_low", "ratio_high")
    )
    return 100 * (found["ratio"] - 1), low, high
