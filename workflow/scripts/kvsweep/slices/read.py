"""The rows of a slice: made again from its raw records by our own parsers, or as its tables say them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from kvsweep.engine.family import family_of
from kvsweep.errors import KvsweepError
from kvsweep.measure.record import as_recorded
from kvsweep.slices.archive import Contents, open_slice
from kvsweep.slices.cells import (
    RECORD,
    TABLES_OF_CELLS,
    Machine,
    Row,
    cells_in,
    complete,
    count_machine,
    is_scored,
    members_of,
    rows_of,
)
from kvsweep.slices.given import member_of, read_apart
from kvsweep.slices.layout import LIMITS, Limits, Refused
from kvsweep.slices.vetting import CELL, problem_of_text, problem_with, with_plain_quotes
from kvsweep.study.cells import Cell
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import OtherRows
from kvsweep.tables.raw_cells import check_identity
from kvsweep.tables.schemas import TABLES
from kvsweep.tables.scored import SUMS
from kvsweep.tables.set_up_rows import engine_row, model_row

RAW, GIVEN = "raw", "tables"
TABLES_OF_SET_UP = ("engines", "models", "machines")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What anything of a stranger's may be where it is not what it should be.
_NO_RECORD = (
    *(LookupError, TypeError, AttributeError, ValueError, ArithmeticError),
    *(RecursionError, AssertionError, pa.ArrowException),
)

ReadTables = Callable[[Mapping[str, bytes], Limits], dict[str, list[Row]]]


@dataclass(frozen=True)
class SliceRows:
    """Rows by table, each with ``made_from``."""

    rows: dict[str, list[Row]]

    def count(self, table: str, made_from: str) -> int:
        return sum(row["made_from"] == made_from for row in self.rows[table])


def read_slice(
    name: str, place: Path, limits: Limits = LIMITS, read_tables: ReadTables = read_apart
) -> OtherRows:
    """The rows of the slice that the configuration calls ``name``; an archive or a directory.

    Raises KvsweepError with one sentence that names the member: then nothing of it is a row.
    """
    try:
        with open_slice(place, limits) as contents:
            found = rows_in(contents, limits, read_tables).rows
    except Refused as error:
        raise KvsweepError(f"slices.{name}: {place}: {error}") from None
    except MemoryError:
        raise KvsweepError(f"slices.{name}: {place}: needs more memory than there is.") from None
    from_there = {"source": f"slice:{name}", "slice": name}
    # Of an engine the source is where its code comes from.
    named = {
        table: tuple(row | ({"slice": name} if table == "engines" else from_there) for row in rows)
        for table, rows in found.items()
    }
    return OtherRows(**named)


def rows_in(contents: Contents, limits: Limits = LIMITS, read_tables: ReadTables = read_apart) -> SliceRows:
    """All rows. Raises Refused."""
    cells = cells_in(contents.names)
    kinds = [kind for kind in (*TABLES_OF_CELLS, *TABLES_OF_SET_UP) if member_of(kind) in contents.names]
    given = read_tables({kind: contents.read(member_of(kind)) for kind in kinds}, limits)
    if not cells and not any(table in given for table in TABLES_OF_CELLS):
        raise Refused(
            "there are no records of cells in it, and no throughput.parquet or quality.parquet; give what make slice "
            "wrote, a results directory, or the directory of the tables."
        )
    rows: dict[str, list[Row]] = {table: [] for table in TABLES_OF_CELLS}
    manifests, machines = _Manifests(contents), dict[str, Machine]()
    files = Counter(name.rpartition("/")[0] for name in contents.names)
    for directory, cell in cells.items():
        # A record with all that rows are made of; without it the tables say what was measured.
        if files[directory] < members_of(cell):
            continue
        run, found = _raw(contents, directory, cell, manifests)
        for table, of_table in found.items():
            rows[table] += of_table
        count_machine(machines, found[cell.kind], run["machine"], f"{directory}/{RECORD}")
    complete(rows)
    rows["engines"], rows["models"] = manifests.rows("engines"), manifests.rows("models")
    rows["machines"] = [
        row
        for one in machines.values()
        for row in _checked(lambda one=one: {"machines": [one.row]}, one.member)["machines"]  # type: ignore[misc]
    ]
    for table, made in rows.items():
        raw = {_cell_of(row, table) for row in made}
        there = [manifests.complete(row, table) for row in given.get(table, ())]
        others = [row for row in there if _cell_of(row, table) not in raw]
        rows[table] = [row | {"made_from": RAW} for row in made] + [
            row | {"made_from": GIVEN} for row in others
        ]
    return SliceRows(rows)


def _raw(
    contents: Contents, directory: str, cell: Cell, manifests: _Manifests
) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """A cell's run.json, and its rows by table. Raises Refused."""
    name = f"{directory}/{RECORD}"
    run = contents.read_json(name)
    sums = contents.read_json(f"{directory}/{SUMS}") if is_scored(cell) else None

    def rows() -> dict[str, list[Row]]:
        check_identity(cell, Path(directory), run)
        recorded = as_recorded(Path(directory), run, lambda stream: contents.read(f"{directory}/{stream}"))
        recorded = recorded._replace(sums=sums)
        return rows_of(cell, recorded, manifests.build(cell.engine), manifests.model(cell.model))

    return run, _checked(rows, name)


