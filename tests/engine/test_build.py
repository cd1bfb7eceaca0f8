"""Building an engine, and what is said when that fails."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvsweep.engine import build as engine_build
from kvsweep.engine import build_manifest
from kvsweep.engine.build import collect, first_error
from kvsweep.engine.build_manifest import manifest
from kvsweep.errors import KvsweepError
from kvsweep.study.engines import Engine
from support import STAND_IN

GCC = """\
[ 12% 3/25] Building CXX object ggml/src/CMakeFiles/ggml-base.dir/ggml.cpp.o
FAILED: ggml/src/CMakeFiles/ggml-base.dir/ggml.cpp.o
/usr/bin/c++ -DGGML_BUILD -O3 -o ggml.cpp.o -c /src/ggml/src/ggml.cpp
/src/ggml/src/ggml.cpp: In function 'void f()':
/src/ggml/src/ggml.cpp:12:3: warning: unused variable 'x' [-Wunused-variable]
/src/ggml/src/ggml.cpp:14:10: error: 'undeclared' was not declared in this scope
   14 |   return undeclared;
/src/ggml/src/ggml.cpp:15:1: error: expected '}' at end of input
ninja: build stopped: subcommand failed.
"""
NO_HEADER = """\
/src/ggml/src/ggml-vulkan/ggml-vulkan.cpp:9:10: fatal error: vulkan/vulkan.hpp: No such file or directory
    9 | #include <vulkan/vulkan.hpp>
compilation terminated.
"""
LINKER = """\
[100% 25/25] Linking CXX executable bin/llama-bench
/usr/bin/ld: libggml.a(ggml.c.o): in function `ggml_graph_compute':
ggml.c:(.text+0x1234): undefined reference to `GOMP_parallel'
collect2: error: ld returned 1 exit status
"""
APPLE_LINKER = """\
ld: library 'omp' not found
clang++: error: linker command failed with exit code 1 (use -v to see invocation)
"""
CMAKE = """\
-- The CXX compiler identification is GNU 12.2.0
CMake Error at ggml/CMakeLists.txt:270 (message):

  Could NOT find CUDAToolkit (missing: CUDAToolkit_NVCC_EXECUTABLE)

Call Stack (most recent call first):
  CMakeLists.txt:12 (add_subdirectory)
-- Configuring incomplete, errors occurred!
"""
NVCC = """\
FAILED: ggml/src/ggml-cuda/CMakeFiles/ggml-cuda.dir/acc.cu.o
nvcc fatal   : Unsupported gpu architecture 'compute_120'
"""
CMAKE_LONG = """\
CMake Error at CMakeLists.txt:120 (find_package):
  Could not find a package configuration file provided by "Vulkan" with any
  of the following names:

    VulkanConfig.cmake

  Add the installation prefix of "Vulkan" to CMAKE_PREFIX_PATH.


