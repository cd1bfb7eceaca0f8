"""What a column of a table is: its name, type, unit and meaning; and what many tables have in common.

Columns are written as a text with a line for each, ``name | type | unit | meaning``; an indented line goes on with the
one before. A name that ends in ``±`` is three columns: the value and both ends of its interval. Unit and meaning travel
in each Parquet field's metadata under the keys ``unit`` and ``meaning``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from kvsweep.study.pairs import Pair

TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "integer32": pa.int32(),
    "real": pa.float64(),
    "real32": pa.float32(),
    "flag": pa.bool_(),
    "time": pa.timestamp("ms", tz="UTC"),
}
TYPES |= {f"{name}s": pa.list_(TYPES[name]) for name in ("text", "integer", "real", "flag")}


def field(name: str, kind: pa.DataType, unit: str, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "meaning": meaning})


def as_schema(*columns: str | pa.Field) -> pa.Schema:
    """The columns of these texts, in their order. With ``ctk`` and ``ctv`` there is ``pair`` as well: last, so that
    older readers find all columns where they were; ``as_table`` fills it."""
    fields = [one for text in columns for one in (_fields(text) if isinstance(text, str) else [text])]
    if {"ctk", "ctv"} <= {one.name for one in fields}:
        fields += _fields(
            "pair | text | | K and V as the configuration writes them: q8_0/turbo4; q8_0 for q8_0/q8_0"
        )
    return pa.schema(fields)


def as_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table. A row with a column that the schema does not know is a bug."""
    rows = list(rows)
    unknown = {name for row in rows for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"columns without a schema: {sorted(unknown)}")
    if "pair" in schema.names:
        rows = [{**row, "pair": _pair(row)} for row in rows]
    return pa.Table.from_pylist(rows, schema=schema)


