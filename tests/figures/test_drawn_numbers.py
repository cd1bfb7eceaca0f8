"""What is drawn is what stands in the figure's table: every mark, every end of a bar, every band, in every panel.

The tables beside the figures are held to the Parquet tables in ``test_numbers.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_tables import all_panels
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.drawing import Drawing, Panel
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

# By figure and axis: what stands there, and what its bars are: the ends, or half of the interval.
ENDS = ("95 % from, {}", "95 % to, {}")
AXES: dict[str, dict[str, tuple[str, str | None]]] = {
    "kld_by_bits": {"x": ("mean bits per value", None), "y": ("mean KLD, nats", "±, nats")},
    "kld_by_pair": {"x": ("mean KLD, nats", "±, nats")},
    "top1_by_pair": {"x": ("same top-1, %", "±, %")},
    "kld_against_depth": {"x": ("depth, tokens", None), "y": ("kld_mean, nats", None)},
    "top1_against_depth": {"x": ("depth, tokens", None), "y": ("top1_agreement, %", None)},
    "tail_by_mean": {"x": ("mean KLD, nats", "±, mean KLD"), "y": ("99.9 % KLD, nats", "nats")},
    "right_by_context": {"y": ("right, %", "%")},
    "speed_ratios": {"x": ("speed, % of f16", "%")},
    "speed_across": {"x": ("speed, % of its own f16", "%")},
    "speed_by_machine": {"x": ("depth, tokens", None), "y": ("speed, % of its own f16", "%")},
    "prefill_by_depth": {"x": ("depth, tokens", None), "y": ("tokens/s", "tokens/s")},
    "decode_by_depth": {"x": ("depth, tokens", None), "y": ("tokens/s", "tokens/s")},
    "prefill_relative": {"x": ("depth, tokens", None), "y": ("difference", "%")},
    "decode_relative": {"x": ("depth, tokens", None), "y": ("difference", "%")},
    "kld_by_decode": {"x": ("decode, tokens/s", "tokens/s"), "y": ("mean KLD, nats", "nats")},
    "crossovers": {"x": ("depth, tokens", "tokens")},
    "memory_by_depth": {"x": ("depth, tokens", None), "y": ("KV cache, bytes", None)},
}
BY_DEPTH = ("speed_by_machine", "prefill_by_depth", "decode_by_depth", "prefill_relative", "decode_relative",
            "crossovers", "memory_by_depth")  # fmt: skip


@pytest.fixture(scope="module")
def drawings(figure_tables: dict[str, Path]) -> dict[str, Drawing]:
    return all_panels(figure_tables)


def drawn(panel: Panel) -> Axes:
    axes = Figure().subplots()
    panel.draw(axes, {})
    return axes


def shown(name: str, panel: Panel) -> pd.DataFrame:
    """The points that have a mark: the control is a line, what is not above 0 has no place on a logarithmic axis."""
    points = pd.DataFrame(panel.points)
    if name == "kld_by_pair":
        points = points[(points.pair != "f16") & (points["mean KLD, nats"] > 0)]
    if name == "kld_by_decode":
        kld = points["mean KLD, nats"]
        points["mean KLD, nats"] = kld.clip(lower=kld[kld > 0].min() / 3)
    return points.rename(
        columns={one: "difference" for one in points if str(one).startswith("difference from")}
    )


def place(name: str, axis: str, values: Any, axes: Axes) -> np.ndarray:
    """Numbers of the figure's table where they stand on its axis."""
    found = np.asarray(values, dtype=float)
    if name in BY_DEPTH and axis == "x":
        # Powers of two at equal steps, 0 one step before the first; that one is told by any tick.
        at, label = next(
            (at, tick.get_text())
            for at, tick in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if tick.get_text() != "0"
        )
        first = float(label.rstrip("KM")) * {"K": 1024, "M": 1024**2}.get(label[-1], 1) / 2 ** (at - 1)
        beyond = np.log2(np.maximum(found, first) / first) + 1
        between = found / first if name == "crossovers" else np.zeros_like(found)
        return np.where(np.isnan(found), np.nan, np.where(found >= first, beyond, between))
    if name == "memory_by_depth" and axis == "y":
        return found / {"GiB": 2**30, "MiB": 2**20}[axes.get_ylabel().split()[2]]
    return found


def marks(axes: Axes) -> Iterator[tuple[float, float]]:
    """Every marker but caps of bars, crosses over fallback cells, and rings."""
    caps = {id(cap) for bars in containers(axes) for cap in bars.lines[1]}
    for line in axes.lines:
        is_mark = line.get_marker() not in ("None", "", None) and id(line) not in caps
        if is_mark and line.get_label() != "fallback" and line.get_markersize() < 14:
            x, y = (np.asarray(side, dtype=float) for side in line.get_data())
            yield from ((float(a), float(b)) for a, b in zip(x, y, strict=True) if not math.isnan(b))


