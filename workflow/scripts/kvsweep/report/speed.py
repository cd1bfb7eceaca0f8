"""The tables of speed by depth: rates, differences from a reference pair, and the cache's size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kvsweep.analysis.groups import SUBJECT, tokens_timed
from kvsweep.analysis.reference import is_reference, reference_of
from kvsweep.analysis.speed import against
from kvsweep.numbers import ABSENT, format_difference, format_number, format_with_error
from kvsweep.report.parts import (
    NO_DIFFERENCE,
    PHASES,
    Entry,
    Grid,
    Section,
    by_depth,
    by_set_up,
    marks_of,
    pair_entry,
)
from kvsweep.statistics import Interval
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.row import Row, pair_of, with_ends

OVER_ROUNDS = (
    "Tokens over time, geometric mean over rounds of one process each; "
    "± is half of the 95 % interval over rounds."
)
OVER_TIME = "Tokens over time."
FIRST_DROPPED = "First repetitions are not counted where they are told from the others."
EQUAL_ROUNDS = "Rounds that are equal to the last digit have no interval: no machine does that."
ONE_ROUND = (
    "Of one round no interval can be given, and nothing is called faster or slower. Beside such a rate stands, of "
    "several repetitions, their standard deviation within the process; from one process to the next speed changes "
    "by more."
)
WITHIN_ROUNDS = "Compared within rounds; in brackets the 95 % interval over rounds."
NO_INTERVAL = "Without brackets it is of one round, or as published: nothing is known of its error."


def throughput_sections(rows: Sequence[Row]) -> Iterable[Section]:
    """A section for each set-up, from rows of the table `speed`: rates by depth, and differences from a reference."""
    for title, group in by_set_up(rows, SUBJECT):
        grids: list[Grid] = []
        for phase, phase_title in PHASES:
            own = [row for row in group if row["phase"] == phase]
            for n_tokens in sorted({row["n_tokens"] for row in own}, key=lambda n: (n is None, n or 0)):
                timed = "" if n_tokens is None else f", {tokens_timed(n_tokens)}"
                cells = [row for row in own if row["n_tokens"] == n_tokens]
                caption = f"{phase_title}{timed}: tokens/s"
                grids.append(by_depth(caption, cells, speed_entry, pair_entry, rate_notes(cells)))
                grids += _differences(f"{phase_title}{timed}", cells)
        yield Section(title, tuple(grids))


def speed_entry(row: Row) -> Entry:
    """A rate with what is known of its error: its interval over rounds, or of one round the spread within."""
    if row["tokens_per_second"] is None:
        return Entry(row["status"], measured=False)
    rate, low, high = with_ends(row, "tokens_per_second")
    marks = (*marks_of(row), *(["spread"] if row["means_differ"] else []))
    if low is not None and high is not None:
        if high > 2 * rate:  # so wide that half of it says nothing of either end
            ends = f"{format_number(low, 3)} to {format_number(high, 3)}"
            return Entry(format_number(rate, 3), marks, note=f"95 %: {ends}", value=rate)
        return Entry(format_with_error(rate, (high - low) / 2), marks)
    if not row["rounds"]:
        return Entry(format_with_error(rate, None), marks)
    within = row["spread_within"]
    note = "" if within is None else f"± {format_number(100 * within, 2)} % within"
    return Entry(format_number(rate, 4), marks, note=note)


def rate_notes(cells: Sequence[Row]) -> tuple[str, ...]:
    """What is to be said below a table of these rates."""
    rounds = {len(row["rounds"]) for row in cells if row["rounds"]}
    has_interval = any(row["rounds"] and row["tokens_per_second_low"] is not None for row in cells)
    equal = any(len(row["rounds"]) > 1 and row["tokens_per_second_low"] is None for row in cells)
    said = {
        OVER_ROUNDS: has_interval,
        OVER_TIME: bool(rounds) and not has_interval,
        ONE_ROUND: 1 in rounds,
        EQUAL_ROUNDS: equal,
        FIRST_DROPPED: any(row["first_dropped"] for row in cells),
    }
    return tuple(note for note, needed in said.items() if needed)


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
        grid = by_depth(
            caption, others, lambda row: _difference_entry(row, base.get(row["depth"])), pair_entry
        )
        texts = [entry.note or entry.text for line in grid.rows for entry in line[1:]]
        said = {
            WITHIN_ROUNDS: any("[" in text for text in texts),
            NO_INTERVAL: any(text.endswith("%") for text in texts),
        }
        yield replace(grid, notes=tuple(note for note, needed in said.items() if needed))


_RATIO = ("ratio", "ratio_low", "ratio_high")


def _difference_entry(row: Row, base: Row | None) -> Entry:
    if row["tokens_per_second"] is None:
        return Entry(row["status"], measured=False)
    found = against(row, base)
    if not found:
        return Entry(ABSENT, marks_of(row))
    fraction, low, high = (None if end is None else end - 1 for end in map(found.get, _RATIO))
    assert fraction is not None
    if found["verdict"] == NO_DIFFERENCE and low is None:
        low, high = -1.0, math.inf  # of rounds so far apart that no end can be told
    interval = None if low is None or high is None else Interval(fraction, low, high)
    text = format_difference(fraction, interval)
    by_chance = base is not None and pair_of(base) == BASELINE_PAIR and row["verdict"] == NO_DIFFERENCE
    if interval and (interval.low <= 0 <= interval.high or by_chance):
        return Entry(NO_DIFFERENCE, marks_of(row), note=text, value=fraction)
    return Entry(text, marks_of(row), value=fraction)
