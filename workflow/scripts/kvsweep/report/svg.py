"""Figures inside the page: rebuilt from drawing elements only, in colours that follow the page's theme."""

from __future__ import annotations

import re
from xml.etree import ElementTree

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
    """A matplotlib SVG as an element of an HTML page: no prolog, links, scripts or ids that another figure has, too.

    `name` is short: it begins the id of every letter's shape.
    """
    root = ElementTree.fromstring(text)
    _keep_only_drawing(root)
    _rename(root, name)
    root.attrib = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-labelledby": f"{name}-title"}
    return ElementTree.tostring(root, encoding="unicode")


def variable_of(colour: str) -> str:
    """The CSS variable that may replace a colour: `--c-0072b2` for `#0072b2`."""
    return f"--c-{colour.lstrip('#')}"


def _themed(style: str) -> str:
    """A style with every colour as a variable, which is the colour itself where the page does not set it."""
    style = re.sub(r"#[0-9a-f]{6}\b", lambda found: f"var({variable_of(found[0])},{found[0]})", style)
    return re.sub(r"\s*([:;])\s*", r"\1", style)


def _rounded(coordinates: str) -> str:
    """Five digits: a hundredth of a point on the page; a scale factor keeps what it needs."""
    shorter = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.5g}", coordinates)
    return " ".join(shorter.split())


def _keep_only_drawing(element: ElementTree.Element) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    element.text = element.tail = None
    target = element.attrib.pop(_XLINK_HREF, None)
    if target is not None and target.startswith("#"):
        element.set("href", target)
    for attribute, value in list(element.attrib.items()):
        if attribute.startswith(("on", "{")):
            del element.attrib[attribute]
        elif attribute == "style":
            element.set(attribute, _themed(value))
        elif attribute not in ("id", "href", "clip-path"):
            element.set(attribute, _rounded(value))
    for child in list(element):
        if child.tag.removeprefix(_SVG) in _DRAWING_ELEMENTS:
            _keep_only_drawing(child)
        else:
            element.remove(child)


_REFERENCE = re.compile(r"^#(.+)$|(?<=url\(#)([^)]+)")


def _rename(root: ElementTree.Element, name: str) -> None:
    """Number the ids that something refers to, after the figure's name; drop the others."""
    numbers: dict[str, str] = {}

    def new(found: re.Match[str]) -> str:
        number = numbers.setdefault(found[1] or found[2], f"{name}-{len(numbers)}")
        return f"#{number}" if found[1] else number

    for element in root.iter():
        for attribute in ("href", "clip-path", "style"):
            if attribute in element.attrib:
                element.set(attribute, _REFERENCE.sub(new, element.attrib[attribute]))
    for element in root.iter():
        old = element.attrib.pop("id", None)
        if old in numbers:
            element.set("id", numbers[old])
