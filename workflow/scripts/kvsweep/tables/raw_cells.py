"""The raw cells that lie under ``results/``, in the configuration or not, and how each ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json
from kvsweep.measure.record import NO_RECORD, Recorded, read_recorded
from kvsweep.study.cells import Cell, QualityCell, TaskCell, ThroughputCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import rows as tables
from kvsweep.tables import task_rows
from kvsweep.tables.status import MEASURED, STATUSES

# A record that cannot be read, or is not of the cell in whose directory it lies.
DAMAGED = "damaged"
OUTCOMES = (*STATUSES, DAMAGED)

_NUMBERS = ("depth", "n_ctx", "round")


def _layouts() -> Iterator[tuple[Callable[..., Cell], str]]:
    """What makes a cell, and its directory with its fields as wildcards: without the optional part and with it."""
    for cell_of, place in (
        (ThroughputCell, ThroughputCell.place),
        (QualityCell, QualityCell.place),
        (partial(QualityCell, method="scorer"), QualityCell.place_of_scorer),
        (TaskCell, TaskCell.place),
    ):
        plain = place.replace("{round}", "").replace("{against}", "")
        yield cell_of, plain
        full = place.replace("{round}", "round-{round}/").replace("{against}", "against-{reference}/")
        if full != plain:
            yield cell_of, full


_LAYOUTS = tuple(_layouts())
_PATTERNS = [
    (cell_of, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", place))) for cell_of, place in _LAYOUTS
]

# A status rests on what the engine printed; its build and the model's shape only fill other columns.
_ANY_BUILD = {"commit": None, "backend": None}
_ANY_MODEL = {"n_kv_heads": [], "n_kv_layers": 0, "head_size_k": 0, "head_size_v": 0}


@dataclass(frozen=True)
class Outcome:
    """How one phase of a throughput cell, or a quality cell (phase None), ended."""

    phase: str | None
    status: str
    reason: str | None


@dataclass(frozen=True)
class RawCell:
    """A cell whose run.json exists. ``run`` is what stands in it, damaged or not; empty if that is no record at all."""

    cell: Cell
    directory: Path
    run: dict[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def status(self) -> str:
        """``measured`` if all of the cell is, else how the first other phase ended."""
        return self._decisive.status

    @property
    def reason(self) -> str | None:
        return self._decisive.reason

    @property
    def _decisive(self) -> Outcome:
        return next((o for o in self.outcomes if o.status != MEASURED.status), self.outcomes[0])


def identity(directory: str) -> Cell | None:
    """The cell that a directory, relative to ``results/``, belongs to; None for any other directory."""
    for cell_of, pattern in _PATTERNS:
        if match := pattern.fullmatch(directory):
            found: dict[str, Any] = match.groupdict()
            pair = Pair(found.pop("ctk"), found.pop("ctv"))
            try:
                cell = cell_of(
                    **found | {name: int(found[name]) for name in _NUMBERS if name in found}, pair=pair
                )
            except ValueError:
                return None
            return cell if str(cell.directory) == directory else None
    return None


def find_cells(results: Path) -> Iterator[tuple[Cell, Path]]:
    """All cells that have a record, and their directories. Reads no record."""
    for _, layout in _LAYOUTS:
        pattern = re.sub(r"\{\w+\}", "*", layout)
        for run in sorted(results.glob(f"{pattern}/run.json")):
            cell = identity(run.parent.relative_to(results).as_posix())
            if cell is not None:
                yield cell, run.parent


def read_raw_cell(cell: Cell, directory: Path) -> RawCell:
    """The cell's record and how it ended, decided as the tables decide it. A damaged record is a status here."""
    run: dict[str, Any] = {}
    try:
        found = read_json(directory / "run.json")
        run = found if isinstance(found, dict) else {}
        check_record(cell, directory, run)
        recorded = read_recorded(directory)
        rows = rows_of(cell, recorded, _ANY_BUILD, _ANY_MODEL)
    except KvsweepError as error:
        return RawCell(cell, directory, run, (Outcome(None, DAMAGED, str(error)),))
    except NO_RECORD as error:
        reason = f"{directory / 'run.json'}: not a record of kvsweep ({error!r})."
        return RawCell(cell, directory, run, (Outcome(None, DAMAGED, reason),))
    return RawCell(
        cell,
        directory,
        run,
        tuple(Outcome(row.get("phase"), row["status"], row.get("reason")) for row in rows),
    )


def check_record(cell: Cell, directory: Path, run: dict[str, Any]) -> None:
    """Raise KvsweepError if run.json is of another cell than its path says, or lacks what every record has."""
    check_identity(cell, directory, run)
    machine = run.get("machine")
    is_right = {
        "machine": isinstance(machine, dict) and isinstance(machine.get("name"), str),
        "command": isinstance(run.get("command"), list),
        # Of an engine that was not started there is neither.
        "started_at": isinstance(run.get("started_at"), str | None),
        "wall_seconds": bool(run.get("skipped")) or isinstance(run.get("wall_seconds"), int | float),
    }
    for name in (name for name, right in is_right.items() if not right):
        raise KvsweepError(
            f"{directory / 'run.json'}: is not a record of kvsweep (its {name} is missing or wrong); "
            f"remove {directory} to measure the cell again."
        )


def rows_of(
    cell: Cell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]
) -> list[tables.Row]:
    """A cell's rows in the table of its kind."""
    match cell:
        case ThroughputCell():
            return tables.throughput_rows(cell, recorded, build, model)
        case TaskCell():
            return [task_rows.task_row(cell, recorded, build, model)]
    return [tables.quality_row(cell, recorded, build, model)]


def check_identity(cell: Cell, directory: Path, run: dict[str, Any]) -> None:
    """Raise KvsweepError if run.json is of another cell than its path says."""
    expected = {**vars(cell), "ctk": cell.pair.ctk, "ctv": cell.pair.ctv, "kind": cell.kind}
    del expected["pair"]
    if isinstance(cell, TaskCell):
        expected["kind"] = "task"
    elif isinstance(cell, QualityCell) and expected.pop("method") == "scorer":
        expected["kind"] = "scorer"
    # The first round's records do not say it, nor do those against their own f16 a reference.
    found = {**run, "round": run.get("round", 1), "reference": (run.get("reference") or {}).get("engine")}
    for key, value in expected.items():
        if found.get(key) != value:
            raise KvsweepError(
                f"{directory / 'run.json'}: says {key} {found.get(key)!r}, its path says {value!r}."
            )
