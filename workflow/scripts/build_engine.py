#!/usr/bin/env python
"""Fetches and builds one engine of the configuration, or takes ready binaries, and writes its build.json."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from kvsweep.engine import backends
from kvsweep.engine import build as engine_build
from kvsweep.engine import source as engine_source
from kvsweep.engine.identity import engine_identity
from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, read_json, read_manifest, sha256, write_json
from kvsweep.program import run_program, say
from kvsweep.study.config import Engine, parse_engine
from kvsweep.study.neighbours import link_or_copy, neighbours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the engine")
    parser.add_argument("--definition", required=True, help="the engine's part of the configuration, as JSON")
    parser.add_argument(
        "--base", type=Path, default=Path(__file__).parents[2], help="where relative paths start"
    )
    parser.add_argument("--threads", type=int, required=True, help="parallel compilations")
    parser.add_argument("--build-json", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    engine = parse_engine(arguments.name, arguments.definition)
    if engine.source_kind == "path":
        manifest = take_ready(engine, arguments.base)
    else:
        directory = arguments.build_json.parent
        manifest = built_elsewhere(engine, directory, arguments.base) or build_from_source(
            engine, directory, arguments.threads
        )
    write_json(arguments.build_json, manifest)
    say(f"engine {engine.name}: ready ({manifest['version']})")


def take_ready(engine: Engine, base: Path) -> dict[str, object]:
    directory = base / Path(engine.source["path"]).expanduser()
    if not directory.is_dir():
        raise KvsweepError(f"engines.{engine.name}.source.path: there is no directory {directory}.")
    return engine_build.manifest(
        engine,
        directory,
        backend=engine.backend,
        commit=None,
        options={},
        compiler=None,
    )


def built_elsewhere(engine: Engine, directory: Path, base: Path) -> dict[str, object] | None:
    """The manifest of the same engine as another name or another study has built it; its files are here after this."""
    results = directory.parents[1]
    for place in (results, *neighbours(results, base)):
        for path in sorted(place.glob("engines/*/build.json")):
            made = read_manifest(path)
            if path.parent.resolve() == directory.resolve() or made is None:
                continue
            if made.get("definition") == engine_identity(engine) and take_over(
                engine, made, directory / "bin"
            ):
                say(f"engine {engine.name}: taken over from {path.parent}, which is the same engine")
                return {**made, "engine": engine.name, "directory": str((directory / "bin").resolve())}
    return None


def take_over(engine: Engine, made: dict[str, Any], binaries: Path) -> bool:
    """Whether the engine is there as its manifest says and has all programs; then its files are in ``binaries``."""
    there = Path(made["directory"])
    if not set(engine.programs) <= set(made.get("programs", ())):
        return False
    if any(not (there / name).is_file() or sha256(there / name) != it for name, it in made["files"].items()):
        return False
    shutil.rmtree(binaries, ignore_errors=True)
    make_directory(binaries)
    for name in made["files"]:
        link_or_copy(there / name, binaries / name)
    return True


def build_from_source(engine: Engine, directory: Path, threads: int) -> dict[str, object]:
    """Source and build stay in ``directory``/work until the build is good: a stopped build goes on where it was."""
    backend = backends.choose_backend(engine.backend)
    if backend != "sycl":
        engine_build.find_compiler()
    here = backends.options_here(backend, engine.cmake, f"engines.{engine.name}.backend")
    options = engine_build.cmake_options(backend, here, engine.cmake)
    work, binaries = directory / "work", directory / "bin"
    source = fetched_before(engine, work)
    if source is None:
        shutil.rmtree(work, ignore_errors=True)
        make_directory(work)
        say(f"engine {engine.name}: fetching {engine_source.describe(engine)}")
        source = engine_source.fetch(engine, work / "source", f"engines.{engine.name}.source")
        write_json(
            work / "source.json",
            {"definition": engine.source, "tree": str(source.tree.relative_to(work))}
            | {"commit": source.commit},
        )
    say(f"engine {engine.name}: building {', '.join(engine.programs)} for {backend} on {threads} cores")
    build_directory = work / "build"
    engine_build.build(
        source.tree,
        build_directory,
        options,
        engine.programs,
        threads,
        directory / "cmake.log",
        lambda line: say(f"engine {engine.name}: {line}"),
        lambda error: backends.hint(backend, error),
    )
    engine_build.collect(build_directory, binaries, engine.programs)
    manifest = engine_build.manifest(
        engine,
        binaries,
        backend=backend,
        commit=source.commit,
        options=options,
        compiler=engine_build.compiler_used(build_directory),
    )
    shutil.rmtree(work)
    return manifest


def fetched_before(engine: Engine, work: Path) -> engine_source.Source | None:
    """The source that an earlier, stopped build left, if it is what is wanted now."""
    try:
        left = read_json(work / "source.json")
    except KvsweepError:
        return None
    if left["definition"] != engine.source:
        return None
    return engine_source.Source(work / left["tree"], left["commit"])


if __name__ == "__main__":
    run_program(main)
