"""What a row of a stranger's may say: names, finite numbers, plain text. Everything else is refused."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from kvsweep.slices.layout import NAME, TYPE, shown
from kvsweep.study.pairs import Pair
from kvsweep.study.tasks import KINDS
from kvsweep.tables.schemas import TABLES
from kvsweep.tables.status import STATUSES

# What a row cannot do without, and its value: of a table.
NEEDED = {
    "throughput": ("engine", "machine", "model", "ctk", "ctv", "depth", "phase", "n_tokens", "status"),
    "quality": ("engine", "machine", "model", "corpus", "n_ctx", "ctk", "ctv", "status"),
    "tasks": ("engine", "machine", "model", "task", "kind", "n_ctx", "ctk", "ctv", "status"),
    "task_items": ("engine", "machine", "model", "task", "kind", "ctk", "ctv", "item", "context"),
    "models": ("model",),
    "machines": ("machine_record", "machine"),
    "engines": ("engine",),
}
VALUE = {"throughput": "tokens_per_second", "quality": "kld_mean"}
_IDENTITY = ("engine", "engine_commit", "backend", "machine", "model", "model_sha256")
# What two rows of a table may not share.
CELL = {
    "throughput": (*_IDENTITY, "ctk", "ctv", "depth", "phase", "n_tokens", "round"),
    "quality": (*_IDENTITY, "ctk", "ctv", "corpus", "n_ctx", "method", "reference"),
    "tasks": (*_IDENTITY, "ctk", "ctv", "task"),
    "task_items": (*_IDENTITY, "ctk", "ctv", "task", "item"),
    "models": ("model", "model_sha256"),
    "machines": ("machine_record",),
    "engines": ("engine", "engine_commit", "backend"),
}
# Columns that quote an engine's or a model's output, in which anything may stand.
QUOTED = ("log_line", "reason", "fallback_why", "answer", "expected", "problem")

_NAMES = ("engine", "model", "corpus", "task")
_MOST_CHARACTERS = {"command": 16_384, "files": 1024}
_MANY_CHARACTERS, _MOST_ITEMS = 2048, 100_000
# These turn the direction of writing, so that what is read is not what is there.
_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffe\uffff]")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_FORMULA = re.compile(r"\s*[=+@-]")
_CMAKE_OPTION = re.compile(r"-D[A-Za-z0-9_]+(?::[A-Z]+)?=[\w./:;, +-]*")
# A difference, a logarithm, or zero within the arithmetic of a float.
_SIGNED = re.compile(r"kld_|ln_ppl_ratio|ppl_difference|drift_per_repetition")
_MOST_REAL, _MOST_INTEGER = 1e18, 2**60


def quoted(text: str) -> str:
    """A line of an engine's output as plain text: in one line, with no tag and no formula at its start."""
    plain = "".join(" " if _is_control(character) else character for character in text[:_MANY_CHARACTERS])
    return _TAG.sub("\u2039", _HIDDEN.sub(" ", plain)).lstrip(" =+@-")[: _MANY_CHARACTERS // 2]


def with_plain_quotes(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: quoted(row[name]) for name in QUOTED if isinstance(row.get(name), str)}


def problem_of_text(text: str, column: str = "") -> str | None:
    """What makes a text no plain one, as the end of a sentence; never the text itself."""
    most = _MOST_CHARACTERS.get(column, _MANY_CHARACTERS)
    if len(text) > most:
        return f"has {len(text)} characters, and at most {most} are read"
    if any(_is_control(character) for character in text) or _HIDDEN.search(text):
        return "has a control character"
    if _TAG.search(text):
        return "has an HTML tag"
    if _FORMULA.match(text) and not (column == "cmake_options" and _CMAKE_OPTION.fullmatch(text)):
        return "begins as a formula of a spreadsheet does"
    return None


def problem_with(row: Mapping[str, Any], table: str) -> str | None:
    """What makes a row of a table unusable, as the end of a sentence, if anything does."""
    schema = TABLES[table]
    for column in NEEDED[table]:
        if row.get(column) is None:
            return f"{column} is missing"
    for column, value in row.items():
        if value is not None and (problem := _problem_of(value, column, schema.field(column))) is not None:
            return f"{column} {problem}"
    for column in _NAMES:
        if row.get(column) is not None and not re.fullmatch(NAME, row[column]):
            return f"{column} is no name"
    return _problem_of_cell(row, table) if "ctk" in CELL[table] else None


def _problem_of_cell(row: Mapping[str, Any], table: str) -> str | None:
    if not (re.fullmatch(TYPE, row["ctk"]) and re.fullmatch(TYPE, row["ctv"])):
        return f"{shown(row['ctk'])} or {shown(row['ctv'])} is no cache type"
    try:
        Pair.parse(f"{row['ctk']}/{row['ctv']}")
    except ValueError as error:
        return str(error)
    if "status" in row and row["status"] not in STATUSES:
        return f"the status is {shown(row['status'])}, not one of {', '.join(STATUSES)}"
    if table == "throughput" and row["phase"] not in ("prefill", "decode"):
        return f"the phase is {shown(row['phase'])}, neither prefill nor decode"
    if row.get("kind") is not None and row["kind"] not in KINDS:
        return f"the kind is {shown(row['kind'])}, not one of {', '.join(KINDS)}"
    if row.get("n_ctx") == 0:
        return "n_ctx is 0"
    if table not in VALUE:
        return None
    value = row.get(VALUE[table])
    if (row["status"] == "measured") != (value is not None):
        return f"{VALUE[table]} is {value} at status {row['status']}"
    if value is not None and value <= 0 and table == "throughput":
        return f"{VALUE[table]} is {value}"
    if any(rate is None or rate <= 0 for rate in row.get("samples") or ()):
        return "a speed in samples is not above 0"
    return None


def _problem_of(value: Any, column: str, field: pa.Field) -> str | None:
    if isinstance(value, list):
        if len(value) > _MOST_ITEMS:
            return f"has {len(value)} items"
        problems = (_problem_of(item, column, field) for item in value if item is not None)
        return next((problem for problem in problems if problem is not None), None)
    if isinstance(value, dict):
        return _problem_of_part(value, field.type.value_type)
    match value:
        case bool():
            return None
        case str():
            return problem_of_text(value, column)
        case int():
            return None if 0 <= value <= _MOST_INTEGER else f"is {value}, which is negative or too large"
        case float():
            return _problem_of_real(value, column, field)
        case datetime():
            return None if 2000 <= value.year <= 2100 else f"is of the year {value.year}"
    return f"is {type(value).__name__}"


def _problem_of_part(part: Mapping[str, Any], fields: pa.StructType) -> str | None:
    """Of an item that has columns of its own, such as a part of a window's positions."""
    for name, value in part.items():
        if value is not None and (problem := _problem_of(value, name, fields.field(name))) is not None:
            return f"{name} {problem}"
    return None


def _problem_of_real(value: float, column: str, field: pa.Field) -> str | None:
    if not math.isfinite(value) or abs(value) > _MOST_REAL:
        return f"is {value}"
    if value < 0 and (column.endswith(("_stderr", "_rounding")) or not _SIGNED.match(column)):
        return f"is {value}, which is negative"
    if value > 1 and field.metadata[b"unit"] == b"fraction":
        return f"is {value}, and no share is above 1"
    return None


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
