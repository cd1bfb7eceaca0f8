"""Numbers that others published, read as rows of the tables.

The data and its sources are described in resources/published/README.md.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa

from kvsweep.errors import KvsweepError
from kvsweep.statistics import wilson
from kvsweep.study.pairs import Pair
from kvsweep.study.yaml_file import read_yaml
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.row import Row
from kvsweep.tables.schemas import TASKS, THROUGHPUT
from kvsweep.tables.set_up_schemas import MODELS
from kvsweep.tables.status import STATUSES

# What the published numbers are about: column, of which table.
RATES = ("tokens_per_second",)
SHARES = ("share",)
QUALITIES = ("ppl", "kld_mean", "top1_agreement")
MACHINE_MEMORY = "machine_memory_bytes"
LIKELY_COMMIT = "likely_engine_commit"


@dataclass(frozen=True)
class OtherRows:
    """Rows of the tables that were measured elsewhere. Of published numbers' engines and machines each row says what is
    known."""

    throughput: tuple[dict[str, Any], ...]
    quality: tuple[dict[str, Any], ...]
    models: tuple[dict[str, Any], ...]
    machines: tuple[dict[str, Any], ...] = ()
    engines: tuple[dict[str, Any], ...] = ()
    tasks: tuple[dict[str, Any], ...] = ()
    task_items: tuple[dict[str, Any], ...] = ()


def rounding(text: str) -> float:
    """Half a unit of the last digit of a printed number, in its unit: 0.05 of "25.0", 0.5 of "245".

    Raises ValueError for what is not a finite number.
    """
    try:
        exponent = Decimal(text).as_tuple().exponent
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not isinstance(exponent, int):
        raise ValueError(f"{text!r} is not a finite number")
    return float(Decimal(5).scaleb(exponent - 1))


def read_published(directory: Path) -> OtherRows:
    """All published rows. Raises KvsweepError where a file is missing or holds what it must not."""
    sources = _read_sources(directory / "sources.yaml")
    return OtherRows(
        tuple(_read_rows(directory / "throughput.csv", THROUGHPUT, sources, (*RATES,))),
        tuple(_read_rows(directory / "quality.csv", QUALITY, sources, (*QUALITIES, "ppl_stderr"))),
        tuple(_read_rows(directory / "models.csv", MODELS, sources, ())),
        tasks=tuple(map(_with_interval, _read_rows(directory / "tasks.csv", TASKS, sources, SHARES))),
    )


def _with_interval(row: dict[str, Any]) -> dict[str, Any]:
    """A share that was printed of a known number of items tells how many were right, and so Wilson's interval."""
    if row["share"] is None:
        return row
    right = round(row["share"] * row["items"])
    if abs(right / row["items"] - row["share"]) > row["share_rounding"]:
        raise KvsweepError(
            f"{row['source']}: no number of {row['items']} items is a share of {row['share']}."
        )
    share = wilson(right, row["items"])
    return row | {"right": right, "share_low": share.low, "share_high": share.high}


def rounding_of(row: Row, column: str) -> float | None:
    """Half a unit of the last printed digit of a published value, in the column's unit; None for any other value."""
    found: float | None = row.get(f"{column}_rounding")
    return found


def of_models(published: OtherRows, models: Iterable[Mapping[str, Any]]) -> OtherRows:
    """What was published of these models (each is a model.json): by its name, its file's name or its sha256."""
    known = {text for model in models for text in _names_of(model)}

    def is_ours(row: Row) -> bool:
        return any(row.get(key) and str(row[key]).lower() in known for key in ("model", "model_sha256"))

    return OtherRows(
        tuple(filter(is_ours, published.throughput)),
        tuple(filter(is_ours, published.quality)),
        tuple(filter(is_ours, published.models)),
        tasks=tuple(filter(is_ours, published.tasks)),
    )


def _names_of(model: Mapping[str, Any]) -> Iterable[str]:
    return (str(text).lower() for text in (model["model"], Path(model["path"]).stem, model["sha256"]))


def _read_sources(path: Path) -> dict[str, dict[str, Any]]:
    sources = read_yaml(path)
    of_engine = ("engine", "engine_commit", "engine_family", LIKELY_COMMIT, "backend")
    keys = {"title", "date", *of_engine, MACHINE_MEMORY}
    if not isinstance(sources, dict):
        raise KvsweepError(f"{path}: must have an entry for each source.")
    for name, entry in sources.items():
        if not isinstance(entry, dict) or set(entry) != keys:
            raise KvsweepError(f"{path}: {name} must have the keys {', '.join(sorted(keys))}.")
    return sources


def _read_rows(
    path: Path, schema: pa.Schema, sources: Mapping[str, Mapping[str, Any]], values: tuple[str, ...]
) -> Iterable[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise KvsweepError(f"{path}: cannot be read ({error.strerror}).") from error
    unknown = {name for line in lines for name in line} - set(schema.names)
    if unknown:
        # A line with more fields than the header has them under the key None.
        raise KvsweepError(f"{path}: no table has the columns {', '.join(sorted(map(str, unknown)))}.")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            rows.append(_row(line, schema, sources, values))
        except (KeyError, ValueError) as error:
            raise KvsweepError(f"{path}, line {number}: {error.args[0]}.") from None
    return rows


def _row(
    line: Mapping[str, str | None],
    schema: pa.Schema,
    sources: Mapping[str, Mapping[str, Any]],
    values: tuple[str, ...],
) -> dict[str, Any]:
    texts = {name: text for name, text in line.items() if text}
    if texts.get("source") not in sources:
        raise ValueError(f"sources.yaml does not have the source {texts.get('source')!r}")
    if "status" in schema.names:
        _check_status(texts, values)
    source = sources[texts["source"]]
    row: dict[str, Any] = dict.fromkeys(schema.names)
    for name, text in texts.items():
        kind = schema.field(name).type
        row[name] = int(text) if kind == pa.int64() else float(text) if kind == pa.float64() else text
    row["source"] = f"published:{row['source']}"
    if "status" in schema.names:
        row["reason"] = None if row["status"] == "measured" else f"published as {row['status']}"
    row |= {name: value for name, value in source.items() if name in schema.names}
    row |= {f"{name}_rounding": rounding(text) for name, text in texts.items() if name in values}
    return row


def _check_status(texts: Mapping[str, str], values: tuple[str, ...]) -> None:
    if texts.get("status") not in STATUSES:
        raise ValueError(f"the status is {texts.get('status')!r}, not one of {', '.join(STATUSES)}")
    given = any(name in texts for name in values if not name.endswith("_stderr"))
    if (texts["status"] == "measured") != given:
        raise ValueError("a row has values exactly if its status is 'measured'")


def name_of(row: Row) -> str:
    """The cell of a row: ``throughput q8_0/turbo4 d262144 decode``, ``quality q8_0 c4096``."""
    pair = Pair(row["ctk"], row["ctv"])
    if "phase" in row:
        return f"throughput {pair} d{row['depth']} {row['phase']}"
    return f"quality {pair} c{row['n_ctx']}"
