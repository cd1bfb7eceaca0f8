"""How every cell ended, and the evidence for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kvsweep.analysis.groups import QUALITY_SUBJECT, SUBJECT
from kvsweep.analysis.set_ups import by_columns
from kvsweep.numbers import format_number, format_with_error
from kvsweep.report.parts import Cell, Entry, Grid, Section, by_pair, by_set_up, pair_entry
from kvsweep.tables.row import Row, by_method, is_measured
from kvsweep.units import format_bytes, format_count, format_duration


class Evidence:
    """Every cell of the report by its number, in the order in which they are shown."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []

    def add(self, set_up: str, title: str, rows: Sequence[Row]) -> int:
        self.cells.append(_evidence(set_up, title, rows))
        return len(self.cells) - 1


def throughput_status(rows: Sequence[Row], evidence: Evidence) -> Iterable[Section]:
    """Pairs down, depths across."""
    for title, own in by_set_up(rows, SUBJECT):
        for round_ in sorted({row["round"] or 1 for row in own}):
            of_round = [row for row in own if (row["round"] or 1) == round_]
            which = "" if round_ == 1 else f", round {round_}"
            yield _status(f"Throughput: {title}{which}", of_round, "depth", evidence)


def quality_status(rows: Sequence[Row], evidence: Evidence) -> Iterable[Section]:
    """Pairs down, contexts across."""
    subject = [column for column in QUALITY_SUBJECT if column != "n_ctx"]
    for of_method in by_method(rows):
        by = " by the scorer" if of_method[0].get("method") == "scorer" else ""
        for title, own in by_set_up(of_method, subject):
            yield _status(f"Quality{by}: {title}", own, "n_ctx", evidence)


def task_status(rows: Sequence[Row], evidence: Evidence) -> Iterable[Section]:
    """Pairs down, tasks across."""
    for title, own in by_set_up(rows, SUBJECT):
        yield _status(f"Tasks: {title}", own, "task", evidence)


def _status(title: str, rows: Sequence[Row], across: str, evidence: Evidence) -> Section:
    keys = sorted({row[across] for row in rows}, key=lambda n: (n is None, n or 0))
    columns = {key: key if across == "task" else format_count(key) for key in keys}
    head, place = {
        "depth": ("depth", "at depth"),
        "n_ctx": ("context", "at context"),
        "task": ("task", "asked"),
    }[across]

    def entry(cell: Sequence[Row]) -> Entry:
        name = f"{pair_entry(cell).text} {place} {columns[cell[0][across]]}"
        marks = ("fallback",) if any(row["fallback"] for row in cell) else ()
        target = evidence.add(title, name, cell)
        return Entry(_status_of(cell), marks, target, measured=all(map(is_measured, cell)))

    lines = []
    for own in by_pair(rows).values():
        cells = by_columns(own, (across,))
        shown = (entry(cells[key,]) if (key,) in cells else Entry("") for key in columns)
        lines.append((pair_entry(own), *shown))
    counts = Counter(one.text for line in lines for one in line[1:] if one.text)
    names = (f"pair \\ {head}", *columns.values())
    grid = Grid("How each cell ended", names, tuple(lines), of_numbers=False, of_status=True)
    summary = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    return Section(title, (grid,), summary)


def _status_of(rows: Sequence[Row]) -> str:
    """One word where all phases ended alike, else `prefill: measured, decode: timeout`."""
    statuses = list(dict.fromkeys(row["status"] for row in rows))
    if len(statuses) == 1:
        return str(statuses[0])
    return ", ".join(f"{row['phase']}: {row['status']}" for row in rows)


def _evidence(set_up: str, title: str, rows: Sequence[Row]) -> Cell:
    first = rows[0]

    def joined(column: str) -> str:
        return "; ".join(dict.fromkeys(str(row[column]) for row in rows if row[column] is not None))

    def known(value: Any, text: Callable[[Any], str] = str) -> str:
        return "" if value is None else text(value)

    facts = (
        *(
            (
                row["phase"],
                f"{format_with_error(row['tokens_per_second'], row['tokens_per_second_stddev'])} tokens/s",
            )
            for row in rows
            if row.get("tokens_per_second") is not None
        ),
        ("graph splits", known(first["graph_splits"])),
        ("KV cache", known(first["kv_bytes"], format_bytes)),
        ("rotated K, V", _rotated(first)),
        ("wall time", known(first["wall_seconds"], format_duration)),
        ("peak memory of the process", known(first["peak_rss_bytes"], format_bytes)),
        ("busy with other work before", known(first["busy_cores_before"], "{:.2f} cores".format)),
        ("host", known(first["host"])),
        ("power", known(first["power_source"])),
        ("heat", known(first["thermal_state"])),
        ("clocks held down by", ", ".join(first["slowed_by"] or ())),
        ("others on the GPU", ", ".join(first["gpu_users"] or ())),
        ("free memory before", known(first["available_memory_bytes"], format_bytes)),
        ("swapped out before", known(first["swap_used_bytes"], format_bytes)),
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
        title,
        set_up,
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
