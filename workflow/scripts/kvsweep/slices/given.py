"""A slice's own tables, read where its raw records are missing.

Parquet of a stranger's is read by a process of its own, which has a limit of memory and time and can crash alone.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kvsweep.errors import KvsweepError
from kvsweep.slices.layout import LIMITS, Limits, Refused, refusing, shown
from kvsweep.slices.vetting import CELL, NEEDED, problem_with
from kvsweep.tables.schemas import TABLES

Row = dict[str, Any]

_MOST_COLUMNS = 400
_POLL_SECONDS = 0.02


def read_given(data: bytes, table: str, limits: Limits) -> list[Row]:
    """The measured rows of a table in Parquet; columns that an older kvsweep did not write are null.

    What the slice has itself from elsewhere (published numbers, other slices) is left out. Raises KvsweepError with the
    end of a sentence for anything that is no such table.
    """
    try:
        content = _content(data, table, limits)
        rows: list[Row] = content.to_pylist()
    except KvsweepError:
        raise
    except Exception as error:
        # Whatever a library finds wrong with bytes of a stranger's, and in its own words.
        raise KvsweepError(f"cannot be read as Parquet ({type(error).__name__})") from None
    return _vetted(rows, table)


def _vetted(rows: list[Row], table: str) -> list[Row]:
    # The column of that name says something else in a table of engines; an older table of models has none.
    own = rows if table == "engines" else [row for row in rows if (row["source"] or "measured") == "measured"]
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(own, start=1):
        problem = problem_with(row, table)
        cell = tuple(row[column] for column in CELL[table])
        if problem is None and cell in seen:
            problem = "the same cell stands in it twice"
        if problem is not None:
            raise KvsweepError(f"row {number} of those measured: {problem}")
        seen.add(cell)
    # The pair is said again from its two types, whoever wrote the file.
    return [row | {"pair": None} for row in own] if "pair" in TABLES[table].names else own


def _content(data: bytes, table: str, limits: Limits) -> pa.Table:
    file = pq.ParquetFile(io.BytesIO(data))
    described = file.metadata
    if described.num_rows > limits.rows or described.num_columns > _MOST_COLUMNS:
        raise KvsweepError(
            f"says that it has {described.num_rows} rows and {described.num_columns} columns; at most {limits.rows} "
            f"and {_MOST_COLUMNS} are read"
        )
    groups = [described.row_group(index) for index in range(described.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > limits.reader_bytes // 4:
        raise KvsweepError("is larger than a table of kvsweep")
    schema, written = TABLES[table], file.schema_arrow
    names = written.names
    if len(set(names)) != len(names):
        raise KvsweepError("has a column twice")
    if unknown := [column for column in names if column not in schema.names]:
        raise KvsweepError(
            f"has a column {shown(unknown[0])}, which this kvsweep does not know; a newer one may have written it"
        )
    if missing := [column for column in NEEDED[table] if column not in names]:
        raise KvsweepError(f"has no column {missing[0]!r}; it is not a table of kvsweep")
    for field in schema:
        if field.name in names and not _fits(found := written.field(field.name).type, field.type):
            raise KvsweepError(f"the column {field.name!r} is {shown(found)}, not {field.type}")
    content = file.read()
    arrays = [
        content[field.name].cast(field.type)
        if field.name in names
        else pa.nulls(content.num_rows, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column can be read as ``wanted``. A column without values may have the type null, as some tools
    write it."""
    if pa.types.is_list(wanted) and pa.types.is_list(found):
        return _fits(found.value_type, wanted.value_type)
    if pa.types.is_timestamp(wanted):
        return pa.types.is_timestamp(found) and found.tz is not None
    large = pa.types.is_large_string(found) and pa.types.is_string(wanted)
    return bool(found.equals(wanted) or pa.types.is_null(found) or large)


def read_all(tables: Mapping[str, bytes], limits: Limits = LIMITS) -> dict[str, list[Row]]:
    """The rows of each table. Raises Refused."""
    found = {}
    for table, data in tables.items():
        with refusing(member_of(table)):
            found[table] = read_given(data, table, limits)
    return found


def member_of(table: str) -> str:
    return f"tables/{table}.parquet"


# -- in a process of its own ------------------------------------------------------------------------------------------

_REFUSED = 3
_LIBRARY = Path(__file__).parents[2]
_CHILD = "import sys; from kvsweep.slices.given import main; main(*sys.argv[1:])"


def read_apart(tables: Mapping[str, bytes], limits: Limits = LIMITS) -> dict[str, list[Row]]:
    """``read_all`` in a process that is ended when it takes more memory or time than any table of ours needs."""
    if not tables:
        return {}
    with tempfile.TemporaryDirectory(prefix="kvsweep-slice-") as text:
        place = Path(text)
        for table, data in tables.items():
            (place / f"{table}.parquet").write_bytes(data)
        with (place / "stderr").open("w+b") as said:
            child = subprocess.Popen(
                [sys.executable, "-c", _CHILD, text, str(limits.rows), str(limits.reader_bytes)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONPATH": str(_LIBRARY)},
            )
            _watch(child, limits)
            said.seek(0)
            message = said.read(4096).decode("utf-8", errors="replace").strip()
        if child.returncode == _REFUSED:
            raise Refused(message)
        if child.returncode != 0:
            names = ", ".join(map(member_of, tables))
            raise Refused(f"{names}: cannot be read as Parquet: the reader crashed, or ran out of memory.")
        return {table: _vetted_rows(place / f"{table}.arrow") for table in tables}


def _vetted_rows(path: Path) -> list[Row]:
    with pa.OSFile(str(path), "rb") as file:
        rows: list[Row] = pa.ipc.open_file(file).read_all().to_pylist()
        return rows


def main(directory: str, rows: str, reader_bytes: str) -> None:
    """The program of the other process: it reads the tables that lie there, vets them and writes their rows again."""
    _limit_memory(int(reader_bytes))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    place = Path(directory)
    tables = {path.stem: path.read_bytes() for path in sorted(place.glob("*.parquet"))}
    try:
        found = read_all(tables, Limits(rows=int(rows), reader_bytes=int(reader_bytes)))
    except Refused as error:
        print(error, file=sys.stderr)
        raise SystemExit(_REFUSED) from None
    for table, of_table in found.items():
        content = pa.Table.from_pylist(of_table, schema=TABLES[table])
        with (
            pa.OSFile(str(place / f"{table}.arrow"), "wb") as file,
            pa.ipc.new_file(file, content.schema) as writer,
        ):
            writer.write_table(content)


def _limit_memory(most: int) -> None:
    """Limit this process's memory where the system can (Linux). The parent watches it everywhere."""
    import resource

    for name, value in (("RLIMIT_DATA", most), ("RLIMIT_CORE", 0)):
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))


def _watch(child: subprocess.Popen[bytes], limits: Limits) -> None:
    """Wait for the process; kill it at its limits. Raises Refused then."""
    import psutil

    process, deadline = psutil.Process(child.pid), time.monotonic() + limits.reader_seconds
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_POLL_SECONDS)
                return
            used = 0
            with suppress(psutil.Error):
                used = process.memory_info().rss
            if used > limits.reader_bytes:
                raise Refused("tables: take more memory to read than those of kvsweep do.")
            if time.monotonic() > deadline:
                raise Refused("tables: take longer to read than those of kvsweep do.")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
