"""Back ends: their options, and what is said where a tool chain is missing."""

import platform
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from kvsweep.engine import backends
from kvsweep.engine.backends import choose_backend, cuda_architectures, hip_architectures, options_here
from kvsweep.engine.build import cmake_options
from kvsweep.errors import KvsweepError
from kvsweep.machine import gpus
from kvsweep.machine.gpus import Gpu
from kvsweep.study.engine_shape import BackEnd
from support import machine_output

NOWHERE = "/nowhere/at/all"
WHERE = "engines.e.backend"


def nothing(*_command: str) -> None:
    return None


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One on which nothing is installed but what a test installs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CUDACXX", "HIPCXX", "VULKAN_SDK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("_CUDA", NOWHERE), ("_ROCM", NOWHERE), ("_INCLUDES", (NOWHERE,))):
        monkeypatch.setattr(backends, name, value)


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str], Path]:
    def program(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
        return path

    return program


def test_each_back_end_that_a_configuration_may_name_has_its_options() -> None:
    assert {"auto", *backends.OPTIONS} == set(get_args(BackEnd))


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("cpu", ["GGML_METAL=OFF"]),
        ("metal", ["GGML_METAL=ON", "GGML_METAL_EMBED_LIBRARY=ON"]),
        ("cuda", ["GGML_METAL=OFF", "GGML_CUDA=ON", "GGML_CUDA_FA_ALL_QUANTS=ON"]),
        ("vulkan", ["GGML_METAL=OFF", "GGML_VULKAN=ON"]),
        ("hip", ["GGML_METAL=OFF", "GGML_HIP=ON", "GGML_CUDA_FA_ALL_QUANTS=ON"]),
        ("sycl", ["GGML_METAL=OFF", "GGML_SYCL=ON", "CMAKE_C_COMPILER=icx", "CMAKE_CXX_COMPILER=icpx"]),
    ],
)
def test_a_back_end_is_some_options(backend: str, expected: list[str]) -> None:
    assert [f"{name}={value}" for name, value in backends.options_of(backend).items()] == expected


def test_options_of_the_configuration_win() -> None:
    here = {"CMAKE_CUDA_ARCHITECTURES": "90-real"}
    options = cmake_options(
        "cuda", here, {"GGML_CUDA_FA_ALL_QUANTS": "OFF", "CMAKE_CUDA_ARCHITECTURES": "86"}
    )
    assert options["GGML_CUDA"] == "ON"
    assert options["GGML_CUDA_FA_ALL_QUANTS"] == "OFF"
    assert options["CMAKE_CUDA_ARCHITECTURES"] == "86"
    assert options["CMAKE_BUILD_TYPE"] == "Release"


