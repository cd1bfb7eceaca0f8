"""What of a results directory belongs to one machine, and what of it is private: all that a slice of it is made of."""

from __future__ import annotations

import getpass
import json
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json
from kvsweep.measure.record import NO_RECORD
from kvsweep.slices.layout import CONFIGURATION
from kvsweep.slices.private import Private, users_in
from kvsweep.study.cells import Cell
from kvsweep.tables.raw_cells import DAMAGED, find_cells, read_raw_cell
from kvsweep.tables.set_up_rows import engine_row, model_row


@dataclass
class Study:
    """What of a results directory belongs to one machine: ``cells`` by directory, with their run.json."""

    results: Path
    machine: str
    date: str
    cells: dict[Cell, tuple[Path, dict[str, Any]]]
    configuration: dict[str, Any]
    engines: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    corpora: dict[str, dict[str, Any]]


def studies_in(results: Path) -> list[Study]:
    """What was measured here, a study for each machine. Raises KvsweepError where nothing was."""
    if not (results / CONFIGURATION).is_file():
        raise KvsweepError(f"{results / CONFIGURATION}: there is no study here; run the workflow first.")
    configuration = _made(results / CONFIGURATION, lambda said: said.items())
    by_machine: dict[str, dict[Cell, tuple[Path, dict[str, Any]]]] = {}
    for cell, directory in find_cells(results):
        raw = read_raw_cell(cell, directory)
        if raw.status == DAMAGED:
            raise KvsweepError(f"damaged, and removed by make forget STATUS={DAMAGED}: {raw.reason}")
        by_machine.setdefault(raw.run["machine"]["name"], {})[cell] = (directory, raw.run)
    if not by_machine:
        raise KvsweepError(f"{results}: nothing was measured here; run the workflow first.")
    return [
        Study(
            results,
            machine,
            max(str(run.get("started_at") or "")[:10] for _, run in cells.values()) or "undated",
            cells,
            configuration,
            {
                name: _made(results / "engines" / name / "build.json", engine_row)
                for name in _names(cells, "engine")
            },
            {
                name: _made(results / "models" / name / "model.json", model_row)
                for name in _names(cells, "model")
            },
            # Of a text nothing is asked but its checksum, which the records have, too.
            {
                name: _made(path, lambda said: said["sha256"])
                for name in _names(cells, "corpus")
                if (path := results / "corpora" / name / "corpus.json").is_file()
            },
        )
        for machine, cells in sorted(by_machine.items())
    ]


def _made(path: Path, use: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """What kvsweep wrote there. Raises KvsweepError where ``use`` cannot do with it what will be done later."""
    found: dict[str, Any] = read_json(path)
    try:
        use(found)
    except NO_RECORD:
        raise KvsweepError(
            f"{path}: is not what kvsweep writes there; remove it and run the workflow again."
        ) from None
    return found


def _names(cells: Iterable[Cell], kind: str) -> list[str]:
    return sorted({getattr(cell, kind) for cell in cells if hasattr(cell, kind)})


def private_of(study: Study) -> Private:
    """What is private to this study and this machine's user."""
    runs = [run for _, run in study.cells.values()]
    hosts = {host for run in runs if isinstance(host := run["machine"].get("host"), str)}
    homes = {str(Path.home())}
    users = {Path.home().name}
    with suppress(KeyError, OSError):
        users.add(getpass.getuser())
    with suppress(OSError):
        hosts.add(socket.gethostname())
    manifests = [*study.engines.values(), *study.models.values(), *study.corpora.values()]
    lines = {json.dumps(manifests)}
    for directory, run in study.cells.values():
        lines.update((json.dumps(run), *(line for log in _logs(directory, run) for line in log.splitlines())))
    users |= users_in(lines)
    names = [*study.engines, *study.models, *study.corpora, study.machine]
    kept = {word for name in names for word in (name, *re.split(r"[^A-Za-z0-9]+", name)) if word}
    return Private(users, hosts, homes, _places(study), kept)


def _logs(directory: Path, run: Mapping[str, Any]) -> list[str]:
    return [(directory / stream["name"]).read_text("utf-8", errors="replace") for stream in run["streams"]]


def _places(study: Study) -> dict[str, str]:
    """The directories that belong to the study, wherever they are."""
    places = {str(study.results.resolve().parent): "/kvsweep"}
    for engine in study.engines.values():
        if directory := engine.get("directory"):
            # .../results/engines/NAME/bin, also of results that were moved here.
            base = re.sub(r"/results/engines/[^/]+/bin$", "", directory)
            places.setdefault(base, "/kvsweep" if base != directory else "/engine")
    for one in study.models.values():
        places.setdefault(str(Path(one["path"]).parent), "/models")
    for one in study.corpora.values():
        places.setdefault(str(Path(one["path"]).parent), "/texts")
    # Where they were when a cell was measured: they may have been moved since.
    for cell, (_, run) in study.cells.items():
        kinds = (
            rf"(?:baseline|quality|scorer|tasks|throughput)/{re.escape(cell.engine)}/{re.escape(cell.model)}/"
        )
        for match in re.finditer(rf'"(/[^"]*?)(?:/results)?/{kinds}', json.dumps(run)):
            places.setdefault(match[1], "/kvsweep")
        for index, word in enumerate(run["command"]):
            path = Path(word)
            if path.is_absolute() and len(path.parts) > 2:
                kind = "/engine" if index == 0 else "/models" if path.suffix == ".gguf" else "/texts"
                places.setdefault(str(path.parent), kind)
    return {place: shown for place, shown in places.items() if place.startswith("/") and len(place) > 1}


def file_name(study: Study, private: Private) -> str:
    """``slice-MACHINE-DATE.zip``; the date is that of the last cell, so that the same study has the same name."""
    machine = re.sub(r"[^A-Za-z0-9.]+", "-", private.text(study.machine)).strip("-.") or "machine"
    return f"slice-{machine[:80]}-{study.date}.zip"
