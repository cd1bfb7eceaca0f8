"""The report, as one self-contained HTML page and as Markdown, from the Parquet tables and the figures alone.

Both come from the same view: sentences and tables of finished text. Nothing from the data is ever markup:
Jinja escapes every value for HTML, and `escape_markdown` every value for Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2
import pyarrow as pa
from markupsafe import Markup

from kvsweep.cache_types import BASELINE_PAIR, Pair
from kvsweep.errors import KvsweepError
from kvsweep.figures import FIGURES, kld_error
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

TEMPLATES = Path(__file__).with_name("templates")
PHASES = (("prefill", "Prefill (prompt processing)"), ("decode", "Decode (text generation)"))


# --- the view: what both formats show -------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Warning:
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
class Picture:
    """A figure: SVG for the page, a file name for Markdown."""

    name: str
    title: str
    caption: str
    svg: str = field(repr=False)


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
    """Everything that the templates are given."""

    summary: str
    warnings: tuple[Warning, ...]
    engines: tuple[Row, ...]
    models: Grid
    machines: Grid
    quality: tuple[Section, ...]
    throughput: tuple[Section, ...]
    status: tuple[Section, ...]
    pictures: tuple[Picture, ...]
    provenance: Provenance


def view_of(
    tables: Mapping[str, pa.Table], drawings: Mapping[str, str], provenance: Provenance | None = None
) -> View:
    """The view of the four tables and of each figure's SVG text."""
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
        pictures=tuple(
            Picture(name, picture.title, picture.caption, embeddable_svg(drawings[name], name))
            for name, picture in FIGURES.items()
        ),
        provenance=provenance or Provenance(),
    )


# --- names of things ------------------------------------------------------------------------------------------


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


# --- what was measured ----------------------------------------------------------------------------------------


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
    columns = ("model", "architecture", "weights", "parameters", "layers with KV", "heads / KV heads")
    columns += ("head size K / V", "KV values a token", "vocabulary", "file size", "sha256")

    def row(model: Row) -> tuple[Entry, ...]:
        values = (model["kv_values_per_token_k"], model["kv_values_per_token_v"])
        texts = (
            model["model"],
            model["architecture"],
            model["weight_type"],
            _count(model["n_parameters"]),
            f"{_count(model['n_kv_layers'])} of {_count(model['n_layers'])}",
            f"{_count(model['n_heads'])} / {_count(model['n_kv_heads'])}",
            f"{_count(model['head_size_k'])} / {_count(model['head_size_v'])}",
            ABSENT if None in values else f"{sum(values):,}",
            _count(model["n_vocab"]),
            ABSENT if model["file_bytes"] is None else format_bytes(model["file_bytes"]),
            model["model_sha256"],
        )
        return tuple(Entry(ABSENT if text is None else text) for text in texts)

    return Grid("Models", columns, tuple(map(row, models)))


def _count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def _machines(rows: Sequence[Row]) -> Grid:
    names = sorted({row["machine"] for row in rows}, key=str)

    def row(name: str | None) -> tuple[Entry, ...]:
        own = [row for row in rows if row["machine"] == name]
        columns = ("backend", "engine", "model", "source")
        return (Entry(name or ABSENT), *(Entry(_listed(row[column] for row in own)) for column in columns))

    return Grid("Machines", ("machine", "back ends", "engines", "models", "sources"), tuple(map(row, names)))


# --- warnings -------------------------------------------------------------------------------------------------


