"""Numbers that others published: read as rows of the tables, and compared with measured ones cell by cell.

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
import yaml

from kvsweep.cache_types import Pair
from kvsweep.errors import KvsweepError
from kvsweep.schemas import QUALITY, THROUGHPUT

Row = Mapping[str, Any]

STATUSES = ("measured", "oom", "unsupported", "timeout", "crashed", "skipped")
# What the published numbers are about: column, of which table.
RATES = ("tokens_per_second",)
QUALITIES = ("ppl", "kld_mean", "top1_agreement")
# What a published row holds beside the columns of its table.
ROUNDING = "rounding"  # column -> half a unit of the last published digit, in the column's unit
LIKELY_COMMIT = "likely_engine_commit"


@dataclass(frozen=True)
class Published:
    """Rows of both tables, each with the keys ROUNDING and LIKELY_COMMIT besides the table's columns."""

    throughput: tuple[dict[str, Any], ...]
    quality: tuple[dict[str, Any], ...]


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


def read_published(directory: Path) -> Published:
    """All published rows. Raises KvsweepError where a file is missing or holds what it must not."""
    sources = _read_sources(directory / "sources.yaml")
    return Published(
        tuple(_read_rows(directory / "throughput.csv", THROUGHPUT, sources, (*RATES,))),
        tuple(_read_rows(directory / "quality.csv", QUALITY, sources, (*QUALITIES, "ppl_stderr"))),
    )


def of_source(published: Published, name: str) -> Published:
    """The rows of one source."""
    source = f"published:{name}"
    return Published(
        tuple(row for row in published.throughput if row["source"] == source),
        tuple(row for row in published.quality if row["source"] == source),
    )


def table_row(row: Row) -> dict[str, Any]:
    """A published row with the columns of its table only."""
    return {name: value for name, value in row.items() if name not in (ROUNDING, LIKELY_COMMIT)}


def _read_sources(path: Path) -> dict[str, dict[str, str | None]]:
    try:
        sources = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KvsweepError(f"{path}: cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise KvsweepError(f"{path}: not valid YAML ({error}).".replace("\n", " ")) from None
    keys = {"title", "engine", "engine_commit", LIKELY_COMMIT, "backend", "date"}
    if not isinstance(sources, dict):
        raise KvsweepError(f"{path}: must have an entry for each source.")
    for name, entry in sources.items():
        if not isinstance(entry, dict) or set(entry) != keys:
            raise KvsweepError(f"{path}: {name} must have the keys {', '.join(sorted(keys))}.")
    return sources


def _read_rows(
    path: Path, schema: pa.Schema, sources: Mapping[str, Mapping[str, str | None]], values: tuple[str, ...]
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
    sources: Mapping[str, Mapping[str, str | None]],
    values: tuple[str, ...],
) -> dict[str, Any]:
    texts = {name: text for name, text in line.items() if text}
    if texts.get("source") not in sources:
        raise ValueError(f"sources.yaml does not have the source {texts.get('source')!r}")
    if texts.get("status") not in STATUSES:
        raise ValueError(f"the status is {texts.get('status')!r}, not one of {', '.join(STATUSES)}")
    own = {name: text for name, text in texts.items() if name in values}
    if (texts["status"] == "measured") != any(name in own for name in (*RATES, *QUALITIES)):
        raise ValueError("a row has values exactly if its status is 'measured'")
    source = sources[texts["source"]]
    row: dict[str, Any] = dict.fromkeys(schema.names)
    for name, text in texts.items():
        kind = schema.field(name).type
        row[name] = int(text) if kind == pa.int64() else float(text) if kind == pa.float64() else text
    return row | {
        **{name: source[name] for name in ("engine", "engine_commit", "backend")},
        "reason": None if row["status"] == "measured" else f"published as {row['status']}",
        "source": f"published:{row['source']}",
        ROUNDING: {name: rounding(text) for name, text in own.items()},
        LIKELY_COMMIT: source[LIKELY_COMMIT],
    }


# --- comparing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """One quantity of one cell, ours and as published; None where a side has no value."""

    cell: str
    quantity: str
    source: str  # of the published value
    engine: str | None  # ours, as are machine and model
    machine: str | None
    model: str | None
    ours: float | None
    theirs: float | None
    rounding: float | None  # of the published value, in the quantity's unit
    our_status: str
    their_status: str
    differs: tuple[str, ...]  # what is another in the two set-ups
    unknown: tuple[str, ...]  # what may be another: at least one side does not say

    @property
    def ratio(self) -> float | None:
        """Ours as a multiple of theirs."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def comparable(self) -> bool:
        """Nothing is known to differ; see ``unknown`` for what may."""
        return not self.differs


def name_of(row: Row) -> str:
    """The cell of a row: ``throughput q8_0/turbo4 d262144 decode``, ``quality q8_0 c4096``."""
    pair = Pair(row["ctk"], row["ctv"])
    if "phase" in row:
        return f"throughput {pair} d{row['depth']} {row['phase']}"
    return f"quality {pair} c{row['n_ctx']}"


def compare(ours: Iterable[Row], published: Iterable[Row]) -> list[Compared]:
    """Each of our rows with each published row of the same cell, for each quantity that was published.

    Rows of one table, throughput or quality. A cell is the pair that was asked for with depth and phase, or with
    the context; all else that sets two set-ups apart is listed in the result.
    """
    theirs: dict[str, list[Row]] = {}
    for row in published:
        theirs.setdefault(name_of(row), []).append(row)
    return [
        _compared(our, their, quantity)
        for our in ours
        for their in theirs.get(name_of(our), [])
        for quantity in (RATES if "phase" in our else QUALITIES)
        if their["status"] != "measured" or their[quantity] is not None
    ]


def _compared(our: Row, their: Row, quantity: str) -> Compared:
    same = _same_set_up(our, their)
    return Compared(
        cell=name_of(our),
        quantity=quantity,
        source=their["source"],
        **{name: our[name] for name in ("engine", "machine", "model")},
        ours=our[quantity],
        theirs=their[quantity],
        rounding=their[ROUNDING].get(quantity),
        our_status=our["status"],
        their_status=their["status"],
        differs=tuple(what for what, is_same in same.items() if is_same is False),
        unknown=tuple(what for what, is_same in same.items() if is_same is None),
    )


def _same_set_up(our: Row, their: Row) -> dict[str, bool | None]:
    """What decides a value -> whether both have the same; None where that cannot be told."""

    def same(column: str) -> bool | None:
        mine, other = our.get(column), their.get(column)
        return None if mine is None or other is None else bool(mine == other)

    by_hash = same("model_sha256")
    likely = their.get(LIKELY_COMMIT)
    commit = same("engine_commit")
    if commit is None and our["engine_commit"] and likely and our["engine_commit"] != likely:
        commit = False  # that it equals the likely one would prove nothing
    return {
        "model": same("model") if by_hash is None else by_hash,
        "engine commit": commit,
        "back end": same("backend"),
        "machine": same("machine"),
        "effective pair": _same_pair(our, their),
        "work left the device": same("fallback"),
        **(
            {"tokens timed": same("n_tokens")}
            if "phase" in our
            else {"corpus": same("corpus"), "windows": same("chunks")}
        ),
    }


def _same_pair(our: Row, their: Row) -> bool | None:
    """Types that are known to have run must be those that ran, or were asked for, on the other side."""
    known = True
    for side in ("ctk", "ctv"):
        mine, other = our[f"effective_{side}"], their[f"effective_{side}"]
        if (mine or our[side]) != (other or their[side]):
            return False
        known = known and bool(mine and other)
    return True if known else None
