"""What a slice holds of a results directory: records, logs and tables, without what is private.

The same inputs make the same bytes. Of what a log loses nothing that the tables say may change: every cell is read
again as it goes into the slice.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kvsweep.errors import KvsweepError
from kvsweep.machine.description import machine_record
from kvsweep.measure.record import Recorded, read_recorded
from kvsweep.slices import bundles
from kvsweep.slices.cells import (
    RECORD,
    TABLES_OF_CELLS,
    Machine,
    Row,
    complete,
    count_machine,
    is_scored,
    place_of,
    rows_of,
)
from kvsweep.slices.layout import CONFIGURATION, FORMAT, LIMITS, MANIFEST, Limits
from kvsweep.slices.of_machine import Study
from kvsweep.slices.private import Private
from kvsweep.slices.vetting import with_plain_quotes
from kvsweep.study.cells import Cell
from kvsweep.tables.columns import as_table
from kvsweep.tables.schemas import TABLES
from kvsweep.tables.scored import SUMS, sums_of
from kvsweep.tables.set_up_rows import engine_row, model_row

# What the text of a path changes, and nothing that was measured.
_TEXTS = (
    *("command", "host", "log_line", "reason", "fallback_why", "machine_record", "gpu_users"),
    *("machine", "answer", "expected", "problem"),
)
# Of what is in a bundle before another is begun: as far back as xz looks for what was said before.
_BUNDLE_BYTES = 8 * 2**20
_EARLIEST = (1980, 1, 1, 0, 0, 0)


@dataclass
class Held:
    """What went into a slice: size in bytes and sha256 of each member, the bundle of those that lie in one, cells by
    status, what was replaced."""

    members: dict[str, tuple[int, str]] = field(default_factory=dict)
    within: dict[str, str] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)


def write_slice(path: Path, study: Study, private: Private, version: str, limits: Limits = LIMITS) -> Held:
    """Write the archive and return what it holds. Raise KvsweepError if the record of a cell is damaged."""
    held = Held()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:

        def note(name: str, data: bytes) -> None:
            held.members[name] = (len(data), hashlib.sha256(data).hexdigest())

        def add(name: str, data: bytes) -> None:
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
            if name != MANIFEST:
                note(name, data)

        def bundle(members: dict[str, bytes]) -> None:
            if members:
                name = f"records/{len(set(held.within.values())):04}.tar.xz"
                held.within |= dict.fromkeys(members, name)
                add(name, bundles.pack(members))

        said = {name: private.value(value) for name, value in _said(study)}
        for name, value in said.items():
            add(name, as_json(value))
        rows: dict[str, list[Row]] = {table: [] for table in TABLES_OF_CELLS}
        machines: dict[str, Machine] = {}
        waiting: dict[str, bytes] = {}
        for cell in sorted(study.cells, key=place_of):
            build, model = said[f"engines/{cell.engine}/build.json"], said[f"models/{cell.model}/model.json"]
            found, members, machine = _cell(study, cell, private, (build, model), limits, held.left_out)
            for name, data in members:
                (note if bundles.fits(name) else add)(name, data)
            waiting |= {name: data for name, data in members if bundles.fits(name)}
            if sum(map(len, waiting.values())) > _BUNDLE_BYTES:
                bundle(waiting)
                waiting = {}
            for table, of_table in found.items():
                rows[table] += of_table
            of_cell = found[cell.kind]
            held.statuses[_status(of_cell)] += 1
            count_machine(machines, of_cell, machine, str(cell.directory))
        bundle(waiting)
        complete(rows)
        every = rows | {
            "engines": [engine_row(said[f"engines/{name}/build.json"]) for name in study.engines],
            "models": [model_row(said[f"models/{name}/model.json"]) for name in study.models],
            "machines": [machine.row for _, machine in sorted(machines.items())],
        }
        for name, of_table in sorted(every.items()):
            add(f"tables/{name}.parquet", _parquet([with_plain_quotes(row) for row in of_table], name))
        held.replaced = private.replaced.copy()
        add(MANIFEST, as_json(_manifest(study, private, version, held)))
    return held


def _said(study: Study) -> Iterator[tuple[str, Any]]:
    yield CONFIGURATION, study.configuration
    for kind, file, manifests in (
        ("corpora", "corpus.json", study.corpora),
        ("engines", "build.json", study.engines),
        ("models", "model.json", study.models),
    ):
        for name, said in manifests.items():
            yield f"{kind}/{name}/{file}", said


def _cell(
    study: Study,
    cell: Cell,
    private: Private,
    manifests: tuple[dict[str, Any], dict[str, Any]],
    limits: Limits,
    left_out: list[str],
) -> tuple[dict[str, list[Row]], list[tuple[str, bytes]], dict[str, Any]]:
    """A cell's rows by table, its members and its machine. Logs that are longer than a reader takes are left out."""
    directory, _ = study.cells[cell]
    recorded = read_recorded(directory)
    sums = sums_of(recorded) if is_scored(cell) else None
    recorded = recorded._replace(sums=sums)
    before = rows_of(cell, recorded, study.engines[cell.engine], study.models[cell.model])
    run = private.value(recorded.run)
    machine = run["machine"]
    names = [stream["name"] for stream in recorded.run["streams"]]
    texts = [
        _without(private, name, text)
        for name, text in zip(names, (recorded.stdout, recorded.stderr), strict=True)
    ]
    data = [text.encode() for text in texts]
    if any(len(one) > limits.log_bytes for one in data):
        left_out.append(f"{cell.directory}: its log is longer than a slice takes; its rows are in the tables")
        as_given = {table: [private.value(row) for row in rows] for table, rows in before.items()}
        of_cell = [row | {"machine_record": machine_record(machine)} for row in as_given[cell.kind]]
        return as_given | {cell.kind: of_cell}, [], machine
    for stream, one in zip(run["streams"], data, strict=True):
        stream |= {"size_bytes": len(one), "sha256": hashlib.sha256(one).hexdigest()}
    found = rows_of(cell, Recorded(Path(str(cell.directory)), run, texts[0], texts[1], sums), *manifests)
    if _measured(found) != _measured(before):
        raise KvsweepError(
            f"{directory}: without names and paths its log would say something else; name the machine's host, "
            "its user or the engine otherwise."
        )
    members = [(RECORD, as_json(run)), *zip(names, data, strict=True)]
    if sums is not None:
        members.append((SUMS, as_json(private.value(sums), indent=None)))
    return found, sorted((f"{cell.directory}/{name}", one) for name, one in members), machine


