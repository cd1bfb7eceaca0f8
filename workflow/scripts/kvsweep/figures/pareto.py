"""What a pair costs in quality against how fast it decodes: which are beaten by no other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from kvsweep.analysis.groups import QUALITY_SUBJECT, Group, compare_beside_published
from kvsweep.figures import style
from kvsweep.figures.axes import log_axis
from kvsweep.figures.drawing import Legend, Panel, Panels, panels_of
from kvsweep.figures.labels import label_points
from kvsweep.figures.marks import PAPER_COLOUR, bar, ends_of, explain_published, source_of
from kvsweep.numbers import format_number
from kvsweep.study.pairs import pair_label
from kvsweep.tables.row import Row, is_published, with_ends
from kvsweep.units import format_count

SMALL = 0.6  # size of a pair that another beats


def kld_by_decode(pareto: Sequence[Row]) -> Panels:
    """Mean KL divergence against decode speed at one depth, with the bits per value of each pair."""
    rows = [row for row in pareto if row["kld_mean"] is not None and row["decode"] is not None]
    comparison = compare_beside_published(rows, QUALITY_SUBJECT)
    return panels_of(comparison, _panel)


def _panel(title: str, group: Group) -> Panel | None:
    if not any(row["kld_mean"] > 0 for row in group.rows):
        return None
    rows = [*group.rows, *group.published]
    low = min(row["kld_mean"] for row in rows if row["kld_mean"] > 0)
    # f16 itself diverges by nothing, or by noise: it stands at the axis' end.
    places = [(row["decode"], max(row["kld_mean"], low / 3)) for row in rows]
    labels = [(x, y, _label(row, low)) for row, (x, y) in zip(rows, places, strict=True)]
    points = tuple(
        {
            "pair": pair_label(row["ctk"], row["ctv"]),
            "decode, tokens/s": row["decode"],
            **ends_of(with_ends(row, "decode"), "tokens/s"),
            "at depth, tokens": row["depth"],
            "mean KLD, nats": row["kld_mean"],
            **ends_of(with_ends(row, "kld_mean"), "nats"),
            "bits per value": row["bits_per_value"],
            "beaten by": ", ".join(row["dominated_by"] or []) or None,
            "mark": source_of(row) if is_published(row) else None,
        }
        for row in rows
    )
    return Panel(
        title, 4.2, partial(_draw, rows, places), points, finish=partial(label_points, points=labels)
    )


def _label(row: Row, low: float) -> str:
    bits = "" if row["bits_per_value"] is None else f" ({format_number(row['bits_per_value'], 4)} bits)"
    below = f", KLD {format_number(row['kld_mean'], 2)}" if row["kld_mean"] < low / 3 else ""
    return f"{pair_label(row['ctk'], row['ctv'])}{bits}{below}"


def _ends(rows: Sequence[Row], column: str) -> list[float]:
    """Both ends of every interval, where they are known: a bar that leaves the picture has no length."""
    ends = (row[f"{column}{end}"] for row in rows for end in ("_low", "_high"))
    return [end for end in ends if end is not None]


def _draw(rows: Sequence[Row], places: Sequence[tuple[float, float]], axes: Axes, legend: Legend) -> None:
    for row, (x, y) in zip(rows, places, strict=True):
        look = style.pair_style(row["ctk"], row["ctv"])
        beaten = row["on_front"] is not True
        (drawn,) = axes.plot(
            [x],
            [y],
            linestyle="none",
            marker=look.marker,
            color=look.colour,
            markerfacecolor=PAPER_COLOUR if is_published(row) else look.colour,
            markersize=SMALL * style.PAGE.font * (SMALL if beaten else 1),
            label=pair_label(row["ctk"], row["ctv"]),
            zorder=3,
        )
        axes.errorbar(
            [x],
            [y],
            xerr=bar(*with_ends(row, "decode")),
            yerr=bar(*with_ends(row, "kld_mean")) if y == row["kld_mean"] else None,
            fmt="none",
            ecolor=look.colour,
            zorder=2.5,
        )
        if beaten:
            legend.setdefault(
                "small: another pair is as good in bits, KLD and decode, and better in one", drawn
            )
    explain_published(filter(is_published, rows), legend)
    log_axis(axes, "y", [y for _, y in places] + [y for y in _ends(rows, "kld_mean") if y > 0], margin=0.12)
    speeds = [x for x, _ in places] + _ends(rows, "decode")
    low, high = min(speeds), max(speeds)
    room = 0.12 * (high - low) or 0.1 * high
    axes.set_xlim(low - room, high + room)
    depths = sorted({format_count(row["depth"]) for row in rows if row["depth"] is not None})
    axes.set_xlabel(f"decode, tokens/s at depth {', '.join(depths)} (right is better)")
    axes.set_ylabel("mean KL divergence, nats (log scale; low is better)")