@pytest.mark.parametrize(
    ("system", "programs", "backend"),
    [
        ("Darwin", [], "metal"),
        ("Linux", ["nvcc", "nvidia-smi"], "cuda"),
        ("Linux", ["nvcc"], "cpu"),
        ("Linux", [], "cpu"),
    ],
)
def test_the_back_end_that_fits_this_machine(
    system: str,
    programs: list[str],
    backend: str,
    install: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in programs:
        install(name)
    monkeypatch.setattr(platform, "system", lambda: system)
    assert choose_backend("auto") == backend
    assert choose_backend("vulkan") == "vulkan"


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("metal", "metal is for macOS, and this is Linux; choose another back end."),
        ("cuda", "cuda cannot be built here without nvcc; install the CUDA toolkit, and put its bin directory on"),
        ("hip", "hip cannot be built here without hipconfig; install ROCm 6.1 or newer"),
        ("vulkan", "vulkan cannot be built here without glslc, its shader compiler; install it (Debian, Ubuntu: "),
        ("sycl", "sycl cannot be built here without icpx, the compiler of Intel's oneAPI; install it and run `source"),
    ],
)  # fmt: skip
def test_a_tool_chain_that_is_missing_is_one_sentence(
    backend: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    with pytest.raises(KvsweepError) as caught:
        options_here(backend, {}, WHERE, nothing)
    assert str(caught.value).startswith(f"{WHERE}: {said}")
    assert str(caught.value).endswith(("choose another back end.",)) and "\n" not in str(caught.value)


def test_nothing_is_missing_for_the_cpu() -> None:
    assert options_here("cpu", {}, WHERE, nothing) == {}


def test_cuda_is_built_for_the_devices_that_are_here(install: Callable[[str], Path]) -> None:
    install("nvcc")

    def probe(*command: str) -> str | None:
        return machine_output("nvidia-smi-query.csv") if command == gpus.NVIDIA else None

    assert options_here("cuda", {}, WHERE, probe) == {"CMAKE_CUDA_ARCHITECTURES": "90-real"}
    # On the login node of a cluster there is none: llama.cpp's own choice.
    assert options_here("cuda", {}, WHERE, nothing) == {}


def test_a_cuda_compiler_off_the_path(
    install: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = install("toolkit/bin/nvcc")
    monkeypatch.setattr(backends, "_CUDA", str(nvcc.parent))
    assert options_here("cuda", {}, WHERE, nothing) == {"CMAKE_CUDA_COMPILER": str(nvcc)}
    monkeypatch.setattr(backends, "_CUDA", NOWHERE)
    assert options_here("cuda", {"CMAKE_CUDA_COMPILER": "/my/nvcc"}, WHERE, nothing) == {}
    monkeypatch.setenv("CUDACXX", "/my/nvcc")
    assert options_here("cuda", {}, WHERE, nothing) == {}


def test_architectures() -> None:
    found = [Gpu("nvidia", "b", arch="12.0"), Gpu("nvidia", "a", arch="8.6"), Gpu("nvidia", "a", arch="8.6")]
    assert cuda_architectures(found) == "86-real;120-real"
    assert cuda_architectures([Gpu("nvidia", "old"), Gpu("amd", "x", arch="gfx942")]) is None
    amd = [Gpu("amd", "x", arch="gfx942:sramecc+:xnack-"), Gpu("amd", "y", arch="gfx1100"), Gpu("amd", "z")]
    assert hip_architectures(amd) == "gfx1100;gfx942"
    assert hip_architectures(found) is None


def test_hip(install: Callable[[str], Path]) -> None:
    hipconfig = str(install("hipconfig"))
    recorded = {(hipconfig, "-l"): "/opt/rocm/lib/llvm/bin", gpus.ROCM_SMI: machine_output("rocm-smi.json")}
    assert options_here("hip", {}, WHERE, lambda *command: recorded.get(command)) == {
        "CMAKE_HIP_COMPILER": "/opt/rocm/lib/llvm/bin/clang",
        "CMAKE_HIP_ARCHITECTURES": "gfx1100",
    }


def test_vulkan_wants_its_headers_too(tmp_path: Path, install: Callable[[str], Path]) -> None:
    install("glslc")
    with pytest.raises(KvsweepError, match=r"without its C\+\+ headers \(vulkan/vulkan\.hpp\)"):
        options_here("vulkan", {}, WHERE, nothing)
    (tmp_path / "include" / "vulkan").mkdir(parents=True)
    (tmp_path / "include" / "vulkan" / "vulkan.hpp").touch()
    assert options_here("vulkan", {"Vulkan_INCLUDE_DIR": str(tmp_path / "include")}, WHERE, nothing) == {}


def test_what_an_error_means() -> None:
    old = "ggml-vulkan.cpp:5214:21: error: ‘LayerSettingEXT’ is not a member of ‘vk’"
    assert backends.hint("vulkan", old) == "; the Vulkan headers here are older than this llama.cpp needs"
    assert backends.hint("cpu", old) == ""
    new_gpu = "nvcc fatal   : Unsupported gpu architecture 'compute_120'"
    assert backends.hint("cuda", new_gpu).startswith("; this nvcc is older than the GPU")
