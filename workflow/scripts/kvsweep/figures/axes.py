"""Axes: logarithmic ones with round numbers, and the one of depths, where 0 has a place, too."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from kvsweep.numbers import format_number
from kvsweep.units import format_count


def log_ticks(low: float, high: float) -> list[float]:
    """At least four round numbers between two positive ones, as few as can be, for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
        ticks = [m * 10.0**d for d in decades for m in multiples if low <= m * 10.0**d <= high]
        if len(ticks) >= 4:
            return ticks
    step = 10.0 ** math.floor(math.log10(high - low)) if high > low else high
    step = next((s for s in (step, step / 2, step / 5) if (high - low) / s >= 4), step / 5)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def log_axis(axes: Axes, which: str, extent: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """A logarithmic axis over the positive numbers of `extent`, with a margin, labelled at round numbers."""
    low, high = min(v for v in extent if v > 0), max(extent)
    room = max(margin * math.log10(high / low), 0.02)
    low, high = low / 10**room, high * 10**room
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log", nonpositive="clip")
    getattr(axes, f"set_{which}lim")(low, high)
    ticks = log_ticks(low, high)
    # Numbers side by side need room, those above each other have it.
    room = 0.1 * math.log10(high / low) if which == "x" else 0.0
    shown = {ticks[i] for i in _spaced([math.log10(tick) for tick in ticks], room)}
    axis.set_ticks(ticks, [format_number(tick, 3) if tick in shown else "" for tick in ticks])
    axis.set_ticks([], minor=True)
    return low, high


def depth_position(depth: float, smallest: float) -> float:
    """Where a depth stands: powers of two at equal steps; 0 one step before the smallest other depth."""
    return math.log2(depth / smallest) + 1 if depth > 0 else 0.0


def smallest_depth(depths: Sequence[int]) -> int:
    """The smallest depth above 0, from which the others are placed; 1 where there is none."""
    return min((depth for depth in depths if depth > 0), default=1)


def depth_axis(axes: Axes, depths: Sequence[int], smallest: float) -> None:
    """Labels for `depths`, in tokens and ascending."""
    positions = [depth_position(depth, smallest) for depth in depths]
    axes.set_xlim(positions[0] - 0.35, positions[-1] + 0.35)
    shown = _spaced(positions, 0.07 * (positions[-1] - positions[0]))
    axes.set_xticks([positions[i] for i in shown], [format_count(int(depths[i])) for i in shown])
    axes.set_xlabel("depth, tokens in the KV cache (log scale)")


def _spaced(positions: Sequence[float], distance: float) -> list[int]:
    """Indices of positions (ascending) that keep their distance from the one kept before."""
    kept: list[int] = []
    for i, position in enumerate(positions):
        if not kept or position - positions[kept[-1]] >= distance:
            kept.append(i)
    return kept
