"""What a picture says can be read: no label over a marker, a bar or another label; nothing beyond the paper's edge."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.draw import draw
from kvsweep.figures.labels import label_points
from kvsweep.figures.layout import one_figure
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from synthetic_analysis import answers
from synthetic_tables import study


def boxes_of_labels(axes: Axes) -> list[tuple[str, Bbox]]:
    return [
        (text.get_text(), Text.get_window_extent(text))
        for text in axes.texts
        if isinstance(text, Annotation) and text.get_window_extent() and text.get_text()
    ]


def boxes_of_marks(axes: Axes) -> Iterator[tuple[str, Bbox]]:
    """Markers as squares of their size, bars as lines."""
    for line in axes.lines:
        if line.get_marker() not in ("None", "", None):
            half = line.get_markersize() * axes.figure.dpi / 144
            for x, y in axes.transData.transform(np.column_stack(line.get_data(orig=False))):
                if np.isfinite([x, y]).all():
                    yield f"marker of {line.get_label()}", Bbox([[x - half, y - half], [x + half, y + half]])
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            for segment in (one for bars in container.lines[2] for one in bars.get_segments() if len(one)):
                ends = axes.transData.transform(segment)
                if np.isfinite(ends).all():
                    yield (
                        f"bar of {container.get_label()}",
                        Bbox([ends.min(axis=0) - 0.75, ends.max(axis=0) + 0.75]),
                    )


def overlap(a: Bbox, b: Bbox) -> float:
    """In dots, the smaller way: boxes that only touch do not overlap."""
    return min(min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0))


def what_cannot_be_read(figure: Figure) -> list[str]:
    """Each fault in words."""
    figure.draw_without_rendering()
    faults = []
    for axes in figure.axes:
        labels, panel = boxes_of_labels(axes), axes.get_window_extent()
        marks = list(boxes_of_marks(axes)) if labels else []
        for (one, box), (other, second) in combinations(labels, 2):
            if overlap(box, second) > 1:
                faults.append(f"{one} over {other}")
        for label, box in labels:
            faults += [f"{label} over {mark}" for mark, own in marks if overlap(box, own) > 1]
            if not (panel.x0 - 1 <= box.x0 and box.x1 <= panel.x1 + 1):
                faults.append(f"{label} beyond the panel")
    page = figure.bbox
    shown = [axes for axes in figure.axes if axes.axison]
    words = [text for axes in shown for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    for axis in (axis for axes in shown for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        words += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    words += [text for legend in figure.legends for text in legend.get_texts()]
    for text in words:
        box = text.get_window_extent()
        if text.get_text() and not (
            page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1 and page.y0 - 1 <= box.y0
        ):
            faults.append(f"“{text.get_text()}” beyond the paper")
    for legend in figure.legends:
        box = legend.get_window_extent()
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1:
            faults.append("the legend is wider than the paper")
        faults += ["the legend lies over a panel" for axes in figure.axes if overlap(axes.bbox, box) > 1]
    return faults


def rows_of(name: str) -> list[dict[str, Any]]:
    tables = study() | answers()
    return list(tables[FIGURES[name].table].to_pylist())


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_read(name: str) -> None:
    assert what_cannot_be_read(one_figure(draw(name, rows_of(name)))) == []


def test_a_label_over_a_bar_is_seen() -> None:
    """Else the others would show nothing."""
    figure = Figure(figsize=(4, 3), dpi=100)
    axes = figure.subplots()
    axes.errorbar([1.0], [1.0], xerr=[2.0], label="wide")
    axes.annotate("over it", (1.0, 1.0), xytext=(8, 0), textcoords="offset points", va="center")
    assert what_cannot_be_read(figure) == ["over it over bar of wide"]


def crowded(seed: int, n: int) -> Figure:
    chance = np.random.default_rng(seed)
    figure = Figure(figsize=(5, 4.2), dpi=100)
    axes = figure.subplots()
    x, y = chance.uniform(0, 1, (2, n))
    for number in range(n):
        wide, high = chance.uniform(0, 0.12, (2, 1))
        axes.errorbar([x[number]], [y[number]], xerr=wide, yerr=high, marker="o", label=f"p{number}")
    axes.set_xlim(-0.2, 1.2)
    axes.set_ylim(-0.2, 1.2)
    figure.draw_without_rendering()
    label_points(axes, [(x[i], y[i], f"q{i}_0/turbo{i}") for i in range(n)])
    return figure


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [4, 10])
def test_labels_find_a_place_among_many_points(seed: int, n: int) -> None:
    assert what_cannot_be_read(crowded(seed, n)) == []


@pytest.mark.parametrize("seed", range(2))
def test_a_label_beside_two_points_is_clearly_nearer_to_its_own(seed: int) -> None:
    figure = crowded(seed, 8)
    (axes,) = figure.axes
    dots = np.array([axes.transData.transform(text.xy) for text in axes.texts])  # type: ignore[attr-defined]
    for number, text in enumerate(axes.texts):
        assert isinstance(text, Annotation)
        if text.arrow_patch is None:
            text.get_window_extent()
            box = Text.get_window_extent(text)
            away = np.maximum(np.maximum([box.x0, box.y0] - dots, dots - [box.x1, box.y1]), 0)
            distance = np.hypot(*away.T)
            assert distance.argmin() == number
