"""Names written beside points, where they cover nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from kvsweep.figures.marks import PAPER_COLOUR

# Where a label may go, in points from its point: beside it first, then ever farther, with a line to it.
_PLACES = [(8.0, 0.0), (7.0, 7.0), (-8.0, 0.0), (-7.0, -7.0), (-7.0, 7.0), (7.0, -7.0)] + [
    (radius * math.cos(angle), radius * math.sin(angle))
    for radius in (13.0, 20.0, 28.0, 38.0, 50.0, 64.0)
    for angle in (math.pi * step / 8 for step in (1, 15, 7, 9, 3, 13, 5, 11, 0, 8, 4, 12, 2, 14, 6, 10))
]


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    front: Sequence[tuple[float, float]] = (),
    others: Iterable[tuple[float, float]] = (),
) -> None:
    """Write each (x, y, label) at the first place beside its point that covers no point, label, `front` or `others`."""
    dots_per_point = axes.figure.dpi / 72

    def box_around(corners: Sequence[tuple[float, float]], room: float) -> tuple[float, ...]:
        x, y = axes.transData.transform(corners).T
        room *= dots_per_point
        return min(x) - room, min(y) - room, max(x) + room, max(y) + room

    boxes = [box_around([(x, y)], 5.5) for x, y, _ in points] + [box_around([dot], 2.5) for dot in others]
    for (x, y), (next_x, next_y) in pairwise(front):
        boxes += [box_around([(x, y), (next_x, y)], 1), box_around([(next_x, y), (next_x, next_y)], 1)]
    taken = np.array(boxes)
    panel = axes.get_window_extent()
    for x, y, label in points:
        measured = _point_label(axes, (x, y), _PLACES[0], label)
        measured.get_window_extent()  # moves the words to their place, of which only their own box counts
        size = tuple(Text.get_window_extent(measured).size)
        measured.remove()
        point = tuple(axes.transData.transform((x, y)))
        for place in _PLACES:
            box = _box_at(point, place, size, dots_per_point)
            # Of many thousand boxes matplotlib's own comparison, one after the other, takes seconds.
            free = not ((taken[:, :2] <= box.max) & (taken[:, 2:] >= box.min)).all(axis=1).any()
            if free and panel.contains(box.x0, box.y0) and panel.contains(box.x1, box.y1):
                taken = np.vstack([taken, box.extents])
                break
        else:  # no room anywhere: on top of something is better than nowhere
            place = _PLACES[0]
        _point_label(axes, (x, y), place, label)


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
        arrowprops=line if math.hypot(*offset) > 14 else None,
        bbox={"facecolor": PAPER_COLOUR, "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
        zorder=4,
    )
    note.set_in_layout(False)
    return note
