"""The cells of a slice, and the rows that our own parsers make of their records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kvsweep.measure.record import Recorded
from kvsweep.study.cells import Cell, QualityCell, ThroughputCell
from kvsweep.tables import rows as tables
from kvsweep.tables.raw_cells import identity

Row = dict[str, Any]
RECORD = "run.json"


def kind_of(cell: Cell) -> str:
    """The table that a cell's rows are in."""
    return "throughput" if isinstance(cell, ThroughputCell) else "quality"


def cells_in(names: Iterable[str]) -> dict[str, Cell]:
    """The cells whose record is among the members, by directory, in the order of tables."""
    found = {}
    for name in names:
        directory, _, file = name.rpartition("/")
        cell = identity(directory) if file == RECORD else None
        if cell is not None and str(cell.directory) == directory and is_shared(cell):
            found[directory] = cell
    return dict(sorted(found.items(), key=lambda item: _place(item[1])))


def is_shared(cell: Cell) -> bool:
    """Whether a slice has cells of this kind: answers to tasks stay where they were given."""
    return isinstance(cell, ThroughputCell | QualityCell)


def is_whole(cell: Cell) -> bool:
    """Whether a slice has all that a cell's rows are made of. Of the scorer's it has not: their record of each token is
    large, and says the text."""
    return isinstance(cell, ThroughputCell) or (isinstance(cell, QualityCell) and cell.method == "perplexity")


def rows_of(cell: Cell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]) -> list[Row]:
    if isinstance(cell, ThroughputCell):
        return tables.throughput_rows(cell, recorded, build, model)
    assert isinstance(cell, QualityCell)
    return [tables.quality_row(cell, recorded, build, model)]


def complete(rows: dict[str, list[Row]]) -> None:
    """What rows say beside others of their table: whether work left the device."""
    tables.mark_fallback(rows["throughput"], tables.throughput_peers)
    tables.mark_fallback(rows["quality"], tables.quality_peers)


def _place(cell: Cell) -> tuple[Any, ...]:
    pair = (cell.pair.ctk, cell.pair.ctv)
    if isinstance(cell, ThroughputCell):
        return ("throughput", cell.engine, cell.model, cell.round, cell.depth, *pair)
    assert isinstance(cell, QualityCell)
    return (f"quality {cell.method}", cell.engine, cell.model, cell.corpus, cell.n_ctx, *pair)
