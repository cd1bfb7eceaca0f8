"""The tables of speed by depth: rates, differences from a reference pair, and the cache's size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from kvsweep.analysis.groups import SUBJECT
from kvsweep.analysis.reference import is_reference, reference_of
from kvsweep.numbers import ABSENT, format_difference, format_with_error
from kvsweep.report.parts import (
    NO_DIFFERENCE,
    PHASES,
    Entry,
    Grid,
    Section,
    by_pair,
    by_set_up,
    marks_of,
    pair_entry,
)
from kvsweep.report.warnings import drifts, spreads
from kvsweep.statistics import relative_difference
from kvsweep.tables.row import Row
from kvsweep.units import format_count

DIFFERENCE_NOTES = (
    "In brackets the 95 % interval after Welch, from the repetitions of both cells; an en dash where there is "
    "one repetition only.",
    "The interval knows only the repetitions within one process, not what changes between processes: on "
    "shared machines, cells that differ in nothing but the process vary by 10 to 20 %.",
)


def throughput_sections(rows: Sequence[Row]) -> Iterable[Section]:
    for title, group in by_set_up(rows, SUBJECT):
        grids: list[Grid] = []
        for phase, phase_title in PHASES:
            own = [row for row in group if row["phase"] == phase]
            for n_tokens in sorted({row["n_tokens"] for row in own}, key=lambda n: (n is None, n or 0)):
                timed = "" if n_tokens is None else f", {n_tokens} tokens timed"
                cells = [row for row in own if row["n_tokens"] == n_tokens]
                grids.append(by_depth(f"{phase_title}{timed}: tokens/s", cells, _speed_entry))
                grids += _differences(f"{phase_title}{timed}", cells)
        yield Section(title, tuple(grids))


def by_depth(caption: str, rows: Sequence[Row], entry: Callable[[Row], Entry]) -> Grid:
    """Pairs down, depths across; what was never asked for stays empty."""
    depths = sorted({row["depth"] for row in rows})
    lines = []
    for own in by_pair(rows).values():
        cells = {row["depth"]: row for row in own}
        lines.append(
            (pair_entry(own), *(entry(cells[depth]) if depth in cells else Entry("") for depth in depths))
        )
    return Grid(caption, ("pair \\ depth", *map(format_count, depths)), tuple(lines))


def _speed_entry(row: Row) -> Entry:
    if row["tokens_per_second"] is None:
        return Entry(row["status"], measured=False)
    text = format_with_error(row["tokens_per_second"], row["tokens_per_second_stddev"])
    noise = [mark for mark, holds in (("drift", drifts(row)), ("spread", spreads(row))) if holds]
    return Entry(text, (*marks_of(row), *noise))


# --- differences --------------------------------------------------------------------------------------------


def _differences(title: str, cells: Sequence[Row]) -> Iterable[Grid]:
    """A table of the cells against the reference's at equal depth; none where nothing can be compared."""
    sound = [row for row in cells if row["tokens_per_second"] is not None and not row["fallback"]]
    reference = reference_of(sound)
    if reference is None:
        return
    base = {row["depth"]: row for row in sound if is_reference(row, reference)}
    others = [row for row in cells if not is_reference(row, reference)]
    if others:
        caption = f"{title}: difference from {reference} at equal depth"
        grid = by_depth(caption, others, lambda row: _difference_entry(row, base.get(row["depth"])))
        yield replace(grid, notes=DIFFERENCE_NOTES)


def _difference_entry(row: Row, base: Row | None) -> Entry:
    if row["tokens_per_second"] is None:
        return Entry(row["status"], measured=False)
    if base is None:
        return Entry(ABSENT, marks_of(row))
    interval = relative_difference(row["samples"] or (), base["samples"] or ())
    fraction = interval.difference if interval else row["tokens_per_second"] / base["tokens_per_second"] - 1
    text = format_difference(fraction, interval)
    if interval and interval.low <= 0 <= interval.high:
        return Entry(NO_DIFFERENCE, marks_of(row), note=text, value=fraction)
    return Entry(text, marks_of(row), value=fraction)
