"""Speed between measured depths: the time of one token is taken as linear in depth, point to point.

With a longer cache attention reads so much more for each token, and all else stays: time per token is a line in
depth as long as nothing else changes (the same in ``prediction`` and ``crossovers``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kvsweep.analysis.estimates import Value, half_width
from kvsweep.analysis.row_values import seconds_per_token
from kvsweep.tables.row import Row
from kvsweep.units import format_count


@dataclass(frozen=True)
class Duration:
    """Seconds, with half of the 95 % interval; None where no error is known."""

    seconds: float
    terms: tuple[tuple[float, Value], ...]

    @property
    def half(self) -> float | None:
        return half_width(self.terms)[0]

    @property
    def rounds(self) -> int | None:
        """Rounds in which all of it was measured; None for numbers without rounds."""
        known = [set(value.rounds) for _, value in self.terms if value.rounds is not None]
        return len(set.intersection(*known)) if known else None

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.seconds + other.seconds, self.terms + other.terms)

    def __sub__(self, other: Duration) -> Duration:
        negative = tuple((-weight, value) for weight, value in other.terms)
        return Duration(self.seconds - other.seconds, self.terms + negative)


class Curve:
    """Seconds per token of one pair and phase by depth. Says nothing of what lies outside its measured depths."""

    def __init__(self, rows: Iterable[Row]) -> None:
        """``rows``: measured, of one phase and number of timed tokens. A cell covers its depth and the tokens timed."""
        cells = {row["depth"]: row for row in rows}
        self._cells = dict(sorted(cells.items()))
        self.reach = max((depth + row["n_tokens"] for depth, row in cells.items()), default=None)

    @property
    def depths(self) -> list[int]:
        return list(self._cells)

    def at(self, depth: int) -> float | None:
        """Seconds per token as measured at this depth; None where it was not."""
        cell = self._cells.get(depth)
        return None if cell is None else seconds_per_token(cell).value

    def gap(self, start: int, end: int) -> str | None:
        """The depth from ``start`` to ``end`` that lies outside the measured ones, in words; None if there is none."""
        if self.reach is None:
            return "any depth"
        if start < min(self._cells):
            return f"{format_count(start)}, below the shallowest that was measured"
        if end > self.reach:
            return f"{format_count(end)}, beyond the deepest that was measured"
        return None

    def duration(self, start: int, end: int) -> Duration:
        """Time for the tokens from ``start`` to ``end`` in the cache. Raises ValueError where they are not covered."""
        if self.gap(start, end) is not None:
            raise ValueError(f"tokens {start} to {end} are not measured")
        weights: dict[int, float] = dict.fromkeys(self._cells, 0.0)
        depths = self.depths
        for low, high in zip(depths, [*depths[1:], None], strict=True):
            first = max(start, low)
            last = end if high is None else min(end, high)
            if last <= first:
                continue
            if high is None:
                weights[low] += last - first  # on the last cell's own timed tokens
                continue
            # The integral of a line from first to last, as weights of its two ends.
            middle = ((first + last) / 2 - low) / (high - low)
            weights[low] += (last - first) * (1 - middle)
            weights[high] += (last - first) * middle
        cells = self._cells
        terms = tuple(
            (weight, seconds_per_token(cells[depth])) for depth, weight in weights.items() if weight
        )
        return Duration(sum(weight * value.value for weight, value in terms), terms)
