"""Which files make an engine: its programs, and the libraries that they load from beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvsweep.errors import KvsweepError
from kvsweep.study.programs import MEASURING, SERVER

if TYPE_CHECKING:
    # With it comes pydantic, which no cell waits for.
    from kvsweep.study.engines import Engine

# kvsweep's own program, built with the engine (scorer/). It reads what the engine computes; that is the tools' too, by
# which an engine is known. So a scorer of another version measures no cell again.
SCORER = "kvsweep-scorer"
_OTHERWISE = "quality.method to perplexity for the contexts of this engine"
_LIBRARIES = ("*.so", "*.so.*", "*.dylib", "*.metallib", "ggml-metal.metal")


def check_has_scorer(engine: str, build: Mapping[str, Any] | None, directory: Path | None = None) -> None:
    """Raise KvsweepError if an engine has no scorer. ``build`` is its build.json; of ready binaries what lies in their
    ``directory`` counts."""
    why, what = None, f"take another commit of the engine, or set {_OTHERWISE}"
    if directory is not None and directory.is_dir() and not (directory / SCORER).is_file():
        why = f"there is no {SCORER} in {directory}"
        what = f"build it for this llama.cpp and put it there (scorer/README.md), or set {_OTHERWISE}"
    elif directory is None and build is not None:
        why = (build.get("scorer") or {"missing": "it was built before kvsweep had one"}).get("missing")
    if why is not None:
        raise KvsweepError(f"engines.{engine}: has no scorer, which quality.method asks for: {why}; {what}.")


def engine_files(directory: Path, programs: Collection[str]) -> list[Path]:
    """The engine's files in a directory, by name, links among them."""
    return [
        path
        for path in sorted(directory.iterdir())
        if path.is_file() and (path.name in programs or any(map(path.match, _LIBRARIES)))
    ]


def measuring_files(files: Mapping[str, str], programs: Collection[str]) -> dict[str, str]:
    """The ``files`` (sha256 by name) that measurements depend on: all but the ``programs`` that measure nothing."""
    others = {*programs, SCORER, SERVER}
    return {name: digest for name, digest in files.items() if name in MEASURING or name not in others}


def engine_identity(engine: Engine) -> dict[str, Any]:
    """What measurements with an engine depend on, as the configuration says it.

    A commit or a checksum is the source, wherever it was fetched from; of ready binaries only the files count.
    """
    same = {"git": ("commit", "tree"), "pypi": ("version", "sha256", "tree"), "path": ()}[engine.source_kind]
    return {
        "source": {engine.source_kind: {name: engine.source[name] for name in same if name in engine.source}},
        "backend": engine.backend,
        "cmake": dict(sorted(engine.cmake.items())),
        "env": dict(sorted(engine.env.items())),
        # Only where there are any: what was measured before there could be is what it was.
        **({"arguments": given} if (given := engine.arguments.as_dict()) else {}),
    }


def address_of(engine: Engine) -> str | None:
    """Where its source is fetched from. No part of its identity: the same commit from elsewhere is the same source."""
    return engine.source.get("url") or engine.source.get("package")
