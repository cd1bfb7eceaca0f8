"""The table rows of raw cells, each cell parsed once.

What was read from a cell is kept under ``results/parsed/ENGINE/MODEL/KIND.parquet`` and holds as long as the cell's
files, the manifests of its engine and model and the code that reads them are the same. Losing it only costs time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kvsweep.files import complete_or_absent
from kvsweep.machine.workers import side_by_side
from kvsweep.measure.record import read_recorded
from kvsweep.study.cells import Cell, TaskCell
from kvsweep.tables import rows as tables
from kvsweep.tables import task_rows
from kvsweep.tables.columns import as_table
from kvsweep.tables.raw_cells import check_record, rows_of
from kvsweep.tables.schemas import TABLES
from kvsweep.tables.where_it_ran import FALLBACK_COLUMNS, PEER_COLUMNS, mark_fallback

Manifest = Mapping[str, Any]

# Columns of a kept row beside those of its table, and the metadata that says what it was read with.
_CELL, _KEY, _READ_WITH = "_cell", "_key", b"read_with"
# What a process is given at a time, and from how many cells on others take part: they take half a second to start.
_CHUNK, _MANY = 32, 256


@dataclass
class MachineUse:
    """What of a run was measured on one machine as it was: one of the cells, their number, the hosts."""

    cell: str
    n_cells: int
    hosts: set[str]


@dataclass(frozen=True)
class Group:
    """The cells of one engine and model of one kind, that is of one table, with the manifests of both."""

    kind: str
    cells: Sequence[Cell]
    build: Manifest
    model: Manifest

    @property
    def kept(self) -> Path:
        """The directory under ``results/`` that keeps the rows that were read."""
        first = self.cells[0]
        return Path("parsed", first.engine, first.model, f"{self.kind}.parquet")


def groups_of(
    kind: str, cells: Iterable[Cell], builds: Mapping[str, Manifest], models: Mapping[str, Manifest]
) -> list[Group]:
    """The groups that ``cells`` form. They are of one kind, and those of one engine and model stand together."""
    by_subject = groupby(cells, key=lambda cell: (cell.engine, cell.model))
    return [Group(kind, list(found), builds[engine], models[model]) for (engine, model), found in by_subject]


def read_tables(
    results: Path, groups: Sequence[Group], code: str, processes: int, machines: dict[str, MachineUse]
) -> Iterator[pa.Table]:
    """The rows of each group, in the order of its cells. ``code`` identifies the code that reads the cells.

    ``machines`` is filled on the way: by ``machine_record``, what was measured where.

    Raises KvsweepError if a cell's record is missing or is not the one that was measured.
    """
    work = [_Work(results, group, code) for group in groups]
    to_read = sum(len(one.missing) for one in work)
    with side_by_side(processes if to_read >= _MANY else 1) as apply:
        chunks = apply(_read_chunk, [chunk for one in work for chunk in one.chunks()])
        for one in work:
            yield one.finish([next(chunks) for _ in range(one.n_chunks)], machines)


class _Work:
    """What is known of a group's cells and what has to be read."""

    def __init__(self, results: Path, group: Group, code: str) -> None:
        self.results, self.group = results, group
        self.schema = TABLES[group.kind]
        self.read_with = _digest(code, group.build, group.model)
        self.keys = {str(cell.directory): _key(results / cell.directory) for cell in group.cells}
        self.kept = self._load()
        kept_keys: dict[str, str] = {}
        if self.kept is not None:
            columns = (self.kept.column(name).to_pylist() for name in (_CELL, _KEY))
            kept_keys = dict(zip(*columns, strict=True))
        self.missing = [
            cell for cell in group.cells if kept_keys.get(name := str(cell.directory)) != self.keys[name]
        ]

    @property
    def n_chunks(self) -> int:
        return -(-len(self.missing) // _CHUNK)

    def chunks(self) -> Iterator[partial[pa.Table]]:
        for start in range(0, len(self.missing), _CHUNK):
            cells = self.missing[start : start + _CHUNK]
            yield partial(_rows_of, self.results, self.group.kind, cells, self.group.build, self.group.model)

    def finish(self, read: Sequence[pa.Table], machines: dict[str, MachineUse]) -> pa.Table:
        """The group's table from what was kept and what was ``read``; that is kept as well."""
        added = [_with_keys(table, self.keys) for table in read]
        together = pa.concat_tables([table for table in (self.kept, *added) if table is not None])
        # Of a cell that was read again the older rows have another key.
        place = {cell: number for number, cell in enumerate(self.keys.items())}
        cells = zip(*(together.column(name).to_pylist() for name in (_CELL, _KEY)), strict=True)
        places = {index: place[cell] for index, cell in enumerate(cells) if cell in place}
        order = sorted(places, key=places.__getitem__)
        if order != list(range(together.num_rows)):
            together = together.take(order)
        if read or self.kept is None or together.num_rows != self.kept.num_rows:
            self._keep(together)
        found = together.select(self.schema.names).cast(self.schema)
        if self.group.kind == "task_items":
            return found  # of cells that are in the table tasks
        _count_machines(together, machines)
        return _with_fallback(found, self.group.kind)

    def _load(self) -> pa.Table | None:
        path = self.results / self.group.kept
        try:
            schema = pq.read_schema(path)
            if (schema.metadata or {}).get(_READ_WITH) != self.read_with.encode():
                return None
            return pq.read_table(path)
        except (OSError, pa.ArrowException):
            return None

    def _keep(self, table: pa.Table) -> None:
        with complete_or_absent(self.results / self.group.kept) as beside:
            pq.write_table(
                table.replace_schema_metadata({_READ_WITH: self.read_with}), beside, compression="zstd"
            )


def _read_chunk(chunk: partial[pa.Table]) -> pa.Table:
    return chunk()


def _rows_of(results: Path, kind: str, cells: Sequence[Cell], build: Manifest, model: Manifest) -> pa.Table:
    """The rows of some cells, with the name of each row's cell."""
    rows: list[tables.Row] = []
    names: list[str] = []
    for cell in cells:
        recorded = read_recorded(results / cell.directory)
        check_record(cell, recorded.directory, recorded.run)
        if kind == "task_items":
            assert isinstance(cell, TaskCell)
            found = task_rows.item_rows(cell, recorded, build, model)
        else:
            found = rows_of(cell, recorded, build, model)
        rows += found
        names += [str(cell.directory)] * len(found)
    return as_table(rows, TABLES[kind]).append_column(_CELL, pa.array(names, pa.string()))


def _with_keys(table: pa.Table, keys: Mapping[str, str]) -> pa.Table:
    found = [keys[name] for name in table.column(_CELL).to_pylist()]
    return table.append_column(_KEY, pa.array(found, pa.string()))


def _with_fallback(table: pa.Table, kind: str) -> pa.Table:
    """Rows are compared with others of their group, so this cannot be kept with them."""
    rows = table.select([*PEER_COLUMNS[kind], *FALLBACK_COLUMNS]).to_pylist()
    mark_fallback(rows, kind)
    for name, kind_of in (("fallback", pa.bool_()), ("fallback_why", pa.string())):
        index = table.schema.get_field_index(name)
        values = pa.array([row.get(name) for row in rows], kind_of)
        table = table.set_column(index, table.schema.field(index), values)
    return table


def _count_machines(table: pa.Table, machines: dict[str, MachineUse]) -> None:
    used = table.group_by("machine_record").aggregate(
        [(_CELL, "min"), (_CELL, "count_distinct"), ("host", "distinct")]
    )
    for row in used.to_pylist():
        cell, n_cells = row[f"{_CELL}_min"], row[f"{_CELL}_count_distinct"]
        found = machines.setdefault(row["machine_record"], MachineUse(cell, 0, set()))
        found.n_cells += n_cells
        found.hosts |= {host for host in row["host_distinct"] if host is not None}


def _key(directory: Path) -> str:
    """What a cell's files are: run.json by its content, which names the others; these by size and time stamp."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_file():
                    status = entry.stat()
                    digest.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        digest.update((directory / "run.json").read_bytes())
    except OSError:
        return ""  # the one who reads the cell says what is wrong
    return digest.hexdigest()


def _digest(code: str, build: Manifest, model: Manifest) -> str:
    return hashlib.sha256(repr((code, dict(build), dict(model), pa.__version__)).encode()).hexdigest()