-- Configuring incomplete, errors occurred!
"""
NINJA = """\
ninja: error: '/src/common/build-info.cpp.in', needed by 'common/build-info.cpp', missing and no known rule to make it
"""
SHELL = """\
FAILED: [code=127] ggml/acc.air
cd /src && xcrun -sdk macosx metal -c acc.metal
/bin/sh: 1: xcrun: not found
ninja: build stopped: subcommand failed.
"""
OWN_WORDS = """\
[2/9] Generating build details from Git
FAILED: [code=1] common/license.cpp
/usr/bin/python3 /src/scripts/license.py
Traceback (most recent call last):
KeyError: 'MIT'
ninja: build stopped: subcommand failed.
"""
CMAKE_SHORT = 'CMake Error: The source directory "/src" does not appear to contain CMakeLists.txt.\n'


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (GCC, "/src/ggml/src/ggml.cpp:14:10: error: 'undeclared' was not declared in this scope"),
        (
            NO_HEADER,
            "/src/ggml/src/ggml-vulkan/ggml-vulkan.cpp:9:10: fatal error: vulkan/vulkan.hpp: No such file or directory",
        ),
        (LINKER, "ggml.c:(.text+0x1234): undefined reference to `GOMP_parallel'"),
        (APPLE_LINKER, "ld: library 'omp' not found"),
        (
            CMAKE,
            "CMake Error at ggml/CMakeLists.txt:270 (message): "
            "Could NOT find CUDAToolkit (missing: CUDAToolkit_NVCC_EXECUTABLE)",
        ),
        (
            CMAKE_LONG,
            "CMake Error at CMakeLists.txt:120 (find_package): Could not find a package configuration file provided by "
            '"Vulkan" with any of the following names: VulkanConfig.cmake Add the installation prefix of "Vulkan" to '
            "CMAKE_PREFIX_PATH.",
        ),
        (NINJA, NINJA.strip()),
        (SHELL, "/bin/sh: 1: xcrun: not found"),
        (
            OWN_WORDS,
            "FAILED: [code=1] common/license.cpp Traceback (most recent call last): KeyError: 'MIT'",
        ),
        ("error: unknown target CPU 'apple-m9'\n", "error: unknown target CPU 'apple-m9'"),
        (NVCC, "nvcc fatal   : Unsupported gpu architecture 'compute_120'"),
        (CMAKE_SHORT, CMAKE_SHORT.strip()),
        ("[100% 25/25] Linking CXX executable bin/llama-bench\n", None),
        ("[ 3% 1/25] Building CXX object src/CMakeFiles/error.dir/error.cpp.o\n", None),
    ],
)
def test_the_first_error(output: str, error: str | None) -> None:
    assert first_error(output.splitlines()) == error


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KvsweepError) as caught:
        engine_build.check_compiler()
    assert str(caught.value) == (
        "no C++ compiler: c++, g++, clang++ not found or not working; install one "
        "(Debian, Ubuntu: apt install g++; macOS: xcode-select --install) and run again."
    )
    # Without its command line tools a Mac has a c++ that only says that they are missing.
    script(tmp_path / "c++", "echo 'xcode-select: note: no developer tools were found' >&2; exit 1")
    with pytest.raises(KvsweepError, match=r"no C\+\+ compiler"):
        engine_build.check_compiler()
    script(tmp_path / "g++", "echo g++ 14")
    engine_build.check_compiler()


def test_a_compiler_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = script(tmp_path / "my-c++", "echo my-c++ 1")
    monkeypatch.setenv("CXX", str(mine))
    engine_build.check_compiler()
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(KvsweepError, match="none not found or not working"):
        engine_build.check_compiler()


@pytest.fixture
def cmake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in the place of cmake; the build finds it beside the Python that runs."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    def put(body: str) -> None:
        script(tmp_path / "cmake", body)

    return put


def build(tmp_path: Path, said: list[str]) -> None:
    engine_build.build(
        tmp_path / "source", tmp_path / "build", {"A": "1", "B": "x y"}, ["llama-bench"], 2, tmp_path / "cmake.log",
        said.append,
    )  # fmt: skip


def test_a_build_says_how_far_it_is(tmp_path: Path, cmake: Callable[[str], None]) -> None:
    cmake('for n in 1 2 3 7 50 100; do printf "[%3d%% $n/100] Building CXX object\\n" $n; done')
    said: list[str] = []
    build(tmp_path, said)
    # Twice, for the program stands in for both steps; and not for every file.
    assert said == [f"[{n:3d}% {n}/100] Building CXX object" for n in (1, 7, 50, 100)] * 2
    log = (tmp_path / "cmake.log").read_text()
    assert f"$ cmake -G Ninja -S {tmp_path}/source -B {tmp_path}/build -DA=1 -DB=x y -DCMAKE_PROJECT_" in log
    assert f"$ cmake --build {tmp_path}/build --parallel 2 --target llama-bench\n" in log
    assert "[  2% 2/100]" in log


def test_a_build_that_fails_names_the_error_and_the_log(tmp_path: Path, cmake: Callable[[str], None]) -> None:
    (tmp_path / "said").write_text(GCC)
    cmake(f'[ "$1" = -G ] || {{ cat {tmp_path}/said; exit 1; }}')
    with pytest.raises(KvsweepError) as caught:
        build(tmp_path, [])
    assert str(caught.value) == (
        "cmake could not build the engine: /src/ggml/src/ggml.cpp:14:10: error: 'undeclared' was not declared in this "
        f"scope (whole log: {tmp_path}/cmake.log)"
    )
    assert (tmp_path / "cmake.log").read_text().endswith(GCC)


@pytest.mark.parametrize("step", ["-G", "--build"])
def test_a_full_disk_is_said_in_place_of_what_follows_from_it(
    tmp_path: Path, cmake: Callable[[str], None], step: str
) -> None:
    """As a real build on one of 200 KiB, which ends with a compiler that makes no test program, and on one of 2 MiB."""
    full = "x.s: Fatal error: can't write 891 bytes to section .text of x.o: 'No space left on device'"
    cmake(f'[ "$1" != {step} ] || {{ echo "{full}"; echo "CMake Error at C.cmake:65 (message):"; exit 1; }}')
    with pytest.raises(
        KvsweepError, match=r"/build: No space left on device; free disk space, here and in /"
    ):
        build(tmp_path, [])


def test_a_log_that_cannot_be_written(tmp_path: Path, cmake: Callable[[str], None]) -> None:
    cmake("exit 0")
    (tmp_path / "cmake.log").symlink_to("/dev/full")
    with pytest.raises(KvsweepError, match=r"cmake\.log: cannot be written \(No space left on device\)"):
        build(tmp_path, [])


def test_a_cmake_that_says_nothing(tmp_path: Path, cmake: Callable[[str], None]) -> None:
    cmake("exit 7")
    with pytest.raises(KvsweepError, match="cmake could not configure the engine: cmake ended with status 7"):
        build(tmp_path, [])


def test_no_cmake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        KvsweepError, match=r"cmake: cannot be started \(No such file or directory\); run `make setup`"
    ):
        build(tmp_path, [])


def test_programs_and_shared_libraries_are_collected(tmp_path: Path) -> None:
    made = tmp_path / "build" / "bin"
    made.mkdir(parents=True)
    for name in ("llama-bench", "llama-cli", "libggml.so.1", "libllama.dylib", "notes.txt"):
        (made / name).write_text(name)
    (made / "libggml.so").symlink_to("libggml.so.1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "left-over").touch()
    collect(tmp_path / "build", tmp_path / "bin", ["llama-bench"])
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == [
        "libggml.so", "libggml.so.1", "libllama.dylib", "llama-bench",
    ]  # fmt: skip
    assert (tmp_path / "bin" / "libggml.so").is_symlink()


def test_the_compiler(tmp_path: Path) -> None:
    compiler = script(tmp_path / "c++", "echo 'c++ (Debian) 14.2'; echo 'Copyright'")
    (tmp_path / "CMakeCache.txt").write_text(f"A:STRING=1\nCMAKE_CXX_COMPILER:FILEPATH={compiler}\n")
    assert build_manifest.compiler_used(tmp_path) == "c++ (Debian) 14.2"
    # What a compiler says in another language need not be UTF-8.
    script(tmp_path / "c++", "printf 'c++ 14 (f\\374r alle)\\n'")
    assert build_manifest.compiler_used(tmp_path) == "c++ 14 (f\N{REPLACEMENT CHARACTER}r alle)"


def test_flags_of_the_shell_are_a_part_of_what_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a real CMake keeps them, which takes them from the environment."""
    (tmp_path / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.14)\nproject(p CXX)\n")
    monkeypatch.setenv(
        "CXX", str(script(tmp_path / "c++", 'test "$1" = --version && echo mine || exec c++ "$@"'))
    )

    def configured(name: str) -> str | None:
        engine_build.build(tmp_path, tmp_path / name, {}, ["all"], 1, tmp_path / "log", lambda _line: None)
        return build_manifest.compiler_used(tmp_path / name)

    for name in ("CXXFLAGS", "LDFLAGS"):
        monkeypatch.delenv(name, raising=False)
    assert configured("plain") == "mine"
    monkeypatch.setenv("CXXFLAGS", " -O0 -DSLOW ")
    monkeypatch.setenv("LDFLAGS", "-Wl,-O1")
    assert (
        configured("flags") == "mine; CMAKE_CXX_FLAGS=-O0 -DSLOW; CMAKE_EXE_LINKER_FLAGS=-Wl,-O1;"
        " CMAKE_SHARED_LINKER_FLAGS=-Wl,-O1"
    )


