"""What the report says: finished sentences and tables of finished text, from the Parquet tables alone.

Both formats of the report show this same view, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kvsweep.presentation import ABSENT, THROUGHPUT_SUBJECT, Row
from kvsweep.report_cells import quality_status, throughput_status
from kvsweep.report_parts import Caution, Entry, Grid, Section, count, is_measured, listed, plural
from kvsweep.report_quality import quality_sections
from kvsweep.report_speed import throughput_sections
from kvsweep.report_warnings import warnings_of
from kvsweep.units import format_bytes

# --- the view: what both formats show -----------------------------------------------------------------------


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
        warnings=tuple(warnings_of(throughput, quality)),
        engines=tuple(tables["engines"].to_pylist()),
        models=_models(tables["models"].to_pylist()),
        machines=_machines([*throughput, *quality]),
        quality=tuple(quality_sections(quality)),
        throughput=tuple(throughput_sections(throughput)),
        status=(*throughput_status(throughput), *quality_status(quality)),
        provenance=provenance or Provenance(),
    )


# --- what was measured --------------------------------------------------------------------------------------


def _summary(throughput: Sequence[Row], quality: Sequence[Row]) -> str:
    rows = [*throughput, *quality]
    if not rows:
        return "No cell has been measured yet."
    cells = len(_cells_of(throughput)) + len(quality)
    measured = sum(all(map(is_measured, c)) for c in _cells_of(throughput)) + sum(map(is_measured, quality))
    started = sorted(row["started_at"] for row in rows if row["started_at"] is not None)
    days = sorted({f"{time:%Y-%m-%d}" for time in (*started[:1], *started[-1:])})
    when = f", between {days[0]} and {days[-1]}" if len(days) > 1 else f", on {days[0]}" if days else ""
    return f"{plural(cells, 'cell')}, {measured:,} of them measured{when} (UTC)."


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
        return f"{count(k)} + {count(v)}"

    properties: dict[str, Callable[[Row], str | None]] = {
        "file": lambda m: m["file_name"],
        "architecture": lambda m: m["architecture"],
        "weights": lambda m: m["weight_type"],
        "parameters": lambda m: count(m["n_parameters"]),
        "layers with a KV cache": lambda m: f"{count(m['n_kv_layers'])} of {count(m['n_layers'])}",
        "heads / KV heads": lambda m: f"{count(m['n_heads'])} / {count(m['n_kv_heads'])}",
        "head size K / V": lambda m: f"{count(m['head_size_k'])} / {count(m['head_size_v'])}",
        "cached values a token, K + V": values_of,
        "vocabulary": lambda m: count(m["n_vocab"]),
        "trained for a context of": lambda m: count(m["n_ctx_train"]),
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


def _machines(rows: Sequence[Row]) -> Grid:
    names = sorted({row["machine"] for row in rows}, key=str)

    def row(name: str | None) -> tuple[Entry, ...]:
        own = [row for row in rows if row["machine"] == name]
        columns = ("backend", "engine", "model", "source")
        return (Entry(name or ABSENT), *(Entry(listed(row[column] for row in own)) for column in columns))

    return Grid(
        "Machines",
        ("machine", "back ends", "engines", "models", "sources"),
        tuple(map(row, names)),
        of_numbers=False,
    )
