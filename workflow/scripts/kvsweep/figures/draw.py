"""Draws a figure by name, and writes it in every form."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from kvsweep.figures import (
    answers,
    crossovers,
    depth,
    k_or_v,
    machines,
    memory,
    multiples,
    pareto,
    quality,
    ratios,
    speed,
    style,
)
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.drawing import Drawing, Panels
from kvsweep.figures.layout import MOST_PANELS, one_figure, pages
from kvsweep.files import complete_or_absent
from kvsweep.tables.row import Row

DRAWERS: dict[str, Callable[[Sequence[Row]], Panels]] = {
    "kld_by_bits": quality.kld_by_bits,
    "kld_by_pair": quality.kld_by_pair,
    "kld_by_k_and_v": k_or_v.kld_by_k_and_v,
    "top1_by_pair": quality.top1_by_pair,
    "kld_against_depth": depth.kld_against_depth,
    "top1_against_depth": depth.top1_against_depth,
    "tail_by_mean": depth.tail_by_mean,
    "right_by_context": answers.right_by_context,
    "speed_ratios": ratios.speed_ratios,
    "speed_across": machines.speed_across,
    "speed_by_machine": multiples.speed_by_machine,
    "prefill_by_depth": partial(speed.by_depth, "prefill"),
    "decode_by_depth": partial(speed.by_depth, "decode"),
    "prefill_relative": partial(speed.relative, "prefill"),
    "decode_relative": partial(speed.relative, "decode"),
    "kld_by_decode": pareto.kld_by_decode,
    "crossovers": crossovers.crossovers,
    "memory_by_depth": memory.memory_by_depth,
}


def draw(name: str, rows: Sequence[Row]) -> Drawing:
    """The figure of these rows of its table. Of very many set-ups the first ones, which its title says."""
    panels = DRAWERS[name](rows)
    more = f" (first {MOST_PANELS} of {len(panels)})" if len(panels) > MOST_PANELS else ""
    return Drawing(f"{FIGURES[name].title}{more}", panels[:MOST_PANELS])


# What follows a figure's name: for the report, for elsewhere, for a paper's column, for slides, and its numbers.
FORMS = (".svg", ".png", ".pdf", "-slide.pdf", ".csv")

# Neither date nor version: equal figures give equal bytes.
_UNNAMED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save(drawing: Drawing, folder: Path, name: str) -> None:
    """Write every form, each complete or not at all."""
    figure = one_figure(drawing)
    writers: dict[str, Callable[[Path], None]] = {
        ".svg": lambda path: _save(figure, path, "svg"),
        ".png": lambda path: _save(figure, path, "png"),
        ".pdf": lambda path: _save_pages(drawing, path, style.COLUMN),
        "-slide.pdf": lambda path: _save_pages(drawing, path, style.SLIDE),
        ".csv": lambda path: _save_numbers(drawing, path),
    }
    for end in FORMS:
        with complete_or_absent(folder / f"{name}{end}") as beside:
            writers[end](beside)


def _save(figure: Figure, path: Path, kind: str) -> None:
    with matplotlib.rc_context(style.rc(style.PAGE)):
        figure.savefig(path, format=kind, metadata=_UNNAMED[kind])


def _save_pages(drawing: Drawing, path: Path, size: style.Size) -> None:
    with matplotlib.rc_context(style.rc(size)), PdfPages(path, metadata=_UNNAMED["pdf"]) as pdf:
        for figure in pages(drawing, size):
            pdf.savefig(figure)


def _save_numbers(drawing: Drawing, path: Path) -> None:
    """What is drawn, as a table: empty where a value is not known."""
    points = drawing.points
    columns = list(dict.fromkeys(name for point in points for name in point))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(points)
