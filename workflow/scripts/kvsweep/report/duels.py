"""The head-to-heads: two pairs of nearly equal bits, and which is better in what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kvsweep.analysis.groups import SUBJECT
from kvsweep.analysis.set_ups import by_columns
from kvsweep.analysis.speed import ONE_ROUND
from kvsweep.numbers import ABSENT, format_number
from kvsweep.report.parts import Entry, Grid, Section, by_set_up
from kvsweep.tables.row import SCORED, Row
from kvsweep.units import format_bytes, format_count, plural

MOST_DUELS = 40  # of a set-up; the others stand in the table's file

_NAMES = {
    "kld_mean": "mean KLD, nats",
    "kld_p999": "99.9 % KLD, nats",
    "top1_agreement": "same top-1, %",
    "kv_bytes_per_token": "KV cache of a token",
}
NOTES = (
    "Each field: the pair that is better beyond the errors and by how much; in small print the value of the first "
    "pair, of the second, and the 95 % interval of the better one less the other in percent of the other. “No "
    "difference shown” stands where the interval covers zero, or where more than 5 % of what is told of this quantity "
    "would be by chance (q-values of Benjamini and Hochberg), “error unknown” where there is none.",
)


def duel_sections(head_to_head: Sequence[Row]) -> Iterable[Section]:
    """A section for each set-up: a table of quality and memory for each text and context, then one for each phase."""
    for title, rows in by_set_up(head_to_head, SUBJECT):
        duels = list(
            dict.fromkeys(
                (row["pair_a"], row["pair_b"]) for row in sorted(rows, key=lambda row: row["order"] or 0)
            )
        )
        shown = duels[:MOST_DUELS]
        grids = []
        sizes = [row for row in rows if row["quantity"] == "kv_bytes_per_token"]
        scored = by_columns([row for row in rows if row["corpus"] is not None], SCORED)
        for (corpus, n_ctx), own in (scored or {(None, None): []}).items():
            where = f", {corpus} at context {format_count(n_ctx)}" if corpus else ""
            grids.append(
                _grid(
                    f"Quality and memory{where}",
                    shown,
                    [*own, *sizes],
                    "quantity",
                    list(_NAMES),
                    _NAMES.__getitem__,
                )
            )
        for phase in ("prefill", "decode"):
            own = [row for row in rows if row["quantity"] == phase]
            depths = sorted({row["depth"] for row in own})
            grids.append(
                _grid(f"{phase.capitalize()}, tokens/s by depth", shown, own, "depth", depths, format_count)
            )
        left_out = len(duels) - len(shown)
        notes = (*NOTES, f"{plural(left_out, 'more duel')} in head_to_head.parquet.") if left_out else NOTES
        kept = [grid for grid in grids if grid.rows]
        if kept:
            kept[-1] = Grid(kept[-1].caption, kept[-1].columns, kept[-1].rows, notes=notes)
            yield Section(title, tuple(kept), plural(len(duels), "duel"))


def _grid(
    caption: str,
    duels: Sequence[tuple[str, str]],
    rows: Sequence[Row],
    column: str,
    keys: Sequence[Any],
    name: Callable[[Any], str],
) -> Grid:
    found = {(row["pair_a"], row["pair_b"], row[column]): row for row in rows}
    used = [key for key in keys if any((*duel, key) in found for duel in duels)]
    bits = {(row["pair_a"], row["pair_b"]): (row["bits_a"], row["bits_b"]) for row in rows}
    lines = []
    for a, b in duels:
        cells = [found.get((a, b, key)) for key in used]
        if any(cells):
            of_bits = " : ".join(format_number(value, 4) for value in bits[a, b])
            head = Entry(f"{a} : {b}", note=f"{of_bits} bits")
            lines.append((head, *(Entry("") if row is None else duel_entry(row) for row in cells)))
    return Grid(caption, ("pairs", *map(name, used)), tuple(lines))


def duel_entry(row: Row) -> Entry:
    """Who is better in one quantity, and by how much."""
    ratio = _better_over_other(row)[0]
    by = None if ratio is None else abs(ratio - 1)
    margin = "" if by is None else f" by {format_number(100 * by, 2)} %"
    if row["verdict"] == "better":
        text = f"{row['winner']}{margin}"
    elif row["verdict"] in ("error unknown", ONE_ROUND) and row["ahead"]:
        text = f"{row['ahead']} ahead{margin}"
    else:
        text = row["verdict"] or ABSENT
    values = " : ".join(_value(row, column) for column in ("value_a", "value_b"))
    findings = (row["verdict"],) if row["verdict"] in ("error unknown", ONE_ROUND) else ()
    return Entry(text, note=f"{values}{_interval(row)}", findings=findings, value=row["ratio"])


def _value(row: Row, column: str) -> str:
    value = row[column]
    if value is not None and row["quantity"] == "kv_bytes_per_token":
        return format_bytes(value)
    if value is not None and row["unit"] == "fraction":
        value = 100 * value
    return format_number(value, 4)


def _interval(row: Row) -> str:
    if row["verdict"] == "equal" or row["ratio_low"] is None or row["ratio_high"] is None:
        return ""
    if row["ratio_low"] == row["ratio_high"]:
        return ""
    ends = (
        f"{100 * (end - 1):+.1f}".replace("-", "−") for end in _better_over_other(row)[1:] if end is not None
    )
    return f" [{', '.join(ends)}] %"


def _better_over_other(row: Row) -> tuple[float | None, float | None, float | None]:
    """The better value as a multiple of the other one, with its interval; of the first pair where none is better.

    Whichever stands first: 0.1 against 0.4 is 75 % less, and so is 0.4 against 0.1 for the second.
    """
    found = (row["ratio"], row["ratio_low"], row["ratio_high"])
    if row["ahead"] != row["pair_b"] or not row["ratio"]:
        return found
    ratio, low, high = (None if one is None else 1 / one for one in found)
    return ratio, high, low
