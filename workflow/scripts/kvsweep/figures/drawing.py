"""What a figure is before it has a size: panels that know their data, and how to draw themselves into axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from kvsweep.analysis.groups import Comparison, Group

# What the legend shows, by the words beside it.
Legend = dict[str, Artist]
# One drawn thing as a row of the figure's table: column, with its unit -> value; None where it is not known.
Point = Mapping[str, Any]


def nothing_to_finish(axes: Axes) -> None:
    """Most panels are done when they are drawn."""


@dataclass(frozen=True)
class Panel:
    """One set-up. `height` is in inches where a panel is `style.PAGE.width` wide and the letters have its size."""

    title: str
    height: float
    draw: Callable[[Axes, Legend], None]
    points: tuple[Point, ...]
    beside: int = 0  # characters that labels to the left take from the line above the panel
    # Called when the layout is fixed: only then is it known where labels collide.
    finish: Callable[[Axes], None] = nothing_to_finish


@dataclass(frozen=True)
class Drawing:
    """A whole figure; without panels there is nothing to show."""

    title: str
    panels: tuple[Panel, ...]

    @property
    def points(self) -> Sequence[Point]:
        return [{"set-up": panel.title, **point} for panel in self.panels for point in panel.points]


Panels = tuple[Panel, ...]


def panels_of(comparison: Comparison, panel: Callable[[str, Group], Panel | None]) -> Panels:
    """A panel for each group of a comparison, by its full title; none where ``panel`` gives none."""
    panels = (panel(comparison.full_title(group), group) for group in comparison.groups)
    return tuple(one for one in panels if one is not None)
