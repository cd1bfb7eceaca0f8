"""Divergence by depth, a row for each pair; and whether the two methods agree where both measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import QUALITY_SUBJECT
from kvsweep.numbers import ABSENT, format_between, format_number, format_with_error
from kvsweep.report.parts import (
    Columns,
    Entry,
    Grid,
    Section,
    by_pair,
    by_set_up,
    number,
    pair_of_row,
    table_of,
    written,
)
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.row import Row, pair_of, with_ends
from kvsweep.units import format_count

MOST_DEPTHS = 6  # columns; the table depth has them all
_NOTES = (
    "Mean KL divergence from f16, nats, with so many tokens in the cache. [ ] is the 95 % interval over windows, "
    "farther up than down; a single one has none. Depths are different text: compare pairs down a column.",
)


def depth_sections(rows: Sequence[Row]) -> Iterable[Section]:
    """A section for each set-up, text and context, from rows of the table `depth`."""
    for title, group in by_set_up(rows, QUALITY_SUBJECT):
        depths = _spread(sorted({row["depth_tokens"] for row in group}))
        lines = []
        for pair, own in by_pair(group).items():
            at = {row["depth_tokens"]: row for row in own}
            lines.append((Entry(str(pair)), *(_kld(at.get(depth)) for depth in depths)))
        columns = ("pair", *(format_count(round(depth)) for depth in depths))
        yield Section(title, (Grid("Mean KL divergence by depth", columns, tuple(lines), notes=_NOTES),))


def _spread(depths: Sequence[float]) -> list[float]:
    """The first, the last, and some between at equal steps."""
    if len(depths) <= MOST_DEPTHS:
        return list(depths)
    last = len(depths) - 1
    return [depths[round(step * last / (MOST_DEPTHS - 1))] for step in range(MOST_DEPTHS)]


def _kld(row: Row | None) -> Entry:
    if row is None:
        return Entry(ABSENT)
    if pair_of(row) == BASELINE_PAIR:
        return Entry("baseline")
    value, low, high = with_ends(row, "kld_mean")
    text = format_with_error(value, None) if low is None or high is None else format_between(value, low, high)
    return Entry(text, value=value)


def agreement_sections(rows: Sequence[Row]) -> Iterable[Section]:
    """A section for each set-up, text and context, from rows of the table `agreement`."""
    for title, group in by_set_up(rows, QUALITY_SUBJECT):
        in_order = (row for own in by_pair(group).values() for row in own)
        grid = table_of("Mean KL divergence by both methods", _AGREEMENT, in_order, notes=[_EXPLAINED])
        yield Section(title, (grid,))


_EXPLAINED = (
    "“explained”: a bound, no interval of 95 %: the largest difference that the 16 bits of llama-perplexity's file "
    "account for, in nats."
)
_AGREEMENT: Columns = {
    "pair": pair_of_row,
    "llama-perplexity, nats": lambda row: number(row["kld_perplexity"], 5),
    "scorer, nats": lambda row: number(row["kld_scorer"], 5),
    "difference, %": lambda row: written(row["relative"], lambda share: format_number(100 * share, 2)),
    "explained": lambda row: number(row["expected_high"], 2),
    "verdict": lambda row: Entry(row["verdict"], note=row["why"] or ""),
}
