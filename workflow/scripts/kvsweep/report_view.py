"""What the report says: finished sentences and tables of finished text, from the Parquet tables alone.

Both formats of the report show this same view, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kvsweep.cache_types import BASELINE_PAIR, Pair
from kvsweep.figures import kld_error
from kvsweep.presentation import (
    ABSENT,
    QUALITY_SUBJECT,
    THROUGHPUT_SUBJECT,
    Row,
    compare,
    format_number,
    format_with_error,
    in_percent,
)
from kvsweep.style import effective_pair, pair_label, pair_order
from kvsweep.units import format_bytes, format_count, format_duration

# From where on a measured cell gets a warning.
DRIFT_STDERRS = 3.0  # |trend| in its standard errors, and at the same time ...
DRIFT_PER_REPETITION = 0.005  # ... as a fraction of the mean
SPREAD = 0.05  # sample standard deviation, as a fraction of the mean
LOAD = 1.0  # load average before the engine was started

PHASES = (("prefill", "Prefill (prompt processing)"), ("decode", "Decode (text generation)"))


# --- the view: what both formats show -----------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One field of a table: finished text, marks that need attention, and a link to a place on the page."""

    text: str
    marks: tuple[str, ...] = ()
    target: str = ""
    measured: bool = True


@dataclass(frozen=True)
class Grid:
    """A table: its first column names the rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    of_numbers: bool = True


@dataclass(frozen=True)
class Caution:
    """One kind of thing that a reader must know before the numbers, and the cells that it concerns."""

    kind: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """The evidence of one cell: how it ended, and (name, value) of what is known about its run."""

    identity: str
    title: str
    status: str
    reason: str
    log_line: str
    command: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """What was measured on one subject: tables, then the cells with their evidence."""

    title: str
    grids: tuple[Grid, ...]
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """What the tables do not know about how they came to be."""

    kvsweep_version: str | None = None
    snakemake_version: str | None = None
    repository: str | None = None
    configfile: str | None = None

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type to measure this again."""
        clone = (f"git clone {self.repository} kvsweep", "cd kvsweep") if self.repository else ()
        configured = f" --configfile {self.configfile}" if self.configfile else ""
        return (*clone, "make setup", f"snakemake{configured}")


@dataclass(frozen=True)
class View:
    """Everything that a report says, apart from the figures."""

    summary: str
    warnings: tuple[Caution, ...]
    engines: tuple[Row, ...]
    models: Grid
    machines: Grid
    quality: tuple[Section, ...]
    throughput: tuple[Section, ...]
    status: tuple[Section, ...]
    provenance: Provenance


def view_of(tables: Mapping[str, pa.Table], provenance: Provenance | None = None) -> View:
    """The view of the tables of `schemas.TABLES`."""
    throughput, quality = (tables[name].to_pylist() for name in ("throughput", "quality"))
    return View(
        summary=_summary(throughput, quality),
        warnings=tuple(_warnings(throughput, quality)),
        engines=tuple(tables["engines"].to_pylist()),
        models=_models(tables["models"].to_pylist()),
        machines=_machines([*throughput, *quality]),
        quality=tuple(_quality_sections(quality)),
        throughput=tuple(_throughput_sections(throughput)),
        status=(*_throughput_status(throughput), *_quality_status(quality)),
        provenance=provenance or Provenance(),
    )


# --- names of things ----------------------------------------------------------------------------------------


def _label(row: Row) -> str:
    return pair_label(row["ctk"], row["ctv"], row["effective_ctk"], row["effective_ctv"])


def _requested(row: Row) -> Pair:
    return Pair(row["ctk"], row["ctv"])


def _ran_as_another(row: Row) -> bool:
    return effective_pair(row["ctk"], row["ctv"], row["effective_ctk"], row["effective_ctv"]) is not None


def _marks(row: Row) -> tuple[str, ...]:
    return ("fallback",) if row["fallback"] else ()


def _pair_entry(rows: Iterable[Row]) -> Entry:
    """A pair as the head of a row; what any of its cells ran as is part of the name."""
    labels = dict.fromkeys(_label(row) for row in rows)
    marked = [label for label in labels if "(ran as " in label]
    return Entry((marked or list(labels))[0], marks=("another pair ran",) if marked else ())


def _is_measured(row: Row) -> bool:
    return bool(row["status"] == "measured")


