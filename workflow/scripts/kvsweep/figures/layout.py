"""From a drawing to matplotlib figures: one with all panels for a page, or a page of its own for each panel."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvsweep.figures import style
from kvsweep.figures.drawing import Drawing, Legend, Panel

PANELS_IN_ONE_COLUMN = 4
MOST_PANELS = 4  # more can neither be read nor drawn in reasonable time; the first ones are drawn
NOTHING = "no cell measured"
DECIMALS = 9  # of a position, which is a fraction of the figure


def one_figure(drawing: Drawing, size: style.Size = style.PAGE) -> Figure:
    """All panels under one title and above one legend."""
    if not drawing.panels:
        return _nothing(drawing, size)
    columns = 1 if len(drawing.panels) <= PANELS_IN_ONE_COLUMN else 2
    heights = [
        max(panel.height for panel in drawing.panels[start : start + columns]) * size.font / style.PAGE.font
        for start in range(0, len(drawing.panels), columns)
    ]
    with matplotlib.rc_context(style.rc(size)):
        figure = Figure(figsize=(size.width * columns, sum(heights) + 0.6), layout="constrained")
        grid = figure.subplots(len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
        for spare in list(grid.flat)[len(drawing.panels) :]:
            spare.set_axis_off()
        legend: Legend = {}
        drawn = list(zip(grid.flat, drawing.panels, strict=False))
        for axes, panel in drawn:
            _draw(axes, panel, size, legend)
        figure.suptitle(drawing.title, x=0.01, ha="left")
        _add_legend(figure, legend, columns, size)
        _finish(figure, drawn)
    return figure


def pages(drawing: Drawing, size: style.Size) -> Iterable[Figure]:
    """A figure for each panel; where `size` has a height, it is kept, and the letters are as large as fits."""
    for panel in drawing.panels:
        if size.height is None:
            yield one_figure(Drawing(drawing.title, (panel,)), size)
        else:
            yield _slide(drawing.title, panel, size, size.height)
    if not drawing.panels:
        yield _nothing(drawing, size)


def _slide(title: str, panel: Panel, size: style.Size, height: float) -> Figure:
    room = 0.8 * height  # what title and labels leave for the panel
    font = min(size.font, max(style.PAGE.font, style.PAGE.font * room / panel.height))
    size = size._replace(font=font)
    with matplotlib.rc_context(style.rc(size)):
        figure = Figure(figsize=(size.width, height), layout="constrained")
        axes = figure.subplots()
        legend: Legend = {}
        _draw(axes, panel, size, legend)
        figure.suptitle(title, x=0.01, ha="left")
        if legend:
            labels = [textwrap.fill(label, 30) for label in legend]
            figure.legend(list(legend.values()), labels, loc="outside right upper")
        _finish(figure, [(axes, panel)])
    return figure


def _draw(axes: Axes, panel: Panel, size: style.Size, legend: Legend) -> None:
    # Everything a panel shows is said above it, what sets it apart first: panels get passed on alone.
    axes.set_title(_wrapped(panel.title, int(72 * size.width / (0.74 * size.font)) - panel.beside))
    panel.draw(axes, legend)


def _finish(figure: Figure, drawn: Sequence[tuple[Axes, Panel]]) -> None:
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    # The layout is final. With "none" matplotlib would draw every figure twice when it is saved.
    figure.set_layout_engine(None)
    _round_positions(figure)
    for axes, panel in drawn:
        panel.finish(axes)


def _round_positions(figure: Figure) -> None:
    """Equal figures in equal bytes: the solver of the layout takes its unknowns in the order of their addresses in
    memory, so that last digits differ from run to run, and SVG names what clips a curve by all digits."""
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, DECIMALS) for edge in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))


def _wrapped(description: str, characters: int) -> str:
    """The description in lines of so many characters, broken between its parts where they are not too long."""
    lines = [""]
    for part in description.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= characters:
            lines[-1] = longer
        else:
            lines[-1] += " ·" if lines[-1] else ""
            lines += textwrap.wrap(part, characters, break_on_hyphens=False)
    return "\n".join(line for line in lines if line)


def _nothing(drawing: Drawing, size: style.Size) -> Figure:
    with matplotlib.rc_context(style.rc(size)):
        figure = Figure(figsize=(size.width, size.height or 1.6), layout="constrained")
        figure.suptitle(drawing.title, x=0.01, ha="left")
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.text(0.5, 0.5, NOTHING, ha="center", va="center", fontsize=size.font + 3)
    return figure


def _add_legend(figure: Figure, legend: Legend, columns: int, size: style.Size) -> None:
    """Below all panels, in as many columns as fit; the figure grows by its lines."""
    if not legend:
        return
    total_width, height = figure.get_size_inches()
    # Widths in points: of a letter, and of all of an entry that is no letter.
    letter = 0.6 * size.font
    rc = matplotlib.rcParams
    handle = size.font * (rc["legend.handlelength"] + rc["legend.handletextpad"] + rc["legend.columnspacing"])
    room = 72 * total_width / (2 if len(legend) > 5 else 1) - handle
    labels = [textwrap.fill(label, int(room / letter)) for label in legend]
    longest = [max(map(len, label.splitlines())) for label in labels]

    def width(n_columns: int) -> float:
        """In points, with matplotlib's way to deal entries out: the first columns take what is over."""
        columns_of_labels = np.array_split(np.array(longest), n_columns)
        return float(sum(letter * max(column) + handle for column in columns_of_labels))

    most = min(len(labels), 4 * columns)
    per_line = next((n for n in range(most, 1, -1) if width(n) <= 72 * total_width), 1)
    by_column = np.array_split(np.array([label.count("\n") + 1 for label in labels]), per_line)
    lines = max(int(sum(column)) for column in by_column)
    figure.set_size_inches(total_width, height + 0.19 * size.font / 9 * lines)
    figure.legend(list(legend.values()), labels, loc="outside lower center", ncols=per_line)