ENGINE = Engine(
    "e", "path", {"path": "bin"}, "cpu", {}, {"TURBO_X": "0"}, ("llama-bench", "llama-perplexity"), ()
)


def ready(engine: Engine, binaries: Path) -> dict[str, object]:
    return manifest(engine, binaries, backend="cpu", commit=None, options={"A": "1"}, compiler=None)


def test_what_build_json_says() -> None:
    said = ready(ENGINE, STAND_IN)
    assert (said["engine"], said["backend"], said["source"]) == ("e", "cpu", "bin")
    assert said["cmake_options"] == ["A=1"]
    assert said["environment"] == {"TURBO_X": "0"}
    assert said["version"] == "version: 0 (stand-in)"
    types, files = said["cache_types"], said["files"]
    assert isinstance(types, list) and isinstance(files, dict)
    assert types[:3] == ["f32", "f16", "bf16"]
    assert list(files) == ["llama-bench", "llama-perplexity"]
    assert ready(ENGINE, STAND_IN) == said


def test_a_program_that_is_missing(tmp_path: Path) -> None:
    shutil.copy(STAND_IN / "llama-bench", tmp_path)
    with pytest.raises(KvsweepError, match=r"engines\.e: .* has no program 'llama-perplexity'\."):
        ready(ENGINE, tmp_path)


def test_a_program_that_is_not_executable(tmp_path: Path) -> None:
    """Of the programs that only a later cell needs, too."""
    for name in ENGINE.programs:
        shutil.copy(STAND_IN / name, tmp_path)
    (tmp_path / "llama-bench").chmod(0o644)
    with pytest.raises(
        KvsweepError, match=r"engines\.e: .*/llama-bench is not executable; chmod \+x .*/llama-bench\."
    ):
        ready(ENGINE, tmp_path)


def test_a_program_that_does_not_run(tmp_path: Path) -> None:
    for name in ENGINE.programs:
        script(tmp_path / name, "echo 'error while loading shared libraries: libcudart.so.12'; exit 127")
    with pytest.raises(KvsweepError) as caught:
        ready(ENGINE, tmp_path)
    assert str(caught.value) == (
        f"engines.e: {tmp_path}/llama-perplexity --help does not list its cache types; "
        "its last line is: error while loading shared libraries: libcudart.so.12"
    )
    (tmp_path / "llama-perplexity").write_bytes(b"of another machine")
    with pytest.raises(KvsweepError, match=r"llama-perplexity: cannot be run \(.*Exec format error"):
        ready(ENGINE, tmp_path)


def test_a_program_is_asked_with_the_engines_environment(tmp_path: Path) -> None:
    program = script(tmp_path / "program", 'echo "$TURBO_X $1"')
    assert build_manifest.run_for_text(program, {"TURBO_X": "7"}, "--help") == "7 --help\n"
    assert "TURBO_X" not in os.environ