def _plural(n: int, thing: str) -> str:
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values if value is not None})) or ABSENT


def _by_pair(rows: Iterable[Row]) -> dict[Pair, list[Row]]:
    """Rows by the pair that was asked for, in the order in which pairs are always shown."""
    found: dict[Pair, list[Row]] = {}
    for row in sorted(rows, key=lambda row: pair_order(row["ctk"], row["ctv"])):
        found.setdefault(_requested(row), []).append(row)
    return found


# --- what was measured --------------------------------------------------------------------------------------


def _summary(throughput: Sequence[Row], quality: Sequence[Row]) -> str:
    rows = [*throughput, *quality]
    if not rows:
        return "No cell has been measured yet."
    cells = len(_cells_of(throughput)) + len(quality)
    measured = sum(all(map(_is_measured, c)) for c in _cells_of(throughput)) + sum(map(_is_measured, quality))
    started = sorted(row["started_at"] for row in rows if row["started_at"] is not None)
    days = sorted({f"{time:%Y-%m-%d}" for time in (*started[:1], *started[-1:])})
    when = f", between {days[0]} and {days[-1]}" if len(days) > 1 else f", on {days[0]}" if days else ""
    return f"{_plural(cells, 'cell')}, {measured:,} of them measured{when} (UTC)."


def _cells_of(throughput: Sequence[Row]) -> list[list[Row]]:
    """Throughput rows by cell: both phases come from one process."""
    columns = (*THROUGHPUT_SUBJECT[:-1], "ctk", "ctv", "depth")
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for row in throughput:
        cells.setdefault(tuple(row[column] for column in columns), []).append(row)
    return list(cells.values())


def _models(models: Sequence[Row]) -> Grid:
    """Properties down, models across: a checksum is long."""

    def size(n_bytes: int | None) -> str:
        return ABSENT if n_bytes is None else format_bytes(n_bytes)

    def values_of(model: Row) -> str:
        k, v = model["kv_values_per_token_k"], model["kv_values_per_token_v"]
        return f"{_count(k)} + {_count(v)}"

    properties: dict[str, Callable[[Row], str | None]] = {
        "file": lambda m: m["file_name"],
        "architecture": lambda m: m["architecture"],
        "weights": lambda m: m["weight_type"],
        "parameters": lambda m: _count(m["n_parameters"]),
        "layers with a KV cache": lambda m: f"{_count(m['n_kv_layers'])} of {_count(m['n_layers'])}",
        "heads / KV heads": lambda m: f"{_count(m['n_heads'])} / {_count(m['n_kv_heads'])}",
        "head size K / V": lambda m: f"{_count(m['head_size_k'])} / {_count(m['head_size_v'])}",
        "cached values a token, K + V": values_of,
        "vocabulary": lambda m: _count(m["n_vocab"]),
        "trained for a context of": lambda m: _count(m["n_ctx_train"]),
        "file size": lambda m: size(m["file_bytes"]),
        "sha256": lambda m: m["model_sha256"],
    }
    rows = [
        (Entry(name), *(Entry(text_of(model) or ABSENT) for model in models))
        for name, text_of in properties.items()
    ]
    return Grid(
        "Models", ("", *(model["model"] for model in models)), tuple(rows if models else ()), of_numbers=False
    )


def _count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def _machines(rows: Sequence[Row]) -> Grid:
    names = sorted({row["machine"] for row in rows}, key=str)

    def row(name: str | None) -> tuple[Entry, ...]:
        own = [row for row in rows if row["machine"] == name]
        columns = ("backend", "engine", "model", "source")
        return (Entry(name or ABSENT), *(Entry(_listed(row[column] for row in own)) for column in columns))

    return Grid(
        "Machines",
        ("machine", "back ends", "engines", "models", "sources"),
        tuple(map(row, names)),
        of_numbers=False,
    )


# --- warnings -----------------------------------------------------------------------------------------------


