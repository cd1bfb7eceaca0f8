"""The study's own three tables in its own form from our numbers: quality, decode by depth, the row of one depth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from kvsweep.analysis.groups import SUBJECT
from kvsweep.analysis.reference import is_control
from kvsweep.analysis.row_values import quality_of
from kvsweep.numbers import ABSENT, format_error, format_number, in_percent
from kvsweep.report.parts import Entry, Grid, Section, by_pair, by_set_up, marks_of, pair_entry
from kvsweep.report.quality import note_of_windows, notes_of_marks, with_half
from kvsweep.report.speed import rate_notes, speed_entry
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import Row, is_measured, is_published
from kvsweep.units import format_count

STUDY_DEPTH = 64 * 1024  # tokens: the row that the study shows for every pair
STUDY_CONTEXT = 4096
STUDY_PAIRS = tuple(map(Pair.parse, "f16 q8_0 turbo3 turbo4 q8_0/turbo4 q8_0/turbo3 f16/turbo4".split()))
_T = TypeVar("_T")

QUALITY_NOTES = (
    "± is half of the 95 % interval, of what was measured here: over windows; a single window has none. Of PPL it is "
    "1.96 standard errors that take tokens as independent, which is too little where windows differ. Two pairs read "
    "the same text: compare them by Δ ln PPL, which is paired.",
)
MOST_SET_UPS = 3  # of a post, which is to be read, and has limits where it is posted


def study_tables(throughput: Sequence[Row], quality: Sequence[Row]) -> list[Section]:
    """The tables of each set-up that was measured here; where there is none, of each published one."""
    rows = [*throughput, *quality]
    ours = [row for row in rows if not is_published(row)] or rows
    found = []
    for title, own in by_set_up(ours, SUBJECT):
        speeds = [row for row in own if "phase" in row]
        qualities = [row for row in own if "phase" not in row]
        grids = (*_quality(qualities), *_decode(speeds), *_row_of_depth(speeds))
        if grids:
            found.append(Section(title, grids))
    return found


def in_the_studys_order(rows: Iterable[Row]) -> dict[Pair, list[Row]]:
    """Rows by pair: the study's as it lists them, then the others in their usual order."""
    found = by_pair(rows)
    own = [pair for pair in STUDY_PAIRS if pair in found]
    return {pair: found[pair] for pair in [*own, *(pair for pair in found if pair not in STUDY_PAIRS)]}


def _quality(rows: Sequence[Row]) -> Iterable[Grid]:
    """The context of the study where it was measured, and every other one below it."""
    texts = {(row["corpus"], row["n_ctx"]) for row in rows}
    for corpus, n_ctx in sorted(
        texts, key=lambda text: (text[1] != STUDY_CONTEXT, str(text[0]), text[1] or 0)
    ):
        own = [row for row in rows if (row["corpus"], row["n_ctx"]) == (corpus, n_ctx)]
        columns: tuple[str, ...] = ("pair", "PPL", "Δ ln PPL", "mean KL vs f16", "same top-1")
        lines = [_quality_line(row) for pairs in in_the_studys_order(own).values() for row in pairs]
        ours = any(row["ln_ppl_ratio"] is not None and not is_published(row) for row in own)
        if not ours:  # nobody published it
            columns, lines = _without(columns, 2), [_without(line, 2) for line in lines]
        notes = (
            *(QUALITY_NOTES if ours else ()),
            *notes_of_marks(entry for line in lines for entry in line),
            *note_of_windows(own),
        )
        yield Grid(f"Quality, context {n_ctx} ({corpus})", columns, tuple(lines), notes=notes)


def _without(line: tuple[_T, ...], place: int) -> tuple[_T, ...]:
    return line[:place] + line[place + 1 :]


def _quality_line(row: Row) -> tuple[Entry, ...]:
    head = pair_entry([row])
    if not is_measured(row):
        return (head, *[Entry(row["status"], measured=False)] * 4)
    ppl = _in_the_studys_digits(row["ppl"], _half(row, "ppl"), 4)
    if is_control(row):
        return (head, Entry(ppl), Entry("baseline"), Entry("baseline"), Entry("n/a"))
    if is_published(row):
        return (head, Entry(ppl), Entry(ABSENT), Entry(_published_kld(row)), Entry(_published_top1(row)))
    return (
        head,
        Entry(ppl),
        *(with_half(row, column) for column in ("ln_ppl_ratio", "kld_mean")),
        with_half(row, "top1_agreement", " %"),
    )


