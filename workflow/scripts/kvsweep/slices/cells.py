"""The cells of a slice, and the rows that our own parsers make of their records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvsweep.measure.record import Recorded
from kvsweep.study.cells import Cell, QualityCell, TaskCell, ThroughputCell
from kvsweep.tables import raw_cells
from kvsweep.tables.set_up_rows import machine_row
from kvsweep.tables.task_rows import item_rows
from kvsweep.tables.where_it_ran import PEER_COLUMNS, mark_fallback

Row = dict[str, Any]
RECORD = "run.json"
TABLES_OF_CELLS = ("throughput", "quality", "tasks", "task_items")


def cells_in(names: Iterable[str]) -> dict[str, Cell]:
    """The cells whose record is among the members, by directory, in the order of tables."""
    found = {}
    for name in names:
        directory, _, file = name.rpartition("/")
        cell = raw_cells.identity(directory) if file == RECORD else None
        if cell is not None:
            found[directory] = cell
    return dict(sorted(found.items(), key=lambda item: place_of(item[1])))


def is_scored(cell: Cell) -> bool:
    """Whether the scorer measured it: then ``SUMS`` stands in a slice for its record of each token."""
    return isinstance(cell, QualityCell) and cell.method == "scorer"


def members_of(cell: Cell) -> int:
    """How many members a slice needs for a cell, to make rows of it: its record, two streams, and for the scorer
    sums."""
    return 4 if is_scored(cell) else 3


def rows_of(
    cell: Cell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]
) -> dict[str, list[Row]]:
    """Rows by table; the first is of the cell itself."""
    found = {cell.kind: raw_cells.rows_of(cell, recorded, build, model)}
    if isinstance(cell, TaskCell):
        found["task_items"] = item_rows(cell, recorded, build, model)
    return found


@dataclass
class Machine:
    """A machine as run.json says it, the member that says it, its hosts, and how many cells it measured."""

    said: dict[str, Any]
    member: str
    hosts: set[str] = field(default_factory=set)
    n_cells: int = 0

    @property
    def row(self) -> Row:
        return machine_row(self.said, self.hosts, self.n_cells)


def count_machine(
    machines: dict[str, Machine], rows: Sequence[Row], said: dict[str, Any], member: str
) -> None:
    """Count a cell, of which ``rows`` are, for its machine; ``machines`` has them by the name of their record."""
    machine = machines.setdefault(rows[0]["machine_record"], Machine(said, member))
    machine.n_cells += 1
    machine.hosts |= {rows[0]["host"]} - {None}


def complete(rows: Mapping[str, list[Row]]) -> None:
    """Fill in what a row says beside others of its table: whether work left the device."""
    for table in PEER_COLUMNS:
        mark_fallback(rows[table], table)


def place_of(cell: Cell) -> tuple[Any, ...]:
    """Sort key that puts cells into the order of tables."""
    pair = (cell.pair.ctk, cell.pair.ctv)
    match cell:
        case ThroughputCell():
            return ("throughput", cell.engine, cell.model, cell.round, cell.depth, *pair)
        case TaskCell():
            return ("tasks", cell.engine, cell.model, cell.task, *pair)
    return (
        f"quality {cell.method}",
        cell.engine,
        cell.model,
        cell.corpus,
        cell.n_ctx,
        cell.reference or "",
        *pair,
    )