def _without(private: Private, name: str, text: str) -> str:
    """A stream's text without what is private. In JSON lines each text is replaced by itself, so that they stay
    JSON."""
    if not name.endswith(".jsonl"):
        return private.text(text)
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.dumps(private.value(json.loads(line)), ensure_ascii=True))
        except (ValueError, RecursionError):
            lines.append(private.text(line))
    return "".join(f"{line}\n" for line in lines)


def _measured(rows: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """What the tables say of a cell and what must be the same with and without private names."""
    return {
        table: [{name: value for name, value in row.items() if name not in _TEXTS} for row in found]
        for table, found in rows.items()
    }


def _status(rows: list[Row]) -> str:
    statuses = [row["status"] for row in rows]
    return next((status for status in statuses if status != "measured"), "measured")


def _parquet(rows: list[Row], name: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(as_table(rows, TABLES[name]), file, compression="zstd", compression_level=19)
    return file.getvalue()


def _manifest(study: Study, private: Private, version: str, held: Held) -> dict[str, Any]:
    machine = next(iter(study.cells.values()))[1]["machine"]
    said = {
        "format": FORMAT,
        "kvsweep": version,
        "date": study.date,
        "machine": machine,
        "engines": {
            name: {key: build.get(key) for key in ("commit", "backend", "version", "source", "files")}
            for name, build in study.engines.items()
        },
        "models": {name: {"sha256": model["sha256"]} for name, model in study.models.items()},
        "corpora": {name: {"sha256": corpus["sha256"]} for name, corpus in study.corpora.items()},
        "cells": dict(sorted(held.statuses.items())),
    }
    return {
        **private.value(said),
        "configuration": private.value(study.configuration),
        "replaced": dict(sorted(held.replaced.items())),
        "left_out": held.left_out,
        "members": {
            name: {"size_bytes": size, "sha256": digest}
            | ({"in": held.within[name]} if name in held.within else {})
            for name, (size, digest) in sorted(held.members.items())
        },
    }


def as_json(value: Any, indent: int | None = 1) -> bytes:
    return (json.dumps(value, indent=indent, ensure_ascii=False) + "\n").encode()