def _checked(make: Callable[[], dict[str, list[Row]]], member: str) -> dict[str, list[Row]]:
    """The rows by table that ``make`` makes of a stranger's member, vetted. Raises Refused."""
    problem = None
    try:
        found = {table: [with_plain_quotes(row) for row in rows] for table, rows in make().items()}
        for table, rows in found.items():
            # Whether every value is of its column's kind.
            as_table(rows, TABLES[table])
            problem = problem or next(
                (why for row in rows if (why := problem_with(row, table)) is not None), None
            )
    except Refused:
        raise
    except KvsweepError as error:
        raise Refused(f"{member}: {shown_end(str(error), member)}") from None
    except _NO_RECORD as error:
        raise Refused(f"{member}: is no record of kvsweep ({type(error).__name__}).") from None
    if problem is not None:
        raise Refused(f"{member}: {problem}.")
    return found


def shown_end(message: str, member: str) -> str:
    """A message about a member in one line, without the member's name."""
    text = " ".join(message.removeprefix(f"{member}: ").split())
    return text if len(text) <= 500 else f"{text[:500]}..."


class _Manifests:
    """build.json and model.json of a slice, each read once."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._read: dict[str, dict[str, Any]] = {}

    def build(self, engine: str) -> dict[str, Any]:
        return self._get(f"engines/{engine}/build.json")

    def model(self, model: str) -> dict[str, Any]:
        return self._get(f"models/{model}/model.json")

    def complete(self, row: Row, table: str) -> Row:
        """A row of the slice's tables with what an older kvsweep did not write and the slice's manifests say.

        Raises Refused.
        """
        if table not in ("throughput", "quality"):
            return row
        said: Row = {}
        build = f"engines/{row['engine']}/build.json"
        if build in self._contents.names:
            said["engine_family"] = _family(self._get(build))
        if table == "quality":
            # Before there was another reference it was the engine's own.
            said["reference"] = row["engine"]
            text = f"corpora/{row['corpus']}/corpus.json"
            digest = self._get(text).get("sha256") if text in self._contents.names else None
            if isinstance(digest, str) and _SHA256.fullmatch(digest):
                said["corpus_sha256"] = digest
        return row | {name: value for name, value in said.items() if row.get(name) is None}

    def rows(self, table: str) -> list[Row]:
        """The rows of the engines or models that cells named."""
        row_of = engine_row if table == "engines" else model_row
        rows: list[Row] = []
        for name, said in self._read.items():
            if name.startswith(f"{table}/"):
                rows += _checked(lambda said=said: {table: [row_of(said)]}, name)[table]  # type: ignore[misc]
        return rows

    def _get(self, name: str) -> dict[str, Any]:
        if name not in self._read:
            if name not in self._contents.names:
                raise Refused(f"{name}: is missing, and there are cells of it.")
            self._read[name] = self._contents.read_json(name)
        return self._read[name]


def _family(build: Mapping[str, Any]) -> str | None:
    """The family of a stranger's build; None where what it says is none."""
    try:
        found = family_of(build)
    except _NO_RECORD:
        return None
    return None if found is None or problem_of_text(found) is not None else found


def _cell_of(row: Row, table: str) -> tuple[Any, ...]:
    return tuple(row.get(column) for column in CELL[table])
