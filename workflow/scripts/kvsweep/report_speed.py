"""The tables of speed by depth: rates, differences from a reference pair, and the cache's size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

def throughput_sections(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, THROUGHPUT_SUBJECT[:-1])
    for group in comparison.groups:
        grids = []
        for phase, phase_title in PHASES:
            own = [row for row in group.rows if row["phase"] == phase]
            for n_tokens in sorted({row["n_tokens"] for row in own}, key=lambda n: (n is None, n or 0)):
                timed = "" if n_tokens is None else f", {n_tokens} tokens timed"
                cells = [row for row in own if row["n_tokens"] == n_tokens]
                grids.append(_by_depth(f"{phase_title}{timed}: tokens/s", cells, _speed_entry))
        caches = [row for row in group.rows if row["kv_bytes"] is not None]
        if caches:
            grids.append(_by_depth("Size of the KV cache", caches, _cache_entry))
        yield Section(comparison.full_title(group), tuple(grids))


def _by_depth(caption: str, rows: Sequence[Row], entry: Callable[[Row], Entry]) -> Grid:
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


def _cache_entry(row: Row) -> Entry:
    return Entry(format_bytes(row["kv_bytes"]))
