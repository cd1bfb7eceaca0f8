"""Memory: the cache at each depth, what a given memory holds, and what the model of memory does not explain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_between, format_number
from kvsweep.report.parts import (
    Columns,
    Entry,
    Grid,
    Section,
    by_depth,
    by_pair,
    by_set_up,
    pair_of_row,
    table_of,
    written,
)
from kvsweep.study.pairs import pair_order
from kvsweep.tables.row import Row, with_ends
from kvsweep.units import format_bytes, format_count

SIZE_NOTES = (
    "The KV cache as logged, or (computed) from the model's header and the types; in small print the weights, cache "
    "and compute buffers together, as far as they are known.",
)


def memory_sections(
    memory: Sequence[Row], largest_context: Sequence[Row], bandwidth: Sequence[Row]
) -> Iterable[Section]:
    """A section for every engine, machine and model: largest contexts, sizes of the cache, measured bandwidths."""
    rates = dict(by_set_up(bandwidth, SUBJECT))
    sizes = dict(by_set_up(memory, SUBJECT))
    limits = dict(by_set_up(largest_context, SUBJECT))
    for title in dict.fromkeys((*sizes, *limits)):
        grids: list[Grid] = []
        if title in limits:
            grids += _limits(limits[title])
        if any(row["kv_bytes"] is not None for row in sizes.get(title, ())):
            grids.append(by_depth("KV cache by depth", sizes[title], _size, _head, SIZE_NOTES))
        if title in rates:
            grids.append(_rates(rates[title]))
        surprises = [row for row in sizes.get(title, ()) if row["surprise"]]
        if surprises:
            surprises.sort(key=lambda row: (pair_order(row["ctk"], row["ctv"]), row["depth"]))
            what = "What the model of memory does not explain"
            grids.append(table_of(what, _SURPRISES, surprises, of_numbers=False))
        if grids:
            yield Section(title, tuple(grids))


def _head(rows: Sequence[Row]) -> Entry:
    return pair_of_row(rows[0])


def _rates(rows: Sequence[Row]) -> Grid:
    """How fast each pair reads a fuller cache up to its deepest depth, as a share of what the memory can do."""
    peak = rows[0]["peak_gigabytes_per_second"]
    deepest = (max(own, key=lambda row: int(row["depth_to"])) for own in by_pair(rows).values())
    columns: Columns = {
        "pair": pair_of_row,
        "from depth to depth": lambda row: Entry(
            f"{format_count(row['depth_from'])} to {format_count(row['depth_to'])}"
        ),
        "GB/s": lambda row: Entry(_rate(row), value=row["gigabytes_per_second"]),
        "of the peak, %": lambda row: Entry(_of_peak(row, peak), value=row["share"]),
    }
    of_machine = (
        f"Peak of this machine's memory: {format_number(peak, 4)} GB/s (resources/bandwidths.csv)."
        if peak
        else "The bandwidth of this machine's memory is not known."
    )
    kinds = ", ".join(sorted({row["interval"] for row in rows if row["interval"]}))
    intervals = f"In brackets the interval ({kinds})." if kinds else "One round tells no interval."
    note = f"Bytes that the cache grows by over the time that a token takes longer. {intervals} {of_machine}"
    return table_of("How fast decode reads a fuller cache", columns, deepest, notes=[note])


def _rate(row: Row, of: float = 1.0) -> str:
    rate, low, high = with_ends(row, "gigabytes_per_second", of)
    if low is not None and high is None:
        return f"at least {format_number(low, 2)}"
    # Of one round, or where a token takes less time at the greater depth, there is no interval, or not even a rate.
    return ABSENT if rate is None else format_between(rate, low, high)


def _of_peak(row: Row, peak: float | None) -> str:
    """`18.1 [17.2, 19.0]`, in percent."""
    return ABSENT if row["share"] is None or not peak else _rate(row, 100 / peak)


def _size(row: Row) -> Entry:
    if row["kv_bytes"] is None:
        return Entry(ABSENT)
    computed = "" if row["kv_from"] == "log" else " (computed)"
    total = "" if row["needed_bytes"] is None else f"{format_bytes(row['needed_bytes'])} in all"
    ended = (row["status"],) if row["status"] != "measured" else ()
    return Entry(format_bytes(row["kv_bytes"]) + computed, note=total, findings=ended, value=row["kv_bytes"])


def _limits(rows: Sequence[Row]) -> Iterable[Grid]:
    memories = dict.fromkeys(
        (row["memory_bytes"], row["memory_is"])
        for row in sorted(rows, key=lambda row: row["memory_bytes"] or 0)
    )
    lines = []
    for pair, own in by_pair(rows).items():
        by_memory = {(row["memory_bytes"], row["memory_is"]): row for row in own}
        lines.append(
            (
                Entry(str(pair)),
                *(_limit(by_memory.get(memory)) for memory in memories),
                written(own[0]["deepest_measured"], format_count),
                written(own[0]["shallowest_oom"], format_count),
            )
        )
    notes = tuple(dict.fromkeys(row["note"] for row in rows if row["note"]))
    names = (
        f"in {ABSENT if size is None else format_bytes(size)}{' (this machine)' if 'own' in str(what) else ''}"
        for size, what in memories
    )
    trained = sorted({row["n_ctx_train"] for row in rows if row["n_ctx_train"] is not None})
    if trained:
        notes += (f"The model was trained for a context of {', '.join(map(format_count, trained))}.",)
    yield Grid(
        "Largest context that fits and that the model was trained for, tokens",
        ("pair", *names, "deepest measured", "ran out at"),
        tuple(lines),
        notes=notes,
    )


def _limit(row: Row | None) -> Entry:
    """The largest context to use: no more than the model was trained for."""
    if row is None or row["recommended_context"] is None:
        return Entry(ABSENT)
    recommended, largest = row["recommended_context"], row["largest_context"]
    held = "" if largest in (None, recommended) else f"memory holds {largest:,}"
    return Entry(f"{recommended:,}", note=held, value=recommended)


_SURPRISES: Columns = {
    "pair": pair_of_row,
    "depth": lambda row: written(row["depth"], format_count),
    "what happened": lambda row: Entry(row["surprise"]),
    "needed": lambda row: written(row["needed_bytes"], format_bytes),
    "the machine has": lambda row: written(row["machine_memory_bytes"], format_bytes),
}
