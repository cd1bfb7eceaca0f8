"""What build.json says of an engine: everything that makes it what it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from kvsweep.engine.build import compiler_version
from kvsweep.engine.environment import engine_environment
from kvsweep.engine.identity import SCORER, address_of, engine_files, engine_identity
from kvsweep.engine.source import describe
from kvsweep.errors import KvsweepError, UnparsableOutput
from kvsweep.files import sha256
from kvsweep.program import last_line
from kvsweep.study.engines import Engine
from kvsweep.study.programs import PERPLEXITY

_FLAGS = re.compile(
    r"^(CMAKE_(?:C|CXX|CUDA|HIP|OBJC|EXE_LINKER|SHARED_LINKER)_FLAGS):\w+=[ \t]*(\S.*?)\s*$", re.MULTILINE
)
# What llama-perplexity --help says.
_ALLOWED = re.compile(r"--cache-type-k TYPE\b[^\n]*\n\s*allowed values: ([\w, \n]+?)\s*\(")
_VERBOSITY = re.compile(r"^ *(-lv|--verbosity)\b.*\n(?:(?! *-{1,2}[a-z]).*\n)*", re.M)
_DEBUG_LEVEL = re.compile(r"^ *- (\d+): debug\b", re.M)


def manifest(
    engine: Engine,
    binaries: Path,
    *,
    backend: str,
    commit: str | None,
    options: Mapping[str, str],
    compiler: str | None,
    no_scorer: str | None = None,
) -> dict[str, object]:
    """What build.json says: everything that makes this engine what it is, and nothing that changes by itself.

    ``no_scorer`` says why the engine has no scorer, where that is known.
    """
    missing = [name for name in engine.programs if not (binaries / name).is_file()]
    if missing:
        raise KvsweepError(f"engines.{engine.name}: {binaries} has no program {missing[0]!r}.")
    # Said now, and not by the first cell that needs it, which may be hours away.
    no_programs = [name for name in engine.programs if not os.access(binaries / name, os.X_OK)]
    if no_programs:
        program = binaries / no_programs[0]
        raise KvsweepError(f"engines.{engine.name}: {program} is not executable; chmod +x {program}.")
    shown = run_for_text(binaries / PERPLEXITY, engine.env, "--help")
    try:
        types = accepted_cache_types(shown)
    except UnparsableOutput:
        said = last_line(shown) or "nothing"
        raise KvsweepError(
            f"engines.{engine.name}: {binaries / 'llama-perplexity'} --help does not list its cache types; "
            f"its last line is: {said}"
        ) from None
    version = run_for_text(binaries / PERPLEXITY, engine.env, "--version")
    files = engine_files(binaries, (*engine.programs, SCORER))
    return {
        "format": 1,
        "engine": engine.name,
        "definition": engine_identity(engine),
        "programs": list(engine.programs),
        "source_kind": engine.source_kind,
        "source": describe(engine),
        "address": address_of(engine),
        "commit": commit,
        "backend": backend,
        "cmake_options": [f"{name}={value}" for name, value in options.items()],
        "compiler": compiler,
        "environment": engine.env,
        "arguments": engine.arguments.as_dict(),
        "directory": str(binaries.resolve()),
        "files": {file.name: sha256(file) for file in files},
        "scorer": scorer_of(binaries, engine.env, no_scorer),
        "cache_types": None if types is None else list(types),
        "log_arguments": list(verbose_arguments(shown)),
        "version": next((line.strip() for line in version.splitlines() if line.startswith("version")), None),
    }


def scorer_of(binaries: Path, environment: Mapping[str, str], missing: str | None) -> dict[str, object]:
    """What build.json says of the scorer: what this engine's llama.h offers it, or why it is missing."""
    program = binaries / SCORER
    if not program.is_file():
        return {"missing": missing or f"{binaries} has no program {SCORER}"}
    shown = run_for_text(program, environment, "--features")
    try:
        return {"features": json.loads(shown)}
    except json.JSONDecodeError:
        raise KvsweepError(f"{program} --features: printed no JSON but {shown.strip()[:200]!r}.") from None


def compiler_used(build_directory: Path) -> str | None:
    """The compiler's own version, and the flags that it was given beyond llama.cpp's, from CMake's cache.

    CMake takes flags from the shell's CXXFLAGS, CFLAGS, CUDAFLAGS, LDFLAGS when it configures a build.
    """
    cache = (build_directory / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    match = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache, re.MULTILINE)
    version = compiler_version(match[1]) if match else None
    flags = [f"{name}={value}" for name, value in _FLAGS.findall(cache)]
    return "; ".join([version, *flags]) if version else None


def run_for_text(program: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """What a program prints, on both streams. Raises KvsweepError if it cannot be started."""
    try:
        done = subprocess.run(
            [str(program), *arguments],
            env=engine_environment(os.environ, environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KvsweepError(f"{program}: cannot be run ({error}).") from error
    return done.stdout


def accepted_cache_types(help_text: str) -> tuple[str, ...] | None:
    """The cache types listed in ``llama-perplexity --help`` (``common/arg.cpp``), on one line or several.

    None where it names the option and lists no values, as ik_llama.cpp's does: then the engine says so when it is asked
    for one that it does not know. Raises UnparsableOutput for a help that is none.
    """
    allowed = _ALLOWED.search(help_text)
    if allowed is None and "--cache-type-k" in help_text and "allowed values" not in help_text:
        return None
    if allowed is None:
        raise UnparsableOutput("the engine's --help does not list the allowed values of --cache-type-k")
    types = tuple(name for name in re.split(r",\s*", allowed[1]) if name)
    if not all(re.fullmatch(r"\w+", name) for name in types):
        raise UnparsableOutput(f"the engine's --help lists unknown cache types: {allowed[1]!r}")
    return types


def verbose_arguments(help_text: str) -> tuple[str, str]:
    """How llama-perplexity is told to print what it does with every layer, by its ``--help``.

    The level called debug is 5 since 2026-05-14 (pull request 23021) and was 4; builds whose help does not number the
    levels print all of it at 4. ik_llama.cpp calls the option ``--verbosity``.
    """
    option = _VERBOSITY.search(help_text)
    level = option and _DEBUG_LEVEL.search(option[0])
    return option[1] if option else "-lv", level[1] if level else "4"
