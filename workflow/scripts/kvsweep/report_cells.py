"""How every cell ended, and the evidence for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kvsweep.presentation import QUALITY_SUBJECT, THROUGHPUT_SUBJECT, Row, compare, format_number
from kvsweep.report_parts import Cell, Entry, Grid, Section, by_pair, is_measured, label_of, pair_entry
from kvsweep.style import pair_order
from kvsweep.units import format_bytes, format_count, format_duration


def throughput_status(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, THROUGHPUT_SUBJECT[:-1])
    for n, group in enumerate(comparison.groups, start=1):
        title = comparison.full_title(group)
        depths = sorted({row["depth"] for row in group.rows})
        lines: list[tuple[Entry, ...]] = []
        evidence: list[Cell] = []
        for own in by_pair(group.rows).values():
            line = [pair_entry(own)]
            for depth in depths:
                cell = [row for row in own if row["depth"] == depth]
                if not cell:
                    line.append(Entry(""))
                    continue
                identity = f"throughput-{n}-{len(evidence) + 1}"
                name = f"{pair_entry(cell).text} at depth {format_count(depth)}"
                evidence.append(_evidence(identity, name, cell))
                line.append(_status_entry(identity, cell))
            lines.append(tuple(line))
        grid = Grid(f"Throughput: {title}", ("pair \\ depth", *map(format_count, depths)), tuple(lines))
        yield Section(title, (grid,), tuple(evidence))


def quality_status(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, QUALITY_SUBJECT)
    for n, group in enumerate(comparison.groups, start=1):
        title = comparison.full_title(group)
        lines: list[tuple[Entry, ...]] = []
        evidence: list[Cell] = []
        for row in sorted(group.rows, key=lambda row: pair_order(row["ctk"], row["ctv"])):
            identity = f"quality-{n}-{len(evidence) + 1}"
            evidence.append(_evidence(identity, label_of(row), [row]))
            lines.append((pair_entry([row]), _status_entry(identity, [row])))
        yield Section(
            title,
            (Grid(f"Quality: {title}", ("pair", "status"), tuple(lines), of_numbers=False),),
            tuple(evidence),
        )


def _status_of(rows: Sequence[Row]) -> str:
    """One word where all phases ended alike, else `prefill: measured, decode: timeout`."""
    statuses = list(dict.fromkeys(row["status"] for row in rows))
    if len(statuses) == 1:
        return str(statuses[0])
    return ", ".join(f"{row['phase']}: {row['status']}" for row in rows)


def _status_entry(identity: str, rows: Sequence[Row]) -> Entry:
    return Entry(
        _status_of(rows),
        marks=("fallback",) if any(row["fallback"] for row in rows) else (),
        target=identity,
        measured=all(map(is_measured, rows)),
    )


def _evidence(identity: str, title: str, rows: Sequence[Row]) -> Cell:
    first = rows[0]

    def joined(column: str) -> str:
        return "; ".join(dict.fromkeys(str(row[column]) for row in rows if row[column] is not None))

    def known(value: Any, text: Callable[[Any], str] = str) -> str:
        return "" if value is None else text(value)

    facts = (
        ("graph splits", known(first["graph_splits"])),
        ("KV cache", known(first["kv_bytes"], format_bytes)),
        ("rotated K, V", _rotated(first)),
        ("wall time", known(first["wall_seconds"], format_duration)),
        ("peak memory of the process", known(first["peak_rss_bytes"], format_bytes)),
        ("load before", known(first["load_before"], "{:.2f}".format)),
        ("busy with other work before", known(first["busy_cores_before"], "{:.2f} cores".format)),
        ("times started", known(first["attempts"])),
        ("started", known(first["started_at"], "{:%Y-%m-%d %H:%M:%S} UTC".format)),
        ("source", known(first["source"])),
        *(
            (
                f"{row['phase']}, each repetition",
                ", ".join(format_number(x, 5) for x in row["samples"]) + " tokens/s",
            )
            for row in rows
            if row.get("samples")
        ),
    )
    return Cell(
        identity,
        title,
        _status_of(rows),
        joined("reason"),
        joined("log_line"),
        joined("command"),
        tuple((name, text) for name, text in facts if text),
    )


def _rotated(row: Row) -> str:
    words = {None: "not known", True: "yes", False: "no"}
    flags = (row["rotated_k"], row["rotated_v"])
    return "" if flags == (None, None) else ", ".join(words[flag] for flag in flags)