def _warnings(throughput: Sequence[Row], quality: Sequence[Row]) -> Iterable[Warning]:
    """At most one for each kind, the most misleading kind first."""
    rows = [*throughput, *quality]
    name = _cell_namer(throughput, quality)

    def warning(
        kind: str, concerned: Callable[[Row], bool], detail: Callable[[Row], str]
    ) -> Iterable[Warning]:
        cells = dict.fromkeys(f"{name(row)}{detail(row)}" for row in rows if concerned(row))
        if cells:
            yield Warning(kind, tuple(cells))

    yield from warning("Another pair ran than was asked for", _ran_as_another, lambda row: "")
    yield from warning(
        "Fallback: part of the graph left the device, so these speeds are not the device's",
        lambda row: bool(row["fallback"]),
        lambda row: f" ({row['graph_splits']} graph splits)" if row["graph_splits"] is not None else "",
    )
    for status in sorted({row["status"] for row in rows if not _is_measured(row)}, key=str):
        yield from warning(
            f"Not measured: {status}",
            lambda row, status=status: bool(row["status"] == status),  # type: ignore[misc]
            lambda row: f": {row['reason']}" if row["reason"] else "",
        )
    yield from warning(
        f"Drift over the repetitions: more than {DRIFT_STDERRS:g} standard errors and "
        f"{100 * DRIFT_PER_REPETITION:g} % a repetition",
        drifts,
        lambda row: f": {_signed_percent(row['drift_per_repetition'], row['drift_stderr'])} a repetition",
    )
    yield from warning(
        f"Spread: the repetitions' standard deviation is more than {100 * SPREAD:g} % of their mean",
        spreads,
        lambda row: f": {100 * row['tokens_per_second_stddev'] / row['tokens_per_second']:.1f} %",
    )
    yield from warning(
        f"The machine was busy: load average above {LOAD:g} before the engine was started",
        under_load,
        lambda row: f": {row['load_before']:.1f}",
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


def _cell_namer(throughput: Sequence[Row], quality: Sequence[Row]) -> Callable[[Row], str]:
    """How to name a row's cell among all: as shortly as it stays clear which one is meant."""
    subjects: dict[int, str] = {}
    for rows, subject in ((throughput, THROUGHPUT_SUBJECT[:-1]), (quality, QUALITY_SUBJECT)):
        for group in compare(rows, subject).groups:
            subjects |= {id(row): group.title for row in group.rows}

    def name(row: Row) -> str:
        what = (
            f"{row['phase']} at {format_count(row['depth'])}"
            if "phase" in row
            else f"quality at {row['n_ctx']}"
        )
        where = subjects[id(row)]
        return f"{_label(row)}, {what}" + (f" [{where}]" if where else "")

    return name


# --- quality --------------------------------------------------------------------------------------------------

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
        title = group.title or comparison.shared
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


# --- throughput -----------------------------------------------------------------------------------------------


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
        yield Section(group.title or comparison.shared, tuple(grids))


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


# --- every cell's status --------------------------------------------------------------------------------------


def _throughput_status(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, THROUGHPUT_SUBJECT[:-1])
    for n, group in enumerate(comparison.groups, start=1):
        title = group.title or comparison.shared
        depths = sorted({row["depth"] for row in group.rows})
        lines, evidence = [], []
        for pair, own in _by_pair(group.rows).items():
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
            del pair
        grid = Grid(f"Throughput: {title}", ("pair \\ depth", *map(format_count, depths)), tuple(lines))
        yield Section(title, (grid,), tuple(evidence))


def _quality_status(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, QUALITY_SUBJECT)
    for n, group in enumerate(comparison.groups, start=1):
        title = group.title or comparison.shared
        lines, evidence = [], []
        for row in sorted(group.rows, key=lambda row: pair_order(row["ctk"], row["ctv"])):
            identity = f"quality-{n}-{len(evidence) + 1}"
            evidence.append(_evidence(identity, _label(row), [row]))
            lines.append((_pair_entry([row]), _status_entry(identity, [row])))
        yield Section(title, (Grid(f"Quality: {title}", ("pair", "status"), tuple(lines)),), tuple(evidence))


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


# --- figures inside the page ----------------------------------------------------------------------------------

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
# What matplotlib draws with. Anything else (scripts, style sheets, metadata, foreign content) stays out of
# the page.
_DRAWING_ELEMENTS = {
    "svg",
    "g",
    "defs",
    "path",
    "use",
    "clipPath",
    "rect",
    "circle",
    "line",
    "polyline",
    "polygon",
}


def embeddable_svg(text: str, name: str) -> str:
    """A matplotlib SVG as an element of an HTML page: no prolog, links, scripts or ids that another figure has, too."""
    root = ElementTree.fromstring(text)
    _keep_only_drawing(root, name)
    root.attrib = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-labelledby": f"{name}-title"}
    return ElementTree.tostring(root, encoding="unicode")


def _keep_only_drawing(element: ElementTree.Element, name: str) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    element.text = element.tail = None
    target = element.attrib.pop(_XLINK_HREF, None)
    if target is not None and target.startswith("#"):
        element.set("href", f"#{name}-{target[1:]}")
    for attribute, value in list(element.attrib.items()):
        if attribute.startswith(("on", "{")):
            del element.attrib[attribute]
        elif attribute == "id":
            element.set("id", f"{name}-{value}")
        else:
            element.set(attribute, re.sub(r"url\(#", f"url(#{name}-", value))
    for child in list(element):
        if isinstance(child.tag, str) and child.tag.removeprefix(_SVG) in _DRAWING_ELEMENTS:
            _keep_only_drawing(child, name)
        else:
            element.remove(child)


# --- the two formats ------------------------------------------------------------------------------------------


def escape_markdown(value: Any) -> str:
    """Text that GitHub-flavoured Markdown shows as it is, on one line; finished Markdown passes as `Markup`."""
    if isinstance(value, Markup):
        return str(value)
    text = re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", str(value))
    return " ".join(text.replace("://", ":\\//").split())


def code_block(text: str) -> Markup:
    """Lines of code for Markdown, fenced by more back ticks than they contain."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{text}\n{fence}")  # noqa: S704 - for Markdown, where the fence keeps it text


def markdown_table(grid: Grid) -> Markup:
    """The grid as a GitHub-flavoured table, numbers to the right, marks in words."""

    def shown(entry: Entry) -> str:
        marks = f" **{', '.join(entry.marks)}**" if entry.marks else ""
        return escape_markdown(entry.text) + marks

    lines = [
        " | ".join(map(escape_markdown, grid.columns)),
        " | ".join([":--", *["--:"] * (len(grid.columns) - 1)]),
    ]
    lines += [" | ".join(map(shown, row)) for row in grid.rows]
    return Markup("\n".join(f"| {line} |" for line in lines))  # noqa: S704 - every field is escaped above


def render_html(view: View) -> str:
    """The page; every value is escaped by Jinja, the drawings were rebuilt from allowed elements only."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup
    return environment.get_template("report.html.j2").render(view=view, absent=ABSENT) + "\n"


def render_markdown(view: View, figures: str) -> str:
    """The Markdown; `figures` is where it finds the PNG files, from where it stands."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,
        finalize=escape_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"table": markdown_table, "code": code_block}
    text = environment.get_template("report.md.j2").render(view=view, absent=ABSENT, figures=Markup(figures))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def read_drawings(folder: Path) -> dict[str, str]:
    """Each figure's SVG text. Raises KvsweepError where one is missing."""
    try:
        return {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in FIGURES}
    except FileNotFoundError as error:
        raise KvsweepError(
            f"{error.filename}: this figure is missing; run the workflow again to draw it."
        ) from None