def _warnings(throughput: Sequence[Row], quality: Sequence[Row]) -> Iterable[Caution]:
    """At most one for each kind, the most misleading kind first."""
    rows = [*throughput, *quality]
    group_of = _group_titles(throughput, quality)

    def warning(
        kind: str, concerned: Callable[[Row], bool], detail: Callable[[Row], str]
    ) -> Iterable[Caution]:
        # Cells of which there is the same to say share a line.
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if concerned(row):
                alike.setdefault((group_of[id(row)], detail(row)), []).append(row)
        if alike:
            yield Caution(kind, tuple(_name_cells(*key, cells) for key, cells in alike.items()))

    yield from warning("Another pair ran than was asked for", _ran_as_another, lambda _: "")
    yield from warning(
        "Fallback: part of the graph left the device, so these speeds are not the device's",
        lambda row: bool(row["fallback"]),
        lambda row: f"{row['graph_splits']} graph splits" if row["graph_splits"] is not None else "",
    )
    for status in sorted({row["status"] for row in rows if not _is_measured(row)}, key=str):
        yield from warning(
            f"Not measured: {status}",
            lambda row, status=status: bool(row["status"] == status),  # type: ignore[misc]
            lambda row: row["reason"] or "",
        )
    yield from warning(
        f"Drift over the repetitions: more than {DRIFT_STDERRS:g} standard errors and "
        f"{100 * DRIFT_PER_REPETITION:g} % a repetition",
        drifts,
        lambda row: f"{_signed_percent(row['drift_per_repetition'], row['drift_stderr'])} a repetition",
    )
    yield from warning(
        f"Spread: the repetitions' standard deviation is more than {100 * SPREAD:g} % of their mean",
        spreads,
        lambda row: f"{100 * row['tokens_per_second_stddev'] / row['tokens_per_second']:.1f} %",
    )
    yield from warning(
        f"The machine was busy: load average above {LOAD:g} before the engine was started",
        under_load,
        lambda row: f"{row['load_before']:.1f}",
    )


def drifts(row: Row) -> bool:
    """Whether a throughput cell's repetitions have a trend that is neither noise nor negligible."""
    slope, stderr = row.get("drift_per_repetition"), row.get("drift_stderr")
    if slope is None or stderr is None:
        return False
    return bool(abs(slope) > DRIFT_STDERRS * stderr and abs(slope) > DRIFT_PER_REPETITION)


def spreads(row: Row) -> bool:
    """Whether a throughput cell's repetitions scatter too widely."""
    mean, stddev = row.get("tokens_per_second"), row.get("tokens_per_second_stddev")
    return bool(mean is not None and stddev is not None and stddev > SPREAD * mean)


def under_load(row: Row) -> bool:
    """Whether the machine had other work when the cell was started."""
    return row["load_before"] is not None and bool(row["load_before"] > LOAD)


def _signed_percent(fraction: float, stderr: float) -> str:
    text = format_with_error(100 * fraction, 100 * stderr)
    return f"{'+' if fraction > 0 else ''}{text} %"


def _group_titles(throughput: Sequence[Row], quality: Sequence[Row]) -> dict[int, str]:
    """What sets each row's subject apart from the table's others, by the row's id."""
    titles: dict[int, str] = {}
    for rows, subject in ((throughput, THROUGHPUT_SUBJECT[:-1]), (quality, QUALITY_SUBJECT)):
        for group in compare(rows, subject).groups:
            titles |= {id(row): group.title for row in group.rows}
    return titles


def _name_cells(group: str, detail: str, cells: Sequence[Row]) -> str:
    """`q8_0/turbo4: decode at 8K, 32K; q8_0: prefill and decode at 32K [fork] – what there is to say of them`."""
    by_label: dict[str, list[Row]] = {}
    for row in sorted(cells, key=lambda row: pair_order(row["ctk"], row["ctv"])):
        by_label.setdefault(_label(row), []).append(row)
    names = "; ".join(f"{label}: {_places(own)}" for label, own in by_label.items())
    return names + (f" [{group}]" if group else "") + (f" – {detail}" if detail else "")


def _places(cells: Sequence[Row]) -> str:
    """`prefill and decode at 8K, 32K and quality`, of cells of one pair."""
    phases_at: dict[tuple[int, ...], list[str]] = {}
    for phase, _ in PHASES:
        depths = tuple(sorted({row["depth"] for row in cells if row.get("phase") == phase}))
        if depths:
            phases_at.setdefault(depths, []).append(phase)
    places = [
        f"{' and '.join(phases)} at {', '.join(map(format_count, d))}" for d, phases in phases_at.items()
    ]
    return " and ".join([*places, "quality"] if any("n_ctx" in row for row in cells) else places)


# --- quality ------------------------------------------------------------------------------------------------

