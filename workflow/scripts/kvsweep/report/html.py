"""The report as one self-contained HTML page.

Nothing from the data is ever markup: Jinja escapes every value, what the script shows is JSON that it puts in as text,
and the page's own policy lets no other script run and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from kvsweep.figures.style import ON_DARK
from kvsweep.numbers import ABSENT
from kvsweep.report.figures import Figure
from kvsweep.report.parts import Cell, Entry
from kvsweep.report.svg import embeddable_svg, variable_of
from kvsweep.report.view import View

TEMPLATES = Path(__file__).with_name("templates")

OPEN_SET_UPS = 4  # of a section; the others are folded


def render_html(view: View, figures: Sequence[Figure]) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sort_key"] = sort_key
    script, look = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.js", "report.css"))
    by_section: dict[str, list[Figure]] = {}
    for figure in figures:
        by_section.setdefault(figure.listed.section, []).append(figure)
    return (
        environment.get_template("report.html.j2").render(
            view=view,
            figures=by_section,
            # Drawings rebuilt from allowed elements only; with the two files of ours all that is put in as markup.
            svg={f.name: Markup(embeddable_svg(f.svg, f"f{n}")) for n, f in enumerate(figures) if f.numbers},
            titles={figure.name: f"f{n}-title" for n, figure in enumerate(figures)},
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            look=Markup(look),
            dark={variable_of(colour): on_dark for colour, on_dark in ON_DARK.items()},
            evidence=evidence_of(view.cells),
            absent=ABSENT,
            open_set_ups=OPEN_SET_UPS,
        )
        + "\n"
    )


_LEADING_NUMBER = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)(?![0-9.]*e)")


def sort_key(entry: Entry) -> str:
    """What the script sorts an entry by, where that is not the number that its text begins with."""
    if entry.value is None:
        return ""
    begins = _LEADING_NUMBER.match(entry.text.replace("−", "-").replace(",", ""))
    if begins is not None and math.isclose(float(begins[1]), entry.value, rel_tol=0.005):
        return ""
    return f"{entry.value:.6g}"


def evidence_of(cells: Sequence[Cell]) -> dict[str, Any]:
    """The cells for the script: each text once, in `texts`; a cell is the numbers of its texts.

    [title, set-up, status, reason, log line, command, name of a fact, the fact, ...]
    """
    numbers: dict[str, int] = {}

    def number(text: str) -> int:
        return numbers.setdefault(text, len(numbers))

    shown = [
        [
            *map(number, (cell.title, cell.set_up, cell.status, cell.reason, cell.log_line, cell.command)),
            *(number(text) for fact in cell.facts for text in fact),
        ]
        for cell in cells
    ]
    return {"texts": list(numbers), "cells": shown}
