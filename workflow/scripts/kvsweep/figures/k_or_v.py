"""K or V: the divergence of every type of K with every type of V as a heat map; what was not measured stays blank."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from kvsweep.analysis.groups import QUALITY_SUBJECT, Group, compare
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.numbers import format_number
from kvsweep.study.pairs import pair_order
from kvsweep.tables.row import Row

# On coloured ground, whatever the page: not the colours that a dark page turns around.
_DARK_LETTERS, _LIGHT_LETTERS = "#010101", "#fefefe"


def kld_by_k_and_v(k_or_v: Sequence[Row]) -> Panels:
    """Mean KL divergence over the type of K and the type of V."""
    comparison = compare(k_or_v, QUALITY_SUBJECT)
    return panels_of(comparison, _panel)


def _panel(title: str, group: Group) -> Panel | None:
    rows = group.rows
    if sum(row["kld_mean"] is not None for row in rows) < 2:
        return None
    points = tuple(
        {
            "K": row["ctk"],
            "V": row["ctv"],
            "mean KLD, nats": row["kld_mean"],
            "from K, nats": row["from_k"],
            "from V, nats": row["from_v"],
            "why blank": row["reason"] if row["kld_mean"] is None else None,
        }
        for row in rows
    )
    n_lines = len({row["ctk"] for row in rows})
    return Panel(title, 1.5 + 0.42 * n_lines, partial(_draw, rows), points)


def _in_order(types: Iterable[str]) -> list[str]:
    return sorted(set(types), key=lambda name: pair_order(name, name))


def _draw(rows: Sequence[Row], axes: Axes, _legend: Legend) -> None:
    types_of_k, types_of_v = (_in_order(row[column] for row in rows) for column in ("ctk", "ctv"))
    above_zero = [row["kld_mean"] for row in rows if (row["kld_mean"] or 0) > 0]
    low, high = (math.log10(end(above_zero)) if above_zero else 0.0 for end in (min, max))
    colours = matplotlib.colormaps["cividis_r"]
    for row in rows:
        x, y = types_of_v.index(row["ctv"]), types_of_k.index(row["ctk"])
        kld = row["kld_mean"]
        if kld is None:
            if row["status"] != "not asked for":
                axes.text(x, y, row["status"], ha="center", va="center", color="#777777", fontsize="small")
            continue
        # From 0.08 to 0.92 of the map, so that the lowest is not taken for a blank.
        place = (math.log10(kld) - low) / (high - low) if kld > 0 and high > low else 0.0
        colour = colours(0.08 + 0.84 * place)
        axes.add_patch(
            Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=to_hex(colour), edgecolor="none")
        )
        light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 0.5
        axes.text(
            x,
            y,
            format_number(kld, 2),
            ha="center",
            va="center",
            fontsize="small" if len(types_of_v) > 6 else "medium",
            color=_DARK_LETTERS if light else _LIGHT_LETTERS,
        )
    axes.set_xlim(-0.55, len(types_of_v) - 0.45)
    axes.set_ylim(len(types_of_k) - 0.45, -0.55)
    axes.set_xticks(range(len(types_of_v)), [_with_part(rows, "ctv", "from_v", name) for name in types_of_v])
    axes.set_yticks(range(len(types_of_k)), [_with_part(rows, "ctk", "from_k", name) for name in types_of_k])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.set_xlabel("type of V (below it what this V adds, nats)")
    axes.set_ylabel("type of K (below it what this K adds)")


def _with_part(rows: Sequence[Row], column: str, part: str, name: str) -> str:
    own = (row[part] for row in rows if row[column] == name and row[part] is not None)
    added = next(own, None)
    return name if added is None else f"{name}\n{format_number(added, 2)}"