QUALITY_COLUMNS = (
    "pair",
    "PPL",
    "ln PPL ratio",
    "mean KLD, nats",
    "99.9 % KLD",
    "same top-1, %",
    "bits K / V",
    "windows",
)


def _quality_sections(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, QUALITY_SUBJECT)
    for group in comparison.groups:
        lines = [line for own in _by_pair(group.rows).values() for line in map(_quality_line, own)]
        title = comparison.full_title(group)
        yield Section(title, (Grid(f"Quality: {title}", QUALITY_COLUMNS, tuple(lines)),))


def _quality_line(row: Row) -> tuple[Entry, ...]:
    control = " (control)" if _requested(row) == BASELINE_PAIR else ""
    head = _pair_entry([row])
    head = Entry(head.text + control, head.marks + _marks(row))
    if not _is_measured(row):
        ppl = format_with_error(row["ppl"], row["ppl_stderr"]) if row["ppl"] is not None else row["status"]
        return (head, Entry(ppl, measured=False), *(Entry(ABSENT) for _ in QUALITY_COLUMNS[2:]))
    texts = (
        format_with_error(row["ppl"], row["ppl_stderr"]),
        format_with_error(row["ln_ppl_ratio"], row["ln_ppl_ratio_stderr"]),
        format_with_error(row["kld_mean"], kld_error(row)),
        format_number(row["kld_p999"], 3),
        format_with_error(in_percent(row["top1_agreement"]), in_percent(row["top1_agreement_stderr"])),
        f"{format_number(row['bits_per_value_k'], 4)} / {format_number(row['bits_per_value_v'], 4)}",
        _count(row["chunks"]),
    )
    return (head, *map(Entry, texts))


# --- throughput ---------------------------------------------------------------------------------------------


def _throughput_sections(rows: Sequence[Row]) -> Iterable[Section]:
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
    for own in _by_pair(rows).values():
        cells = {row["depth"]: row for row in own}
        lines.append(
            (_pair_entry(own), *(entry(cells[depth]) if depth in cells else Entry("") for depth in depths))
        )
    return Grid(caption, ("pair \\ depth", *map(format_count, depths)), tuple(lines))


def _speed_entry(row: Row) -> Entry:
    if row["tokens_per_second"] is None:
        return Entry(row["status"], measured=False)
    text = format_with_error(row["tokens_per_second"], row["tokens_per_second_stddev"])
    noise = [mark for mark, holds in (("drift", drifts(row)), ("spread", spreads(row))) if holds]
    return Entry(text, (*_marks(row), *noise))


def _cache_entry(row: Row) -> Entry:
    return Entry(format_bytes(row["kv_bytes"]))


# --- every cell's status ------------------------------------------------------------------------------------


def _throughput_status(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, THROUGHPUT_SUBJECT[:-1])
    for n, group in enumerate(comparison.groups, start=1):
        title = comparison.full_title(group)
        depths = sorted({row["depth"] for row in group.rows})
        lines: list[tuple[Entry, ...]] = []
        evidence: list[Cell] = []
        for own in _by_pair(group.rows).values():
            line = [_pair_entry(own)]
            for depth in depths:
                cell = [row for row in own if row["depth"] == depth]
                if not cell:
                    line.append(Entry(""))
                    continue
                identity = f"throughput-{n}-{len(evidence) + 1}"
                name = f"{_pair_entry(cell).text} at depth {format_count(depth)}"
                evidence.append(_evidence(identity, name, cell))
                line.append(_status_entry(identity, cell))
            lines.append(tuple(line))
        grid = Grid(f"Throughput: {title}", ("pair \\ depth", *map(format_count, depths)), tuple(lines))
        yield Section(title, (grid,), tuple(evidence))


def _quality_status(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, QUALITY_SUBJECT)
    for n, group in enumerate(comparison.groups, start=1):
        title = comparison.full_title(group)
        lines: list[tuple[Entry, ...]] = []
        evidence: list[Cell] = []
        for row in sorted(group.rows, key=lambda row: pair_order(row["ctk"], row["ctv"])):
            identity = f"quality-{n}-{len(evidence) + 1}"
            evidence.append(_evidence(identity, _label(row), [row]))
            lines.append((_pair_entry([row]), _status_entry(identity, [row])))
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
        measured=all(map(_is_measured, rows)),
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
