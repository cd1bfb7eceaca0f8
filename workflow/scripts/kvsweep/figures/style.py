"""The look of every figure, in one place: fonts and lines, and how a pair is named and drawn.

A pair is drawn the same way everywhere, whichever other pairs are present: the colour tells the type of V,
the marker the type of K, and a solid line means that both are equal. No two pairs of known types share all
three.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from kvsweep.study.pairs import effective_pair

# Colours after Okabe and Ito (Color Universal Design, 2008); those marked + after Paul Tol's colour-blind
# safe "muted" set (technical note SRON/EPS/TN/09-002, 2021), as there are more types than Okabe and Ito have
# colours.
Dashes = tuple[float, tuple[float, ...]]


class Look(NamedTuple):
    """How a cache type is drawn: its colour as V, its marker and its dashes as K."""

    colour: str
    marker: str
    dashes: Dashes


_LOOKS = {
    "f32": Look("#888888", "H", (0, (1, 1))),
    "f16": Look("#000000", "o", (0, (1, 2))),
    "bf16": Look("#555555", "8", (0, (1, 3.5))),
    "q8_0": Look("#0072B2", "s", (0, (5, 2))),
    "q5_1": Look("#332288", "p", (0, (8, 2))),  # +
    "q5_0": Look("#882255", "h", (0, (8, 2, 1, 2))),  # +
    "q4_1": Look("#8A8A2E", "P", (0, (8, 2, 1, 2, 1, 2))),  # +, a little darker, to stand on white
    "q4_0": Look("#E69F00", "D", (0, (3, 2, 1, 2))),
    "iq4_nl": Look("#56B4E9", "X", (0, (3, 2, 1, 2, 1, 2))),
    "turbo4": Look("#D55E00", "^", (0, (3, 3))),
    "turbo3": Look("#009E73", "v", (0, (3, 1.2))),
    "turbo2": Look("#CC79A7", "<", (0, (2, 4))),
}
# What a colour becomes on a dark page; all others stay as they are.
ON_DARK = {
    "#000000": "#f2f2f4",
    "#222222": "#dcdce0",
    "#444444": "#b4b4bc",
    "#555555": "#bdbdc4",
    "#777777": "#909098",
    "#888888": "#9a9aa2",
    "#999999": "#86868e",
    "#dddddd": "#37373d",
    "#ffffff": "#161618",
    "#0072b2": "#4fb0ec",
    "#332288": "#9d8df0",
    "#882255": "#e0709f",
    "#8a8a2e": "#c3c35a",
    "#d55e00": "#f58a3c",
    "#009e73": "#35c79a",
    "#661100": "#d9745c",
    "#117733": "#4fbf75",
    "#aa4499": "#d67cc6",
}
# For types that this table does not know yet: chosen by the name alone, so that they stay the same, too.
_SPARE_COLOURS = ("#44AA99", "#AA4499", "#661100", "#6699CC", "#117733", "#CC6677")
_SPARE_MARKERS = (">", "d", "*")
_SPARE_DASHES: tuple[Dashes, ...] = ((0, (6, 1)), (0, (2, 1)), (0, (4, 1, 1, 1)))


def _look(name: str) -> Look:
    """Of a type, or of the whole label of a pair with a name of its own, which is drawn as another one."""
    number = zlib.crc32(name.encode())
    return _LOOKS.get(name) or Look(
        _SPARE_COLOURS[number % len(_SPARE_COLOURS)],
        _SPARE_MARKERS[number % len(_SPARE_MARKERS)],
        _SPARE_DASHES[number % len(_SPARE_DASHES)],
    )


class Size(NamedTuple):
    """What a figure is made for: inches, and points of its letters. Without a height it grows with its content."""

    width: float
    height: float | None
    font: float


PAGE = Size(5.0, None, 9)  # the report: a column of print, and still readable when shrunk to a phone
COLUMN = Size(3.5, None, 7)  # one column of a two-column paper, 89 mm
SLIDE = Size(13.333, 7.5, 18)  # 16:9

LINE, THIN = 1.4, 0.8  # points


def rc(size: Size) -> Any:
    """Matplotlib's settings."""
    return {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
        "font.size": size.font,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.labelsize": "medium",
        "xtick.labelsize": "medium",
        "ytick.labelsize": "medium",
        "legend.fontsize": "medium",
        "figure.titlesize": "large",
        "figure.titleweight": "bold",
        "figure.facecolor": "white",
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#444444",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "lines.linewidth": LINE,
        "lines.markersize": 0.6 * size.font,
        "lines.markeredgewidth": 1.2,
        "errorbar.capsize": 0.28 * size.font,
        "legend.frameon": False,
        "legend.handlelength": 3.2,
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
        "svg.fonttype": "path",  # letters as outlines: the same picture where the font is missing
        "svg.hashsalt": "kvsweep",  # the same picture has the same bytes
        "pdf.fonttype": 42,  # letters that can be searched and edited
    }


class PairStyle(NamedTuple):
    """How a pair is drawn; `dashes` are in matplotlib's (offset, (on, off, ...)) form, in points."""

    colour: str
    marker: str
    dashes: Dashes | str
    ran_as_another: bool


def pair_style(
    ctk: str, ctv: str, effective_ctk: str | None = None, effective_ctv: str | None = None
) -> PairStyle:
    """Colour by the type of V, marker and dashes by the type of K, and whether another pair ran."""
    k = _look(ctk)
    return PairStyle(
        colour=_look(ctv).colour,
        marker=k.marker,
        dashes="solid" if ctk == ctv else k.dashes,
        ran_as_another=effective_pair(ctk, ctv, effective_ctk, effective_ctv) is not None,
    )