def known_in(record: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """What a record says under the names of a table's columns."""
    return {name: record[name] for name in schema.names if name in record}


def _pair(row: Mapping[str, Any]) -> str | None:
    ctk, ctv = row.get("ctk"), row.get("ctv")
    return None if ctk is None or ctv is None else str(Pair(ctk, ctv))


def _fields(text: str) -> Iterator[pa.Field]:
    for line in filter(None, re.sub(r"\n +", " ", text).splitlines()):
        name, kind, unit, meaning = (part.strip() for part in line.split("|", 3))
        yield field(name.removesuffix("±"), TYPES[kind], unit, meaning)
        if name.endswith("±"):
            yield from _fields(ends(unit, name.removesuffix("±")))


def ends(unit: str, *names: str) -> str:
    """The columns of both ends of the intervals of these values."""
    return "".join(
        f"{name}_{end} | real | {unit} | {side} end of the interval of {name}, 95 % unless the table says otherwise;"
        " null where none is known\n"
        for name in names
        for end, side in (("low", "lower"), ("high", "upper"))
    )


SOURCE = (
    "source | text | | measured, published:NAME, slice:NAME, or slice:NAME + NAME of slices that were joined"
)

ENGINE_AND_MODEL = """
engine | text | | name of the engine in the configuration; of published rows as its source states it
engine_commit | text | | commit of the engine's source; null where it is not known
backend | text | | back end that the engine was built for
machine | text | | name of the machine that the cell ran on
model | text | | name of the model in the configuration
model_sha256 | text | | sha256 of the model's GGUF file
"""

# What must be equal for two numbers to be compared: the columns of ``row.SET_UP``.
SET_UP = f"{SOURCE}\n{ENGINE_AND_MODEL}"

ASKED_PAIR = """
ctk | text | | cache type of K that was asked for; TYPE+NAME of a pair with arguments of its own
ctv | text | | cache type of V that was asked for, likewise
"""

PAIR = f"""{ASKED_PAIR}
effective_ctk | text | | cache type of K that really ran, from the engine's log
effective_ctv | text | | cache type of V that really ran, from the engine's log
"""

SCORED = """
corpus | text | | name of the corpus in the configuration; null for what is about speed or memory
n_ctx | integer | tokens | context: length of a window; null for what is about speed or memory
"""
POSITIONS = """
positions | text | | what was scored of each window: half, or BLOCKSxTOKENS spread over it; null in older slices,
    published rows
"""

PHASE = """
phase | text | | prefill (prompt processing, pp) or decode (text generation, tg)
n_tokens | integer | tokens | tokens that one repetition processes or generates
"""

TASK = """
task | text | | name of the task in the configuration
kind | text | | recall, tool-call, trajectory or aider-polyglot
"""

OUTCOME = """
status | text | | measured, oom, unsupported, timeout, crashed or skipped
reason | text | | why the status is not 'measured', for a person; null where it is
"""

CACHE = """
kv_bytes | integer | bytes | size of the KV cache, from the engine's log
bits_per_value_k | real | bits | bits that one value of K takes, from the logged size
bits_per_value_v | real | bits | bits that one value of V takes, from the logged size
rotated_k | flag | | whether K was rotated before it was quantized, from the engine's log; null where caches differ
rotated_v | flag | | whether V was rotated before it was quantized, from the engine's log; null where caches differ
graph_splits | integer | | splits of the compute graph, from the engine's log
kv_devices | texts | | devices that hold layers of the KV cache, from the engine's log
fallback | flag | | work left the device: by the engine's own log (weights, cache or compute on the host, graph splits
    in every layer), or beside the f16/f16 cell of the same engine, model and size; null where neither tells
"""

# Each cache of the context by itself. A model with sliding windows or an indexer has several.
CACHES = """
cache_kinds | texts | | kind of each KV cache: full, window, indexer; null in it where not known; as logged
cache_layers | integers | | layers of each of cache_kinds
cache_cells | integers | tokens | cells of each of cache_kinds, in each stream
cache_streams | integers | | streams of each of cache_kinds
cache_bytes | integers | bytes | size of each of cache_kinds, to the two decimals of a MiB in the log
recurrent_bytes | integer | bytes | state of recurrent layers, as logged; no part of kv_bytes
n_ctx_train | integer | tokens | context that the model was trained for
"""

PROOFS = """
fallback_why | text | | what shows that work left the device; null where nothing does
cache_rotated_k | flags | | whether K of each of cache_kinds is rotated; null in it where not logged
cache_rotated_v | flags | | whether V of each of cache_kinds is rotated; null in it where not logged
"""

PROCESS = f"""
wall_seconds | real | s | wall time of the cell's engine process
peak_rss_bytes | integer | bytes | largest resident memory of the cell's engine process
started_at | time | UTC | when the cell's engine process was started
{SOURCE}
"""

# Behind the columns that every reader may rely on: what the report needs to show the evidence.
EVIDENCE = """
log_line | text | | the line of the engine's output that the status rests on; null where none
command | text | | the engine's command line, with the environment it was given
load_before | real | | the machine's load average (1 minute) before the engine was started
busy_cores_before | real | cores | cores that other programs kept busy in the tenth of a second before the engine was
    started
attempts | integer | | how often the engine was started for this cell
host | text | | host or node that the cell ran on
machine_record | text | | row of the table of machines: what the machine was when the cell ran
power_source | text | | AC Power, Battery Power or UPS Power; null where the machine does not say
low_power_mode | flag | | whether the machine saved power
thermal_state | text | | nominal, or what the machine limited because it was hot
slowed_by | texts | | what held an NVIDIA GPU's clocks down before the engine was started
gpu_users | texts | | other programs that used the GPU before the engine was started
available_memory_bytes | integer | bytes | memory that was free for a new program before the engine was started
swap_used_bytes | integer | bytes | memory that was swapped out before the engine was started
suspended_seconds | real | s | how long the machine slept, or the engine was stopped, while it ran; not part of
    wall_seconds
"""

# Of every table in which rows of others stand.
FROM = """
slice | text | | the slice that the row is from, as the configuration names it; null for all others
made_from | text | | raw: made here of the slice's raw logs; tables: as its own tables say it; null for all others
"""
FAMILY = """
engine_family | text | | kind of llama.cpp, by the cache types that the engine has beside mainline's; null where not
    known
"""
