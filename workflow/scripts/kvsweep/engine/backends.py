"""Back ends of llama.cpp: the CMake options of each, and whether this machine can build it.

Option names are those of llama.cpp's ``ggml/CMakeLists.txt`` and ``docs/build.md``; the configuration's own win.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.machine import gpus
from kvsweep.machine.gpus import Gpu
from kvsweep.machine.probe import Probe, output

OPTIONS: dict[str, dict[str, str]] = {
    "cpu": {},
    # The embedded library lets the binary be moved, and needs no Metal compiler to build.
    "metal": {"GGML_METAL": "ON", "GGML_METAL_EMBED_LIBRARY": "ON"},
    # Without FA_ALL_QUANTS most cache type pairs have no attention kernel and run on the CPU without a word.
    "cuda": {"GGML_CUDA": "ON", "GGML_CUDA_FA_ALL_QUANTS": "ON"},
    "vulkan": {"GGML_VULKAN": "ON"},
    # Built from the CUDA back end's sources, kernels for pairs included.
    "hip": {"GGML_HIP": "ON", "GGML_CUDA_FA_ALL_QUANTS": "ON"},
    "sycl": {"GGML_SYCL": "ON", "CMAKE_C_COMPILER": "icx", "CMAKE_CXX_COMPILER": "icpx"},
}
# On macOS it is on unless it is turned off.
_NO_METAL = {"GGML_METAL": "OFF"}

# Where they are installed when they are not on the path.
_CUDA, _ROCM = "/usr/local/cuda/bin", "/opt/rocm/bin"
_INCLUDES = ("/usr/include", "/usr/local/include", "/opt/homebrew/include")


def choose_backend(wanted: str) -> str:
    """What ``auto`` stands for here: metal on macOS, cuda where its compiler and a device are, else cpu."""
    if wanted != "auto":
        return wanted
    if platform.system() == "Darwin":
        return "metal"
    if _find("nvcc", _CUDA) and shutil.which("nvidia-smi"):
        return "cuda"
    return "cpu"


def options_of(backend: str) -> dict[str, str]:
    return {**({} if backend == "metal" else _NO_METAL), **OPTIONS[backend]}


def options_here(
    backend: str, configured: Mapping[str, str], where: str, probe: Probe = output
) -> dict[str, str]:
    """More options that depend on this machine: where its tool chain is, which devices it has.

    ``configured`` are the options of the configuration, which may say where something is; ``where`` is the key to name
    in errors. Raises KvsweepError with what is missing and how to get it.
    """
    if backend == "metal" and platform.system() != "Darwin":
        raise KvsweepError(
            f"{where}: metal is for macOS, and this is {platform.system()}; choose another back end."
        )
    if backend == "cuda":
        return _cuda(configured, where, probe)
    if backend == "hip":
        return _hip(configured, where, probe)
    if backend == "vulkan":
        _check_vulkan(configured, where)
    if backend == "sycl" and "CMAKE_CXX_COMPILER" not in configured and shutil.which("icpx") is None:
        raise _missing(
            where, "sycl", "icpx, the compiler of Intel's oneAPI",
            "install it and run `source /opt/intel/oneapi/setvars.sh` in this shell",
        )  # fmt: skip
    return {}


def cuda_architectures(found: Iterable[Gpu]) -> str | None:
    """The architectures of these devices, as CMake writes them: ``86-real;90-real`` makes code for these alone."""
    numbers = {
        int(major) * 10 + int(minor)
        for gpu in found
        if gpu.vendor == "nvidia"
        for major, minor in re.findall(r"^(\d+)\.(\d+)$", gpu.arch or "")
    }
    return ";".join(f"{number}-real" for number in sorted(numbers)) or None


def hip_architectures(found: Iterable[Gpu]) -> str | None:
    """``gfx1100;gfx942``; a processor's own GPU among them is built for as well."""
    names = {gpu.arch.partition(":")[0] for gpu in found if gpu.vendor == "amd" and gpu.arch}
    return ";".join(sorted(name for name in names if re.fullmatch(r"gfx[0-9a-f]+", name))) or None


def hint(backend: str, error: str) -> str:
    """What a compiler's error means where that is not in it."""
    if backend == "vulkan" and re.search(r"not a member of .vk\b|vk::\w+.* has not been declared", error):
        return "; the Vulkan headers here are older than this llama.cpp needs"
    if "Unsupported gpu architecture" in error:
        return "; this nvcc is older than the GPU: install a newer CUDA toolkit"
    return ""


# -- each back end ----------------------------------------------------------------------------------------------------


def _cuda(configured: Mapping[str, str], where: str, probe: Probe) -> dict[str, str]:
    options = {}
    if "CMAKE_CUDA_COMPILER" not in configured and "CUDACXX" not in os.environ:
        nvcc = _find("nvcc", _CUDA)
        if nvcc is None:
            raise _missing(
                where, "cuda", "nvcc", "install the CUDA toolkit, and put its bin directory on the path"
            )
        if shutil.which("nvcc") is None:
            options["CMAKE_CUDA_COMPILER"] = nvcc
    architectures = cuda_architectures(gpus.read_nvidia(probe))
    if architectures is not None:
        options["CMAKE_CUDA_ARCHITECTURES"] = architectures
    return options


def _hip(configured: Mapping[str, str], where: str, probe: Probe) -> dict[str, str]:
    options = {}
    if "CMAKE_HIP_COMPILER" not in configured and "HIPCXX" not in os.environ:
        hipconfig = _find("hipconfig", _ROCM)
        compilers = None if hipconfig is None else probe(hipconfig, "-l")
        if compilers is None:
            raise _missing(
                where, "hip", "hipconfig", "install ROCm 6.1 or newer, and put its bin directory on the path"
            )
        options["CMAKE_HIP_COMPILER"] = f"{compilers}/clang"
    found = gpus.read_amd(probe)
    architectures = hip_architectures(found)
    if architectures is not None:
        options["CMAKE_HIP_ARCHITECTURES"] = architectures
    return options


def _check_vulkan(configured: Mapping[str, str], where: str) -> None:
    packages = "Debian, Ubuntu: apt install libvulkan-dev glslc spirv-headers; macOS: the Vulkan SDK"
    if "Vulkan_GLSLC_EXECUTABLE" not in configured and shutil.which("glslc") is None:
        raise _missing(where, "vulkan", "glslc, its shader compiler", f"install it ({packages})")
    sdk = os.environ.get("VULKAN_SDK")
    places = [configured.get("Vulkan_INCLUDE_DIR"), f"{sdk}/include" if sdk else None, *_INCLUDES]
    if not any(Path(place, "vulkan", "vulkan.hpp").is_file() for place in places if place):
        raise _missing(where, "vulkan", "its C++ headers (vulkan/vulkan.hpp)", f"install them ({packages})")


def _missing(where: str, backend: str, what: str, cure: str) -> KvsweepError:
    return KvsweepError(
        f"{where}: {backend} cannot be built here without {what}; {cure}, or choose another back end."
    )


def _find(program: str, elsewhere: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=elsewhere)
