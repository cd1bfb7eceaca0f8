#!/usr/bin/env python
"""Fetches and builds one engine of the configuration, or takes ready binaries, and writes its build.json."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvsweep.engine import backends, build_manifest
from kvsweep.engine import build as engine_build
from kvsweep.engine import source as engine_source
from kvsweep.engine.identity import SCORER, engine_identity
from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, read_json, read_manifest, sha256, write_json
from kvsweep.program import add_base, run_program, say
from kvsweep.study.engines import Engine, parse_engine
from kvsweep.study.neighbours import link_or_copy, neighbours
from kvsweep.study.programs import MEASURING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the engine")
    parser.add_argument("--definition", required=True, help="the engine's part of the configuration, as JSON")
    add_base(parser)
    parser.add_argument("--threads", type=int, required=True, help="parallel compilations")
    parser.add_argument("--build-json", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    engine = parse_engine(arguments.name, arguments.definition)
    if engine.source_kind == "path":
        manifest = take_ready(engine, arguments.base)
    else:
        directory = arguments.build_json.parent
        before = built_with_less(engine, arguments.build_json)
        elsewhere = None if before else built_elsewhere(engine, directory, arguments.base)
        manifest = elsewhere or build_from_source(
            engine, directory, arguments.threads, before, arguments.base
        )
    write_json(arguments.build_json, manifest)
    say(f"engine {engine.name}: ready ({manifest['version']})")


def take_ready(engine: Engine, base: Path) -> dict[str, object]:
    directory = base / Path(engine.source["path"]).expanduser()
    if not directory.is_dir():
        raise KvsweepError(f"engines.{engine.name}.source.path: there is no directory {directory}.")
    return build_manifest.manifest(
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
            if path.parent.resolve() == directory.resolve() or made is None or "scorer" not in made:
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


def build_from_source(
    engine: Engine, directory: Path, threads: int, before: dict[str, object] | None, base: Path
) -> dict[str, object]:
    """Source and build stay in ``directory``/work until the build is good: a stopped build goes on where it was.

    Where the engine was built ``before`` with fewer programs, those stay as they are, and so does what they measured.
    """
    backend = backends.choose_backend(engine.backend)
    if backend != "sycl":
        engine_build.check_compiler()
    here = backends.options_here(backend, engine.cmake, f"engines.{engine.name}.backend")
    options = engine_build.cmake_options(backend, here, engine.cmake, engine.programs)
    work, binaries = directory / "work", directory / "bin"
    source = fetched_before(engine, work)
    if source is None:
        shutil.rmtree(work, ignore_errors=True)
        make_directory(work)
        say(f"engine {engine.name}: fetching {engine_source.describe(engine)}")
        source = engine_source.fetch(engine, work / "source", f"engines.{engine.name}.source", base)
        write_json(
            work / "source.json",
            {"definition": engine.source, "tree": str(source.tree.relative_to(work))}
            | {"commit": source.commit},
        )
    programs = more_programs(engine, before) if before else engine.programs
    say(f"engine {engine.name}: building {', '.join((*programs, SCORER))} for {backend} on {threads} cores")
    build_directory, log = work / "build", directory / "cmake.log"

    def tell(line: str) -> None:
        say(f"engine {engine.name}: {line}")

    engine_build.build(
        *(source.tree, build_directory, options, programs, threads, log, tell),
        lambda error: backends.hint(backend, error),
    )
    missing = None
    if before is None or "scorer" not in before:
        missing = engine_build.build_scorer(source.tree, build_directory, threads, log, tell)
    if missing:
        tell(f"no scorer: {missing}")
    if before is None:
        engine_build.collect(build_directory, binaries, engine.programs)
    else:
        for name in (*programs, *(() if missing or "scorer" in before else (SCORER,))):
            shutil.copy2(build_directory / "bin" / name, binaries / name)
    manifest = build_manifest.manifest(
        engine,
        binaries,
        backend=backend,
        commit=source.commit,
        options=options,
        compiler=build_manifest.compiler_used(build_directory),
        no_scorer=missing,
    )
    if before is not None:
        kept = {"scorer": before["scorer"]} if "scorer" in before else {}
        manifest = before | {name: manifest[name] for name in ("files", "programs", "scorer")} | kept
    shutil.rmtree(work)
    return manifest


def built_with_less(engine: Engine, build_json: Path) -> dict[str, object] | None:
    """build.json of this very engine, whole, but without the scorer or a program that it shall have; else None."""
    build = read_manifest(build_json)
    if build is None or build.get("definition") != engine_identity(engine):
        return None
    if "scorer" in build and not more_programs(engine, build):
        return None
    files = {Path(build["directory"], name): digest for name, digest in build["files"].items()}
    whole = all(path.is_file() and sha256(path) == digest for path, digest in files.items())
    return build if whole and Path(build["directory"]) == (build_json.parent / "bin").resolve() else None


def more_programs(engine: Engine, before: Mapping[str, Any]) -> tuple[str, ...]:
    """The programs that the engine shall have and had not before."""
    return tuple(name for name in engine.programs if name not in before.get("programs", MEASURING))


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
