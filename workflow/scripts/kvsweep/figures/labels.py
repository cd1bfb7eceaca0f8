"""Names written beside points, where they cover nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from kvsweep.figures.marks import PAPER_COLOUR

# Where a label may go, in points from its point: beside it first, then ever farther, with a line to it.
_BESIDE = [
    (8.0, 0.0),
    (7.0, 7.0),
    (-8.0, 0.0),
    (-7.0, -7.0),
    (-7.0, 7.0),
    (7.0, -7.0),
    (0.0, 8.0),
    (0.0, -8.0),
]
_STACKED = [(16.0, side * 11.0 * step) for step in range(1, 8) for side in (1, -1)]
_AROUND = [
    (radius * math.cos(angle), radius * math.sin(angle))
    for radius in (13.0, 20.0, 28.0, 38.0, 50.0, 64.0, 80.0, 100.0)
    for angle in (math.pi * step / 8 for step in (1, 15, 7, 9, 3, 13, 5, 11, 0, 8, 4, 12, 2, 14, 6, 10))
]
_PLACES = _BESIDE + _AROUND[:16] + _STACKED + _AROUND[16:]
_LINED = 14.0  # points from its point; farther off a line leads to the label
_CLEARLY = 1.4  # times as far from any other point as from its own


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    front: Sequence[tuple[float, float]] = (),
) -> None:
    """Write each (x, y, label) at the first place beside its point that covers no marker, bar, label or `front`.

    A label that no line leads to is nearer to its own point than to another. Where no place is free, it is the one that
    covers least.
    """
    dots_per_point = axes.figure.dpi / 72

    def box_around(corners: Sequence[tuple[float, float]], room: float) -> tuple[float, ...]:
        x, y = axes.transData.transform(corners).T
        room *= dots_per_point
        return min(x) - room, min(y) - room, max(x) + room, max(y) + room

    boxes = [*_drawn(axes), *(box_around([(x, y)], 5.5) for x, y, _ in points)]
    for (x, y), (next_x, next_y) in pairwise(front):
        boxes += [box_around([(x, y), (next_x, y)], 1), box_around([(next_x, y), (next_x, next_y)], 1)]
    taken = np.array(boxes)  # of many thousand boxes one comparison after the other takes seconds
    panel, dots = axes.get_window_extent(), [tuple(axes.transData.transform((x, y))) for x, y, _ in points]
    for x, y, label in points:
        measured = _point_label(axes, (x, y), _PLACES[0], label)
        measured.get_window_extent()  # moves the words to their place, of which only their own box counts
        size = tuple(Text.get_window_extent(measured).size)
        measured.remove()
        point = tuple(axes.transData.transform((x, y)))
        least = math.inf
        for candidate in _PLACES:
            box = _box_at(point, candidate, size, dots_per_point)
            if not (panel.contains(box.x0, box.y0) and panel.contains(box.x1, box.y1)):
                continue
            covered = _covered(box, taken)
            if math.hypot(*candidate) <= _LINED and _another_is_nearer(box, point, dots):
                covered += size[0] * size[1]
            if covered < least:
                least, place, found = covered, candidate, box
            if not covered:
                break
        if least == math.inf:  # wider than the panel
            place, found = _PLACES[0], _box_at(point, _PLACES[0], size, dots_per_point)
        taken = np.vstack([taken, found.extents])
        _point_label(axes, (x, y), place, label)


def _drawn(axes: Axes) -> Iterator[tuple[float, ...]]:
    """The edges x0, y0, x1, y1 of all markers and error bars, in dots."""
    dots_per_point = axes.figure.dpi / 72
    for line in axes.lines:
        if line.get_marker() not in ("None", "", None):
            room = (line.get_markersize() / 2 + 0.5) * dots_per_point
            for x, y in axes.transData.transform(np.column_stack(line.get_data(orig=False))):
                if np.isfinite((x, y)).all():
                    yield x - room, y - room, x + room, y + room
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            for segment in (one for bars in container.lines[2] for one in bars.get_segments()):
                (x0, x1), (y0, y1) = np.sort(axes.transData.transform(segment), axis=0).T
                yield x0 - dots_per_point, y0 - dots_per_point, x1 + dots_per_point, y1 + dots_per_point


def _covered(box: Bbox, edges: np.ndarray[Any, Any]) -> float:
    """What a box covers of others, as area; ``edges`` has a row x0, y0, x1, y1 for each."""
    if not len(edges):
        return 0.0
    wide = np.minimum(edges[:, 2], box.x1) - np.maximum(edges[:, 0], box.x0)
    high = np.minimum(edges[:, 3], box.y1) - np.maximum(edges[:, 1], box.y0)
    return float((np.clip(wide, 0, None) * np.clip(high, 0, None)).sum())


def _another_is_nearer(box: Bbox, own: Sequence[float], dots: Sequence[Sequence[float]]) -> bool:
    def distance(dot: Sequence[float]) -> float:
        return math.hypot(max(box.x0 - dot[0], 0, dot[0] - box.x1), max(box.y0 - dot[1], 0, dot[1] - box.y1))

    return any(distance(dot) < _CLEARLY * distance(own) for dot in dots if dot != own)


def _aligned(offset: tuple[float, float]) -> tuple[str, str]:
    """How a label at this offset, in points, is aligned: ha and va."""
    dx, dy = offset
    return (
        "left" if dx > 4 else "right" if dx < -4 else "center",
        "center" if abs(dy) < 4 else "bottom" if dy > 0 else "top",
    )


def _box_at(
    point: Sequence[float], offset: tuple[float, float], size: Sequence[float], dots_per_point: float
) -> Bbox:
    """The box of a label of this size, in dots, at this offset, in points, from its point."""
    share = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}
    starts = [
        at + dots_per_point * moved - share[side] * extent
        for at, moved, side, extent in zip(point, offset, _aligned(offset), size, strict=True)
    ]
    return Bbox.from_bounds(*starts, *size)


def _point_label(
    axes: Axes, point: tuple[float, float], offset: tuple[float, float], label: str
) -> Annotation:
    ha, va = _aligned(offset)
    line = {"arrowstyle": "-", "color": "#777777", "linewidth": 0.6, "shrinkB": 4}
    note = axes.annotate(
        label,
        point,
        xytext=offset,
        textcoords="offset points",
        ha=ha,
        va=va,
        color="#222222",
        arrowprops=line if math.hypot(*offset) > _LINED else None,
        bbox={"facecolor": PAPER_COLOUR, "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
        zorder=4,
    )
    note.set_in_layout(False)
    return note
