"""Builds an engine with CMake and says what came of it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import IO

from kvsweep.engine.backends import options_of
from kvsweep.engine.identity import SCORER, engine_files
from kvsweep.errors import KvsweepError
from kvsweep.files import CHECKOUT, check_room, not_writable
from kvsweep.machine.children import run_to_its_end
from kvsweep.machine.probe import output
from kvsweep.study.programs import SERVER

# Options of llama.cpp's own CMakeLists: only the programs, and nothing that has to be installed beside them.
_COMMON_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "CMAKE_BUILD_RPATH_USE_ORIGIN": "ON",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
}
# llama-server without its web pages, which the build would fetch.
_SERVER_OPTIONS = {
    "LLAMA_BUILD_SERVER": "ON",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_BUILD_WEBUI": "OFF",
}
# kvsweep's own program for divergence at any depth, one more target of the engine's tree. A variable of CMake's, no
# option of the engine's: it leaves the engine's programs as they are.
_SCORER_DEFINE = f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={CHECKOUT / 'scorer' / 'inject.cmake'}"
# What a full disk, or too little memory for a compiler, does to a build: it says nothing of the engine.
_NOT_OF_THE_ENGINE = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Cannot allocate memory|memory exhausted|Killed signal"
)
_PROGRESS = re.compile(r"^\[\s*(\d+)% ")
# What a tool calls an error, in every tool's words; also where it stands at the beginning of a line.
_ERROR = re.compile(
    r"^(?:(?:.+?: )?(?:fatal )?error: .+|.*\bundefined reference to .+|ld: .+|nvcc fatal\s*: .+|CMake Error.*"
    r"|.+: not found)$"
)
# A longer one is cut; the log has it whole.
_MOST_CHARACTERS = 600


def cmake_options(
    backend: str, here: Mapping[str, str], configured: Mapping[str, str], programs: Collection[str] = ()
) -> dict[str, str]:
    """All options of the build: what every build has, what the back end, the programs and this machine want, what the
    user wants."""
    server = _SERVER_OPTIONS if SERVER in programs else {}
    return {**_COMMON_OPTIONS, **server, **options_of(backend), **here, **configured}


def check_compiler() -> None:
    """Raise KvsweepError if there is no C++ compiler that CMake could take."""
    named = os.environ.get("CXX")
    candidates = [named] if named else ["c++", "g++", "clang++"]
    if not any(map(compiler_version, candidates)):
        raise KvsweepError(
            f"no C++ compiler: {', '.join(candidates)} not found or not working; install one "
            "(Debian, Ubuntu: apt install g++; macOS: xcode-select --install) and run again."
        )


def build(
    source_tree: Path,
    build_directory: Path,
    options: Mapping[str, str],
    programs: Sequence[str],
    threads: int,
    log: Path,
    say: Callable[[str], None],
    explain: Callable[[str], str] = lambda _error: "",
) -> None:
    """Configure, and build ``programs``; everything the tools print goes to ``log``, percentages to ``say``.

    Raises KvsweepError with the first error, and with what ``explain`` makes of it.
    """
    configure = ["cmake", "-G", "Ninja", "-S", str(source_tree), "-B", str(build_directory)]
    configure += [f"-D{name}={value}" for name, value in options.items()] + [_SCORER_DEFINE]
    steps = [("configure", configure)]
    if programs:
        steps.append(("build", _compile(build_directory, threads, programs)))
    with _opened(log, "w") as log_file:
        for step, command in steps:
            log_file.write(f"$ {' '.join(command)}\n")
            status, lines = _run_step(command, _environment(source_tree), log_file, say)
            if status != 0:
                check_room("\n".join(lines), build_directory)
                reason = first_error(lines) or _shortened(lines[-3:]) or f"cmake ended with status {status}"
                raise KvsweepError(
                    f"cmake could not {step} the engine: {reason}{explain(reason)} (whole log: {log})"
                )


def build_scorer(
    source_tree: Path, build_directory: Path, threads: int, log: Path, say: Callable[[str], None]
) -> str | None:
    """Build the scorer in a configured build; None if that went well, else why there is none, in a sentence.

    An engine without a scorer is an engine: its tools are built before this. Raises KvsweepError where the machine
    stopped the build: its manifest would say for ever that there is none.
    """
    command = _compile(build_directory, threads, [SCORER])
    with _opened(log, "a") as log_file:
        log_file.write(f"$ {' '.join(command)}\n")
        status, lines = _run_step(command, _environment(source_tree), log_file, say)
    missing = build_directory / "bin" / f"{SCORER}.missing"
    if missing.is_file():
        return missing.read_text(encoding="utf-8").strip()
    if status < 0 or any(map(_NOT_OF_THE_ENGINE.search, lines)):
        why = first_error(lines) or _shortened(lines[-3:])
        raise KvsweepError(f"the scorer was not built: {why}; make room, and start again (whole log: {log})")
    if status != 0:
        return f"it cannot be built with this engine: {first_error(lines) or f'cmake ended with status {status}'}"
    return None


@contextmanager
def _opened(log: Path, mode: str) -> Iterator[IO[str]]:
    try:
        with log.open(mode, encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise not_writable(log, error) from error


def _compile(build_directory: Path, threads: int, programs: Sequence[str]) -> list[str]:
    return ["cmake", "--build", str(build_directory), "--parallel", str(threads), "--target", *programs]


def _environment(source_tree: Path) -> dict[str, str]:
    # Without the ceiling the build would take the commit of whatever repository encloses the tree.
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "NINJA_STATUS": "[%p %f/%t] ",
        "GIT_CEILING_DIRECTORIES": str(source_tree.resolve().parent),
        "CLICOLOR_FORCE": "0",
    }


def first_error(lines: Sequence[str]) -> str | None:
    """The first error of a compiler, linker or CMake in a build's output, with what CMake says below it.

    Where no line is known as an error: what stands below the step that ninja calls failed, without its command.
    """
    for index, line in enumerate(lines):
        if _ERROR.match(line):
            below = _indented(lines[index + 1 :]) if line.startswith("CMake Error") else []
            return _shortened([line.strip(), *below])
    for index, line in enumerate(lines):
        if line.startswith("FAILED: "):
            following = takewhile(lambda text: not text.startswith("ninja: "), lines[index + 2 :])
            return _shortened([line.strip(), *(text.strip() for text in following)])
    return None


def _indented(lines: Iterable[str]) -> list[str]:
    """CMake's own words about an error: what is indented below it, up to the first line that is not."""
    words = takewhile(lambda line: not line.strip() or line.startswith(" "), lines)
    return [line.strip() for line in words if line.strip()]


