"""What a program is, as far as its results can depend on it: its code and that of every module it imports.

Comments, docstrings, formatting and time stamps are no part of it. What a rule makes is made anew when this changes, so
it is read from the import statements and kept by no hand.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from kvsweep.errors import KvsweepError
from kvsweep.files import not_readable, write_json

PACKAGE = "kvsweep"


def code_identity(program: Path, data: Iterable[Path] = (), memory: Path | None = None) -> str:
    """The sha256 of a program's code, of the modules of its package that it imports, directly or not, and of ``data``.

    ``memory`` is a JSON file that keeps what was found in each file; a lost or damaged one only costs time. Raises
    KvsweepError if a file cannot be read or is not Python.
    """
    known = _remembered(memory)
    found = {**_walk(program, known), **{path: _of_file(path, known) for path in data}}
    if memory is not None and any(known.get(str(path)) != entry for path, entry in found.items()):
        with suppress(KvsweepError):
            write_json(memory, {**known, **{str(path): entry for path, entry in found.items()}})
    # By name and not by path: another checkout of the same code is the same code.
    parts = sorted(f"{path.name} {entry['sha256']}" for path, entry in found.items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def program_files(program: Path) -> list[Path]:
    """The program and every module of its package that it imports, directly or not."""
    return list(_walk(program, {}))


def _walk(program: Path, known: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    found: dict[Path, dict[str, Any]] = {}
    to_read = [program]
    while to_read:
        path = to_read.pop()
        if path not in found:
            found[path] = _of_file(path, known)
            places = (program.parent / PACKAGE / name.replace(".", "/") for name in found[path]["imports"])
            modules = (file for at in places for file in (at.with_suffix(".py"), at / "__init__.py"))
            to_read += [module for module in modules if module.is_file()]
    return found


def _remembered(memory: Path | None) -> dict[str, Any]:
    if memory is not None:
        with suppress(OSError, ValueError):
            known = json.loads(memory.read_text(encoding="utf-8"))
            if isinstance(known, dict):
                return known
    return {}


def _of_file(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    try:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        entry = known.get(str(path))
        if isinstance(entry, dict) and entry.get("stamp") == stamp and "sha256" in entry:
            return entry
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise not_readable(path, error) from error
    if path.suffix == ".py":
        meaning, imports = python_meaning(text, path)
        more = {"imports": imports}
    else:
        meaning, more = data_meaning(text, path.suffix), {}
    return {
        "stamp": stamp,
        "sha256": hashlib.sha256(meaning.encode(errors="surrogateescape")).hexdigest(),
        **more,
    }


def python_meaning(text: str, path: Path) -> tuple[str, list[str]]:
    """The code without comments, docstrings and layout; and the modules of the package that it imports."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise KvsweepError(f"{path}:{error.lineno}: not valid Python ({error.msg}).") from None
    imports: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    imports |= _modules(alias.name)
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    imports |= _modules(f"{module}.{alias.name}")
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    node.body = node.body[1:]
    return ast.dump(tree), sorted(imports)


def _modules(name: str) -> set[str]:
    """What may be a module of the package in a dotted name, without the package: ``figures`` and ``figures.speed``."""
    package, *inner = name.split(".")
    return {".".join(inner[:n]) for n in range(1, len(inner) + 1)} if package == PACKAGE else set()


def data_meaning(text: str, suffix: str) -> str:
    """What a program reads from a data file: of YAML and CSV the values, of a template all but its comments."""
    if suffix in (".yaml", ".yml"):
        with suppress(yaml.YAMLError):
            return json.dumps(yaml.safe_load(text), default=str)
    if suffix == ".csv":
        return json.dumps(list(csv.reader(io.StringIO(text))))
    if suffix == ".j2":
        return re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    return text
