"""The report as one self-contained HTML page and as Markdown.

Nothing from the data is ever markup: Jinja escapes every value for HTML, and `escape_markdown` every value
for Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup

from kvsweep.errors import KvsweepError
from kvsweep.figures import FIGURES
from kvsweep.presentation import ABSENT
from kvsweep.report_parts import Entry, Grid
from kvsweep.report_view import View

TEMPLATES = Path(__file__).with_name("templates")

# --- figures inside the page --------------------------------------------------------------------------------

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
# What matplotlib draws with. Anything else (scripts, style sheets, metadata, foreign content) stays out of
# the page.
_DRAWING_ELEMENTS = {
    "svg",
    "g",
    "defs",
    "path",
    "use",
    "clipPath",
    "rect",
    "circle",
    "line",
    "polyline",
    "polygon",
}


def embeddable_svg(text: str, name: str) -> str:
    """A matplotlib SVG as an element of an HTML page: no prolog, links, scripts or ids that another figure has, too."""
    root = ElementTree.fromstring(text)
    _keep_only_drawing(root, name)
    root.attrib = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-labelledby": f"{name}-title"}
    return ElementTree.tostring(root, encoding="unicode")


def _keep_only_drawing(element: ElementTree.Element, name: str) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    element.text = element.tail = None
    target = element.attrib.pop(_XLINK_HREF, None)
    if target is not None and target.startswith("#"):
        element.set("href", f"#{name}-{target[1:]}")
    for attribute, value in list(element.attrib.items()):
        if attribute.startswith(("on", "{")):
            del element.attrib[attribute]
        elif attribute == "id":
            element.set("id", f"{name}-{value}")
        else:
            element.set(attribute, re.sub(r"url\(#", f"url(#{name}-", value))
    for child in list(element):
        if isinstance(child.tag, str) and child.tag.removeprefix(_SVG) in _DRAWING_ELEMENTS:
            _keep_only_drawing(child, name)
        else:
            element.remove(child)


# --- the two formats ----------------------------------------------------------------------------------------


def escape_markdown(value: Any) -> str:
    """Text that GitHub-flavoured Markdown shows as it is, on one line; finished Markdown passes as `Markup`."""
    if isinstance(value, Markup):
        return str(value)
    text = re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", str(value))
    return " ".join(text.replace("://", ":\\//").split())


def code_block(text: str) -> Markup:
    """Lines of code for Markdown, fenced by more back ticks than they contain."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{text}\n{fence}")  # the fence keeps it text


def markdown_table(grid: Grid) -> Markup:
    """The grid as a GitHub-flavoured table, numbers to the right, marks in words, and its notes below."""

    def shown(entry: Entry) -> str:
        note = f" ({escape_markdown(entry.note)})" if entry.note else ""
        findings = f" *{', '.join(entry.findings)}*" if entry.findings else ""
        marks = f" **{', '.join(entry.marks)}**" if entry.marks else ""
        return escape_markdown(entry.text) + note + findings + marks

    lines = [
        " | ".join(map(escape_markdown, grid.columns)),
        " | ".join([":--", *["--:" if grid.of_numbers else ":--"] * (len(grid.columns) - 1)]),
    ]
    lines += [" | ".join(map(shown, row)) for row in grid.rows]
    table = "\n".join(f"| {line} |" for line in lines)
    return Markup("\n\n".join([table, *map(escape_markdown, grid.notes)]))


def render_html(view: View, drawings: Mapping[str, str]) -> str:
    """The page, with `drawings`, each figure's SVG text, inside."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The one thing that is put in as markup: drawings rebuilt from allowed elements only.
    svg = {name: Markup(embeddable_svg(drawings[name], name)) for name in FIGURES}
    return (
        environment.get_template("report.html.j2").render(view=view, figures=FIGURES, svg=svg, absent=ABSENT)
        + "\n"
    )


def render_markdown(view: View, figures: str) -> str:
    """The Markdown; `figures` is the directory of the PNG files, seen from the Markdown file's."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,
        finalize=escape_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"table": markdown_table, "code": code_block, "ours": Markup}
    text = environment.get_template("report.md.j2").render(
        view=view, figures=FIGURES, folder=Markup(quote(figures)), absent=ABSENT
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def read_drawings(folder: Path) -> dict[str, str]:
    """Each figure's SVG text. Raises KvsweepError where one is missing."""
    try:
        return {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in FIGURES}
    except FileNotFoundError as error:
        raise KvsweepError(
            f"{error.filename}: this figure is missing; run the workflow again to draw it."
        ) from None
