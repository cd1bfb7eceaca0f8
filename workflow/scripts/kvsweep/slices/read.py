"""The rows of a slice: made again from its raw records by our own parsers, or as its tables say them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from kvsweep.errors import KvsweepError
from kvsweep.measure.record import as_recorded
from kvsweep.slices.archive import Contents, open_slice
from kvsweep.slices.cells import RECORD, Row, cells_in, complete, is_whole, kind_of, rows_of
from kvsweep.slices.given import member_of, read_apart
from kvsweep.slices.layout import LIMITS, Limits, Refused
from kvsweep.slices.vetting import CELL, problem_with, with_plain_quotes
from kvsweep.study.cells import Cell
from kvsweep.tables.published import OtherRows
from kvsweep.tables.raw_cells import check_identity
from kvsweep.tables.rows import as_table
from kvsweep.tables.schemas import TABLES
from kvsweep.tables.set_up_rows import machine_row, model_row

RAW, GIVEN = "raw", "tables"
TABLES_OF_CELLS = ("throughput", "quality")
# What anything of a stranger's may be where it is not what it should be.
_NO_RECORD = (
    *(KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError, ArithmeticError),
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
    named = {table: tuple(row | from_there for row in rows) for table, rows in found.items()}
    return OtherRows(**named)


def rows_in(contents: Contents, limits: Limits = LIMITS, read_tables: ReadTables = read_apart) -> SliceRows:
    """All rows. Raises Refused."""
    cells = cells_in(contents.names)
    kinds = [kind for kind in (*TABLES_OF_CELLS, "models", "machines") if member_of(kind) in contents.names]
    given = read_tables({kind: contents.read(member_of(kind)) for kind in kinds}, limits)
    if not cells and not any(table in given for table in TABLES_OF_CELLS):
        raise Refused(
            "there are no records of cells in it, and no throughput.parquet or quality.parquet; give what make slice "
            "wrote, a results directory, or the directory of the tables."
        )
    rows: dict[str, list[Row]] = {"throughput": [], "quality": []}
    manifests, machines = _Manifests(contents), dict[str, _Machine]()
    files = Counter(name.rpartition("/")[0] for name in contents.names)
    for directory, cell in cells.items():
        # A record with its two logs; without them the tables say what was measured.
        if not is_whole(cell) or files[directory] < 3:
            continue
        run, found = _raw(contents, directory, cell, manifests)
        rows[kind_of(cell)] += found
        machine = machines.setdefault(
            found[0]["machine_record"], _Machine(run["machine"], f"{directory}/{RECORD}", set())
        )
        machine.n_cells += 1
        machine.hosts |= {host for row in found[:1] if (host := row["host"]) is not None}
    complete(rows)
    for table in TABLES_OF_CELLS:
        raw = {_cell_of(row, table) for row in rows[table]}
        others = [row for row in given.get(table, ()) if _cell_of(row, table) not in raw]
        rows[table] = [row | {"made_from": RAW} for row in rows[table]]
        rows[table] += [row | {"made_from": GIVEN} for row in others]
    rows["models"] = [row | {"made_from": RAW} for row in manifests.models()]
    rows["machines"] = [row | {"made_from": RAW} for one in machines.values() for row in one.rows()]
    for table in ("models", "machines"):
        raw = {_cell_of(row, table) for row in rows[table]}
        rows[table] += [
            row | {"made_from": GIVEN} for row in given.get(table, ()) if _cell_of(row, table) not in raw
        ]
    return SliceRows(rows)


def _raw(
    contents: Contents, directory: str, cell: Cell, manifests: _Manifests
) -> tuple[dict[str, Any], list[Row]]:
    """A cell's run.json, and its rows. Raises Refused."""
    name = f"{directory}/{RECORD}"
    run = contents.read_json(name)

    def rows() -> list[Row]:
        check_identity(cell, Path(directory), run)
        recorded = as_recorded(Path(directory), run, lambda stream: contents.read(f"{directory}/{stream}"))
        return rows_of(cell, recorded, manifests.build(cell.engine), manifests.model(cell.model))

    return run, _checked(rows, kind_of(cell), name)


def _checked(make: Callable[[], list[Row]], table: str, member: str) -> list[Row]:
    """The rows that ``make`` makes of a stranger's member, vetted. Raises Refused."""
    try:
        rows = [with_plain_quotes(row) for row in make()]
        # Whether every value is of its column's kind.
        as_table(rows, TABLES[table])
        problem = next((found for row in rows if (found := problem_with(row, table)) is not None), None)
    except Refused:
        raise
    except KvsweepError as error:
        raise Refused(f"{member}: {shown_end(str(error), member)}") from None
    except _NO_RECORD as error:
        raise Refused(f"{member}: is no record of kvsweep ({type(error).__name__}).") from None
    if problem is not None:
        raise Refused(f"{member}: {problem}.")
    return rows


def shown_end(message: str, member: str) -> str:
    """A message about a member in one line, without its name and what only its giver could do."""
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

    def models(self) -> list[Row]:
        """The rows of the models that cells named."""
        rows: list[Row] = []
        for name, said in self._read.items():
            if name.startswith("models/"):
                rows += _checked(lambda said=said: [model_row(said)], "models", name)  # type: ignore[misc]
        return rows

    def _get(self, name: str) -> dict[str, Any]:
        if name not in self._read:
            if name not in self._contents.names:
                raise Refused(f"{name}: is missing, and there are cells of it.")
            self._read[name] = self._contents.read_json(name)
        return self._read[name]


@dataclass
class _Machine:
    """A machine as run.json says it, the hosts and the number of cells, and the member that says it."""

    said: dict[str, Any]
    member: str
    hosts: set[str]
    n_cells: int = 0

    def rows(self) -> list[Row]:
        return _checked(lambda: [machine_row(self.said, self.hosts, self.n_cells)], "machines", self.member)


def _cell_of(row: Row, table: str) -> tuple[Any, ...]:
    return tuple(row.get(column) for column in CELL[table])