def containers(axes: Axes) -> list[Any]:
    return [one for one in axes.containers if isinstance(one, ErrorbarContainer)]


def bars(axes: Axes, axis: str) -> Iterator[tuple[float, float]]:
    """Both ends of each bar along an axis."""
    for one in containers(axes):
        along = ["x"] * one.has_xerr + ["y"] * one.has_yerr
        for lines, own in zip(one.lines[2], along, strict=True):
            for segment in lines.get_segments() if own == axis else ():
                ends = segment[:, "xy".index(axis)] if len(segment) else np.array([np.nan])
                if np.isfinite(ends).all():
                    yield float(ends.min()), float(ends.max())


@pytest.mark.parametrize("name", AXES)
def test_every_mark_stands_where_the_table_says(name: str, drawings: dict[str, Drawing]) -> None:
    for panel in drawings[name].panels:
        axes, points = drawn(panel), shown(name, panel)
        found = np.array(sorted(marks(axes)))
        for axis, (column, _) in AXES[name].items():
            expected = np.sort(place(name, axis, points[column], axes))
            own = np.sort(found[:, "xy".index(axis)])
            np.testing.assert_allclose(own, expected, rtol=1e-9, atol=1e-12, err_msg=panel.title)


@pytest.mark.parametrize("name", AXES)
def test_every_bar_ends_where_the_table_says(name: str, drawings: dict[str, Drawing]) -> None:
    """And has none where an end is not known."""
    seen = 0
    for panel in drawings[name].panels:
        axes, points = drawn(panel), shown(name, panel)
        for axis, (column, of) in AXES[name].items():
            value = points[column].astype(float)
            if of is None:
                low = high = pd.Series(np.nan, points.index)
            elif of.startswith("±"):
                half = points[of].astype(float)
                low, high = value - half, value + half
            else:
                low, high = (points[end.format(of)].astype(float) for end in ENDS)
            if name == "kld_by_decode" and axis == "y":  # what stands at the axis' end is not its own place
                low = low.where(value == pd.DataFrame(panel.points)[column])
            known = low.notna() & high.notna()
            # A bar begins and ends at its mark at least.
            low, high = low.clip(upper=value), high.clip(lower=value)
            ends = [place(name, axis, end[known], axes) for end in (low, high)]
            expected = sorted(zip(*(one.tolist() for one in ends), strict=True))
            own = sorted(bars(axes, axis))
            assert len(own) == len(expected), (panel.title, axis)
            np.testing.assert_allclose(own, expected, rtol=1e-6, atol=1e-9, err_msg=panel.title)
            seen += len(own)
    assert seen or not any(of for _, of in AXES[name].values())


@pytest.mark.parametrize(("name", "cut"), [("kld_against_depth", 3), ("top1_against_depth", math.inf)])
def test_every_band_is_the_tables_interval(name: str, cut: float, drawings: dict[str, Drawing]) -> None:
    """A long one runs out of the panel; where no error is known it has no height."""
    column = AXES[name]["y"][0]
    unit = column.partition(", ")[2]
    for panel in drawings[name].panels:
        points = pd.DataFrame(panel.points)
        value = points[column].astype(float)
        low, high = (points[end.format(unit)].astype(float).fillna(value) for end in ENDS)
        expected = {*np.maximum(low, value / cut).round(12), *np.minimum(high, value * cut).round(12)}
        paths = [path for band in drawn(panel).collections for path in band.get_paths()]
        assert {float(y) for path in paths for y in path.vertices[:, 1].round(12)} == expected


def test_every_cell_of_the_heat_map_says_its_number(drawings: dict[str, Drawing]) -> None:
    for panel in drawings["kld_by_k_and_v"].panels:
        axes, points = drawn(panel), pd.DataFrame(panel.points)
        types = [
            [label.get_text().split()[0] for label in side]
            for side in (axes.get_xticklabels(), axes.get_yticklabels())
        ]
        said = {
            (types[1][int(y)], types[0][int(x)]): text.get_text()
            for text in axes.texts
            for x, y in [text.get_position()]
        }
        known = points[points["mean KLD, nats"].notna()]
        assert len(axes.patches) == len(known)
        for _, row in known.iterrows():
            kld = row["mean KLD, nats"]
            assert float(said[row["K"], row["V"]].replace("−", "-")) == pytest.approx(
                kld, rel=0.06, abs=1e-12
            )


def test_every_figure_is_looked_at() -> None:
    assert {*AXES, "kld_by_k_and_v"} == set(FIGURES)