def _shortened(parts: Iterable[str]) -> str:
    text = " ".join(filter(None, parts))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def collect(build_directory: Path, binaries: Path, programs: Sequence[str]) -> None:
    """Copy the programs, and shared libraries where the options asked for them, into one directory."""
    shutil.rmtree(binaries, ignore_errors=True)
    binaries.mkdir(parents=True)
    for file in engine_files(build_directory / "bin", (*programs, SCORER)):
        shutil.copy2(file, binaries / file.name, follow_symlinks=False)


def _run_step(
    command: Sequence[str],
    environment: Mapping[str, str],
    log_file: IO[str],
    say: Callable[[str], None],
) -> tuple[int, list[str]]:
    """Exit status and lines of a step of the build. Raises KvsweepError if it cannot be started."""
    lines: list[str] = []
    said = -1

    def hear(line: str) -> None:
        nonlocal said
        lines.append(line.rstrip())
        log_file.write(line)
        match = _PROGRESS.match(line)
        if match and int(match[1]) // 5 > said:
            said = int(match[1]) // 5
            say(line.rstrip())

    try:
        return run_to_its_end(command, environment, together=True, hear=hear).returncode, lines
    except (FileNotFoundError, PermissionError) as error:
        raise KvsweepError(
            f"{command[0]}: cannot be started ({error.strerror}); run `make setup` first."
        ) from error


def compiler_version(program: str) -> str | None:
    """The first line of what a compiler says of itself; None where it cannot be run."""
    said = output(program, "--version", seconds=60)
    return said.splitlines()[0] if said else None
