"""Memory: the size of the KV cache at each depth, and how the cell of that depth ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kvsweep.analysis.groups import SUBJECT, Group, compare_beside_published
from kvsweep.analysis.set_ups import by_columns
from kvsweep.figures import style
from kvsweep.figures.axes import depth_axis, depth_position, log_axis, smallest_depth
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.marks import PAPER_COLOUR, explain_published, joined, source_of
from kvsweep.figures.speed import by_source
from kvsweep.study.pairs import pair_label, pair_order
from kvsweep.tables.row import Row, is_published

# What stands in place of the pair's marker where a cell was not measured.
_MARKER_OF_STATUS = {"oom": "x", "skipped": "|"}
_OTHER_STATUS = "+"


def memory_by_depth(memory: Sequence[Row]) -> Panels:
    """Size of the KV cache of every pair against depth, each cell marked by how it ended."""
    rows = [row for row in memory if row["kv_bytes"]]
    comparison = compare_beside_published(rows, SUBJECT)
    return panels_of(
        comparison, lambda title, group: Panel(title, 3.9, partial(_draw, group), _points(group))
    )


def _draw(group: Group, axes: Axes, legend: Legend) -> None:
    rows = [*group.rows, *group.published]
    depths = sorted({row["depth"] for row in rows})
    smallest = smallest_depth(depths)
    name, unit = ("GiB", 2**30) if max(row["kv_bytes"] for row in rows) >= 2**28 else ("MiB", 2**20)
    extent = [row["kv_bytes"] / unit for row in rows]
    for published, own in by_source(group):
        in_order = sorted(own, key=lambda row: (pair_order(row["ctk"], row["ctv"]), row["depth"]))
        for pair, cells in by_columns(in_order, ("ctk", "ctv")).items():
            look = style.pair_style(*pair)
            axes.plot(
                [depth_position(row["depth"], smallest) for row in cells],
                [row["kv_bytes"] / unit for row in cells],
                color=look.colour,
                linestyle=look.dashes,
                linewidth=style.THIN,
                zorder=2,
            )
            for row in cells:
                _mark(axes, (depth_position(row["depth"], smallest), row["kv_bytes"] / unit), row, legend)
        if published:
            explain_published(own, legend)
    room = _room(group.rows)
    if room is not None and min(extent) / 30 < room / unit < max(extent) * 30:
        line = axes.axhline(room / unit, color="#444444", linewidth=1, linestyle=(0, (6, 2, 1, 2)))
        legend.setdefault("what weights and compute buffers leave of the memory", line)
        extent.append(room / unit)
    log_axis(axes, "y", extent)
    axes.set_ylabel(f"KV cache, {name} (log scale)")
    depth_axis(axes, depths, smallest)


def _mark(axes: Axes, place: tuple[float, float], row: Row, legend: Legend) -> None:
    look = style.pair_style(row["ctk"], row["ctv"])
    faces: dict[str, Any] = {"color": look.colour, "linestyle": "none", "zorder": 3}
    label = pair_label(row["ctk"], row["ctv"])
    if row["status"] == "measured":
        face = PAPER_COLOUR if is_published(row) else look.colour
        (drawn,) = axes.plot(*place, marker=look.marker, markerfacecolor=face, label=label, **faces)
        legend.setdefault(label, drawn)
    else:
        marker = _MARKER_OF_STATUS.get(row["status"], _OTHER_STATUS)
        axes.plot(*place, marker=marker, markersize=9, label=f"{label}: {row['status']}", **faces)
        explained = Line2D([], [], linestyle="none", marker=marker, markersize=9, color="#444444")
        known = row["status"] in _MARKER_OF_STATUS
        legend.setdefault(
            {"oom": "out of memory", "skipped": "skipped"}[row["status"]] if known else "not measured",
            explained,
        )
    if row["surprise"]:
        (ring,) = axes.plot(
            *place,
            marker="o",
            markersize=14,
            markerfacecolor="none",
            color="#444444",
            linestyle="none",
            markeredgewidth=0.8,
            zorder=4,
        )
        legend.setdefault(f"ring: {row['surprise']}", ring)


def _room(rows: Sequence[Row]) -> float | None:
    """Bytes that the machine has for the KV cache, where all that takes part is known of a cell."""
    for row in rows:
        parts = (row["machine_memory_bytes"], row["weights_bytes"], row["compute_bytes"])
        if None not in parts and parts[0] > parts[1] + parts[2]:
            return float(parts[0] - parts[1] - parts[2])
    return None


def _points(group: Group) -> tuple[dict[str, object], ...]:
    return tuple(
        {
            "pair": pair_label(row["ctk"], row["ctv"]),
            "depth, tokens": row["depth"],
            "KV cache, bytes": row["kv_bytes"],
            "from": row["kv_from"],
            "weights + KV cache + compute buffers, bytes": row["needed_bytes"],
            "ended": row["status"],
            "mark": joined(source_of(row) if is_published(row) else "", row["surprise"]),
        }
        for row in (*group.rows, *group.published)
    )
