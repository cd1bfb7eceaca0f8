"""Speeds in the form of llama-bench's own database, for llama.cpp's scripts/compare-llama-bench.py.

The table is that of llama.cpp b11434 (``llama-bench -o sql``). The script joins two builds on every property and finds
no row where one is null, so what an older build does not print is what llama-bench takes by itself: kvsweep sets none
of these. A build is named by its engine, because a build without git says no commit; the script cuts all names to the
shortest, so they are filled up to one length.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import complete_or_absent
from kvsweep.slices.archive import Contents
from kvsweep.slices.cells import cells_in
from kvsweep.slices.layout import parse_json
from kvsweep.study.cells import ThroughputCell
from kvsweep.tables.row import pair_of

# Columns with their types, and what llama-bench takes where it is told nothing; None where there is no such thing.
COLUMNS: dict[str, tuple[str, Any]] = {
    "build_commit": ("TEXT", None),
    "build_number": ("INTEGER", 0),
    "cpu_info": ("TEXT", ""),
    "gpu_info": ("TEXT", ""),
    "backends": ("TEXT", ""),
    "model_filename": ("TEXT", ""),
    "model_type": ("TEXT", ""),
    "model_size": ("INTEGER", 0),
    "model_n_params": ("INTEGER", 0),
    "n_batch": ("INTEGER", 2048),
    "n_ubatch": ("INTEGER", 512),
    "n_threads": ("INTEGER", 0),
    "cpu_mask": ("TEXT", "0x0"),
    "cpu_strict": ("INTEGER", 0),
    "poll": ("INTEGER", 50),
    "type_k": ("TEXT", None),
    "type_v": ("TEXT", None),
    "n_gpu_layers": ("INTEGER", 99),
    "split_mode": ("TEXT", "layer"),
    "main_gpu": ("INTEGER", 0),
    "no_kv_offload": ("INTEGER", 0),
    "flash_attn": ("INTEGER", 1),
    "tensor_split": ("TEXT", "0.00"),
    "tensor_buft_overrides": ("TEXT", "none"),
    "load_mode": ("TEXT", "auto"),
    "use_mmap": ("INTEGER", 1),  # what load_mode was before: the forks' scripts ask for it
    "embeddings": ("INTEGER", 0),
    "no_op_offload": ("INTEGER", 0),
    "n_prompt": ("INTEGER", None),
    "n_gen": ("INTEGER", None),
    "n_depth": ("INTEGER", None),
    "test_time": ("TEXT", None),
    "avg_ns": ("INTEGER", None),
    "stddev_ns": ("INTEGER", 0),
    "avg_ts": ("REAL", None),
    "stddev_ts": ("REAL", 0.0),
    "n_cpu_moe": ("INTEGER", 0),
    "fit_target": ("INTEGER", 0),
    "fit_min_ctx": ("INTEGER", 0),
}


@dataclass(frozen=True)
class Database:
    """``builds`` are the names by which the script knows the engines; ``missing`` is the number of measured speeds that
    no log has."""

    builds: dict[str, str]
    rows: list[dict[str, Any]]
    missing: int = 0


def database_of(contents: Contents, measured: Iterable[Mapping[str, Any]]) -> Database:
    """The speeds of a slice or a results directory, of the cells that are ``measured`` in the table throughput."""
    wanted = {
        (
            ThroughputCell(*(row["engine"], row["model"], row["depth"], pair_of(row), row.get("round") or 1)),
            row["phase"],
        )
        for row in measured
        if row["status"] == "measured"
    }
    found, there = [], set()
    for directory, cell in cells_in(contents.names).items():
        if not isinstance(cell, ThroughputCell) or f"{directory}/bench.jsonl" not in contents.names:
            continue
        for line in contents.read(f"{directory}/bench.jsonl").decode("utf-8", errors="replace").splitlines():
            test = _test_in(line)
            phase = "prefill" if test.get("n_prompt") else "decode"
            if test and (cell, phase) in wanted:
                there.add((cell, phase))
                # The pair by its name, which an engine may print otherwise.
                found.append((cell.engine, test | {"type_k": cell.pair.ctk, "type_v": cell.pair.ctv}))
    longest = max((len(engine) for engine, _ in found), default=0)
    builds = {engine: engine.ljust(longest, "-") for engine, _ in found}
    rows = [_row(test, builds[engine]) for engine, test in found]
    return Database(builds, rows, len(wanted) - len(there))


def _test_in(line: str) -> dict[str, Any]:
    """The test that a line of bench.jsonl describes; empty for any other line."""
    try:
        found = parse_json(line.encode())
    except KvsweepError:
        return {}
    return found if isinstance(found, dict) else {}


def _row(test: Mapping[str, Any], build: str) -> dict[str, Any]:
    said = {name: test.get(name) for name in COLUMNS} | {"build_commit": build}
    return {name: default if said[name] is None else said[name] for name, (_, default) in COLUMNS.items()}


def write_database(path: Path, found: Database) -> None:
    """Write the rows as the SQLite database that ``llama-bench -o sql`` would have filled; whole or not at all."""
    with complete_or_absent(path) as beside:
        beside.unlink(missing_ok=True)
        database = sqlite3.connect(beside)
        with database:
            columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
            database.execute(f"CREATE TABLE llama_bench ({columns})")
            places = ", ".join(f":{name}" for name in COLUMNS)
            database.executemany(f"INSERT INTO llama_bench VALUES ({places})", found.rows)
        database.close()
