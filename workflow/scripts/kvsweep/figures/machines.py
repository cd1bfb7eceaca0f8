"""Speed relative to f16 on several machines or engines in one panel: each against its own f16."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from matplotlib.axes import Axes

from kvsweep.analysis.groups import SUBJECT
from kvsweep.analysis.set_ups import by_columns
from kvsweep.figures.drawing import Legend, Panel, Panels
from kvsweep.figures.marks import pair_of, pairs_in_order
from kvsweep.figures.ratio_bars import draw_bar, finish, interval_numbers
from kvsweep.study.pairs import BASELINE_PAIR, pair_label
from kvsweep.tables.row import Row, is_published, ran_as, source_order
from kvsweep.tables.row import pair_of as asked_pair_of
from kvsweep.units import format_count

# Of set-ups, which no pair is drawn in: told apart by shape as well.
_LOOKS = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#332288", "v"),
    ("#E69F00", "P"),
    ("#661100", "X"),
    ("#888888", "<"),
)
MOST = len(_LOOKS)


class SetUp(NamedTuple):
    """A machine with an engine: its name in the legend, and its rows."""

    name: str
    rows: Sequence[Row]


def speed_across(speed: Sequence[Row]) -> Panels:
    """A panel for each model, family of engines and phase that two set-ups have in common (``comparable.py``).

    A line for each pair, a mark for each set-up, at the deepest of the depths that most of them have.
    """
    known = comparable_rows(speed)
    panels = []
    for phase in ("prefill", "decode"):
        for model in models_of(row for row in known if row["phase"] == phase):
            depth = _common_depth(model)
            set_ups = set_ups_of([row for row in model if row["depth"] == depth])
            if len(set_ups) > 1:
                title = f"{phase} at depth {format_count(depth)} · {model[0]['model']}"
                panels.append(_panel(title, set_ups[:MOST], len(set_ups) - MOST))
    return tuple(panels)


def comparable_rows(speed: Iterable[Row]) -> list[Row]:
    """The rows of pairs that ran as asked for, on their device, and that have a ratio to f16."""
    return [
        row
        for row in speed
        if row["ratio"] is not None
        and not row["fallback"]
        and asked_pair_of(row) != BASELINE_PAIR
        and ran_as(row) is None
    ]


def models_of(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each model and family of engines. A file's hash tells models apart, or else the name."""
    rows = list(rows)
    names = {row["model"]: row["model_sha256"] for row in rows if row["model_sha256"]}
    found: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        model = row["model_sha256"] or names.get(row["model"]) or row["model"]
        found.setdefault((model, row["engine_family"]), []).append(row)
    return list(found.values())


def _common_depth(rows: Sequence[Row]) -> int:
    set_ups: dict[int, set[tuple[object, ...]]] = {}
    for row in rows:
        set_ups.setdefault(row["depth"], set()).add(tuple(row[name] for name in SUBJECT))
    return max(set_ups, key=lambda depth: (len(set_ups[depth]), depth))


def set_ups_of(rows: Sequence[Row]) -> list[SetUp]:
    groups = by_columns(sorted(rows, key=source_order), SUBJECT).values()
    names: dict[str, int] = {}
    found = []
    for own in groups:
        first = own[0]
        engine = None if is_published(first) else first["engine"]  # of these a whole sentence
        source = None if first["source"] == "measured" else first["source"]
        parts = (first["machine"], engine, source)
        name = ", ".join(str(part) for part in parts if part)
        names[name] = names.get(name, 0) + 1
        found.append(SetUp(name if names[name] == 1 else f"{name} ({names[name]})", own))
    return found


def _panel(title: str, set_ups: Sequence[SetUp], left_out: int) -> Panel:
    rows = [row for set_up in set_ups for row in set_up.rows]
    pairs = pairs_in_order(rows)
    points = tuple(
        {
            "pair": pair_label(*pair_of(row)),
            "machine and engine": set_up.name,
            "depth, tokens": row["depth"],
            "speed, % of its own f16": 100 * row["ratio"],
            **interval_numbers(row),
        }
        for set_up in set_ups
        for row in set_up.rows
    )
    more = f" · {left_out} more in the table" if left_out > 0 else ""
    height = 1.3 + len(pairs) * (0.2 + 0.11 * len(set_ups))
    return Panel(f"{title}{more}", height, partial(_draw, set_ups), points, beside=14)


def _draw(set_ups: Sequence[SetUp], axes: Axes, legend: Legend) -> None:
    pairs = pairs_in_order(row for set_up in set_ups for row in set_up.rows)
    step = 0.72 / max(len(set_ups), 2)
    axes.axvline(100, color="#444444", linewidth=1, zorder=1.5)
    bars = []
    for index, set_up in enumerate(set_ups):
        colour, shape = _LOOKS[index]
        for row in set_up.rows:
            line = pairs.index(pair_of(row)) + (index - (len(set_ups) - 1) / 2) * step
            bars.append(draw_bar(axes, row, line, colour, marker=shape, markersize=4.5))
            legend.setdefault(textwrap.shorten(set_up.name, 90), bars[-1].mark)
    finish(axes, pairs, bars, "speed, % of the same machine's f16 (log scale)")