def _half(row: Row, column: str) -> float | None:
    """Half of the 95 % interval. A published number has the standard error as it was published."""
    value = quality_of(row, column)
    if value is None or is_published(row):
        return row.get(f"{column}_stderr")
    return value.half


def _in_the_studys_digits(value: float | None, error: float | None, decimals: int) -> str:
    """With all decimals, whatever the error: pairs that score the same text differ by less than it."""
    if value is None:
        return ABSENT
    return f"{value:.{decimals}f}" + ("" if error is None else f" ± {format_error(error)}")


def _published_kld(row: Row) -> str:
    """Four decimals, as in the study."""
    value = row["kld_mean"]
    return format_number(value) if value is None or value < 0.001 else f"{value:.4f}"


def _published_top1(row: Row) -> str:
    share, error = in_percent(row["top1_agreement"]), in_percent(_half(row, "top1_agreement"))
    return ABSENT if share is None else f"{_in_the_studys_digits(share, error, 2)} %"


def _decode(rows: Sequence[Row]) -> Iterable[Grid]:
    """Depths down, pairs across."""
    own = [row for row in rows if row["phase"] == "decode"]
    if not own:
        return
    pairs = in_the_studys_order(own)
    depths = sorted({row["depth"] for row in own})
    lines = []
    for depth in depths:
        cells = [next((row for row in cell if row["depth"] == depth), None) for cell in pairs.values()]
        lines.append((Entry(format_count(depth)), *(_rate(cell) for cell in cells)))
    columns = ("depth", *(pair_entry(cell).text for cell in pairs.values()))
    yield Grid(f"Decode, tokens/s ({_test(own, 'tg')})", columns, tuple(lines), notes=rate_notes(own))


def _test(rows: Sequence[Row], name: str) -> str:
    """`tg128`, as llama-bench calls it."""
    return (
        ", ".join(sorted({f"{name}{row['n_tokens']}" for row in rows if row["n_tokens"] is not None})) or name
    )


def _rate(row: Row | None) -> Entry:
    if row is None:
        return Entry(ABSENT)
    if row["tokens_per_second"] is None:
        return Entry(row["status"], measured=False)
    if not is_published(row):
        return speed_entry(row)
    rate = row["tokens_per_second"]  # with one decimal, as the study writes it
    return Entry(f"{rate:,.1f}" if rate >= 1 else format_number(rate, 2), marks_of(row))


def _row_of_depth(rows: Sequence[Row]) -> Iterable[Grid]:
    """Every pair at the study's depth; where that was not measured, at the deepest that most pairs have."""
    measured = [row for row in rows if row["tokens_per_second"] is not None]
    if not measured:
        return
    pairs_at: dict[int, set[tuple[str, str]]] = {}
    for row in measured:
        pairs_at.setdefault(row["depth"], set()).add((row["ctk"], row["ctv"]))
    depth = STUDY_DEPTH
    notes: tuple[str, ...] = ()
    if STUDY_DEPTH not in pairs_at:
        depth = max(pairs_at, key=lambda one: (len(pairs_at[one]), one))
        notes = (
            f"The study shows depth {format_count(STUDY_DEPTH)}, which was not measured here; {format_count(depth)} is "
            "the deepest that the most pairs have in common.",
        )
    own = [row for row in rows if row["depth"] == depth]
    lines = []
    for cell in in_the_studys_order(own).values():
        phases = {row["phase"]: row for row in cell}
        lines.append((pair_entry(cell), _rate(phases.get("prefill")), _rate(phases.get("decode"))))
    names = (
        _test([row for row in own if row["phase"] == "prefill"], "pp"),
        _test([row for row in own if row["phase"] == "decode"], "tg"),
    )
    yield Grid(
        f"The {format_count(depth)} row (depth {depth}), tokens/s",
        ("pair", *names),
        tuple(lines),
        notes=notes,
    )
