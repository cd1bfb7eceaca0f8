"""What a program is: its text and that of every module of its package that it imports, directly or not.

What a rule makes is made anew when this changes. It is read from the import statements and kept by no hand; time stamps
and places are no part of it, so that another checkout of the same code is the same code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from kvsweep.files import not_readable

PACKAGE = "kvsweep"
_IMPORT = re.compile(
    rf"^\s*(?:from\s+({PACKAGE}[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+({PACKAGE}[\w.]*))",
    re.MULTILINE,
)


def code_identity(program: Path, data: Iterable[Path] = ()) -> str:
    """The sha256 of a program, of the modules that it imports and of the files ``data`` that it reads.

    Raises KvsweepError if a file cannot be read.
    """
    parts = [f"{path.name} {_read(path)[1]}" for path in {*program_files(program), *data}]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def program_files(program: Path) -> set[Path]:
    """The program and every module of its package that it imports, directly or not."""
    found, to_read = set(), [program]
    while to_read:
        path = to_read.pop()
        if path not in found:
            found.add(path)
            places = (program.parent / name.replace(".", "/") for name in _imports(_read(path)[0]))
            modules = (file for at in places for file in (at.with_suffix(".py"), at / "__init__.py"))
            to_read += [module for module in modules if module.is_file()]
    return found


@cache
def _read(path: Path) -> tuple[str, str]:
    """A file's text and its sha256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise not_readable(path, error) from error
    return content.decode("utf-8", errors="replace"), hashlib.sha256(content).hexdigest()


def _imports(text: str) -> set[str]:
    """What may be modules of the package in import statements: ``kvsweep.figures`` and ``kvsweep.figures.speed``."""
    dotted = set()
    for module, names, imported in _IMPORT.findall(text):
        dotted |= {module or imported, *(f"{module}.{name}" for name in re.findall(r"\w+", names))}
    return {".".join(name.split(".")[:n]) for name in dotted for n in range(2, name.count(".") + 2)}
