"""Graphics processors, from the output of the programs that come with their drivers.

Every function takes what a command printed and gives back what it says; what it does not say is None, and output of
another form gives nothing. None of them knows how commands are run.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from kvsweep.machine.probe import Probe, json_in, mebibytes, number_in, output, rows_of, said

_STATIC = (
    *("name", "memory.total", "driver_version", "compute_cap"),
    *("power.limit", "clocks.max.sm", "clocks.max.memory"),
)


def nvidia_query(*fields: str) -> tuple[str, ...]:
    return ("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")


NVIDIA = nvidia_query(*_STATIC)
# The slices (MIG) under each device.
NVIDIA_LIST = ("nvidia-smi", "-L")
# Renamed in drivers of the 535s.
NVIDIA_NOW = nvidia_query("clocks_throttle_reasons.active")
NVIDIA_NOW_RENAMED = nvidia_query("clocks_event_reasons.active")
NVIDIA_USERS = (
    *("nvidia-smi", "--query-compute-apps=pid,process_name,used_memory"),
    "--format=csv,noheader,nounits",
)
AMD_SMI = ("amd-smi", "static", "--json")
ROCM_SMI = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json")
APPLE = ("system_profiler", "SPDisplaysDataType", "-json")

# nvmlClocksEventReasons, in NVML's own order; idle, settings and display clocks are not a slowdown.
_SLOWED_BY = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x20: "temperature (driver)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


# Names of many devices, of drivers that are older than the device and of processors' own GPUs.
_GENERIC = {
    *("NVIDIA Graphics Device", "Graphics Device", "NVIDIA Device", "NVIDIA GPU", "AMD GPU"),
    *("AMD Radeon Graphics", "AMD Radeon(TM) Graphics", "Radeon Graphics", "AMD Instinct", "AMD Radeon"),
}


class Gpu(NamedTuple):
    """Memory in bytes, power in watts, clocks in MHz. ``arch`` is a compute capability (9.0) or a gfx name."""

    vendor: Literal["nvidia", "amd", "apple"]
    name: str
    memory_bytes: int | None = None
    driver: str | None = None
    arch: str | None = None
    power_limit_watts: float | None = None
    max_clock_mhz: float | None = None
    max_memory_clock_mhz: float | None = None
    cores: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in self._asdict().items() if value is not None}


def find_gpus(probe: Probe = output) -> tuple[Gpu, ...]:
    """The graphics processors of a Linux machine: NVIDIA's and AMD's."""
    return (*read_nvidia(probe), *read_amd(probe))


def read_nvidia(probe: Probe = output) -> tuple[Gpu, ...]:
    """NVIDIA's devices. Of a device that is sliced (MIG) it is the slice that a process gets.

    nvidia-smi answers nothing if it does not know one of the fields; then each field is asked for by itself.
    """
    found = nvidia_gpus(probe(*NVIDIA))
    if not found:
        known = [field for field in _STATIC if _answers(probe(*nvidia_query(field)))]
        found = nvidia_gpus(probe(*nvidia_query(*known)), known) if "name" in known else ()
    slices = nvidia_slices(probe(*NVIDIA_LIST), os.environ.get("CUDA_VISIBLE_DEVICES", "")) if found else ()
    # Its memory is not the device's.
    return tuple(
        gpu._replace(name=f"{gpu.name} MIG {profile}", memory_bytes=None) if profile else gpu
        for gpu, profile in itertools.zip_longest(found, slices[: len(found)])
    )


def read_amd(probe: Probe = output) -> tuple[Gpu, ...]:
    return amd_gpus(probe(*AMD_SMI)) or rocm_gpus(probe(*ROCM_SMI))


def _answers(text: str | None) -> bool:
    return text is not None and "is not a valid field" not in text


def nvidia_gpus(text: str | None, fields: Sequence[str] = _STATIC) -> tuple[Gpu, ...]:
    """The devices in what ``nvidia_query`` for ``fields`` printed: a line each, with ``[N/A]`` for what one lacks."""
    found = []
    for row in filter(any, rows_of(text, len(fields))):
        name, memory, driver, arch, *numbers = map(dict(zip(fields, row, strict=True)).get, _STATIC)
        size = mebibytes(memory)
        power, clock, memory_clock = map(number_in, numbers)
        named = _told_apart(name or "NVIDIA GPU", size, arch)
        found.append(Gpu("nvidia", named, size, driver, arch, power, clock, memory_clock))
    return tuple(found)


def nvidia_slices(text: str | None, visible: str = "") -> tuple[str | None, ...]:
    """The profile (``3g.40gb``) of the slice that a process gets of each device, from what ``NVIDIA_LIST`` printed.

    None for a device that is not sliced. ``visible`` (CUDA_VISIBLE_DEVICES) names the slice; without it a process gets
    the first one.
    """
    slices: list[list[tuple[str, str]]] = []
    for line in (text or "").splitlines():
        if re.match(r"GPU \d+: ", line):
            slices.append([])
        elif slices and (found := re.match(r"\s*MIG (\S+)\s+Device\s+\d+: \(UUID: (\S+)\)", line)):
            slices[-1].append((found[1], found[2]))
    return tuple(
        next((profile for profile, uuid in own if uuid in visible.split(",")), own[0][0]) if own else None
        for own in slices
    )


def nvidia_users(text: str | None) -> tuple[str, ...]:
    """The programs that compute on a device, each with its memory, in what ``NVIDIA_USERS`` printed."""
    users = []
    for pid, program, memory in rows_of(text, 3):
        if pid is not None:
            takes = f", {memory} MiB" if memory else ""
            users.append(f"{(program or '?').rpartition('/')[2]} (process {pid}{takes})")
    return tuple(users)


def nvidia_slowed_by(text: str | None) -> tuple[str, ...] | None:
    """What keeps a device's clocks down now, in what ``NVIDIA_NOW`` printed; None where no device says."""
    masks = [row[0] for row in rows_of(text, 1) if row[0] and re.fullmatch(r"0x[0-9a-fA-F]+", row[0])]
    if not masks:
        return None
    active = 0
    for mask in masks:
        active |= int(mask, 16)
    return tuple(reason for bit, reason in _SLOWED_BY.items() if active & bit)


def amd_gpus(text: str | None) -> tuple[Gpu, ...]:
    """The devices in what ``AMD_SMI`` printed: a list, in newer versions under ``gpu_data``; sizes are ``{value,
    unit}``."""
    data = json_in(text)
    devices = data.get("gpu_data") if isinstance(data, dict) else data
    found = []
    for device in devices if isinstance(devices, list) else []:
        names = said(device, "asic", "market_name"), said(device, "board", "product_name")
        name = next((one for one in names if one and one not in _GENERIC), names[0] or names[1])
        arch = said(device, "asic", "target_graphics_version")
        if name is None and arch is None:
            continue
        memory = mebibytes(said(device, "vram", "size"))
        named = " ".join([_told_apart(name or "AMD GPU", memory, arch), *_partition(device)])
        limits = (("max_power",), ("ppt0", "socket_power_limit"), ("ppt0", "max_power_limit"))
        powers = [number_in(said(device, "limit", *keys)) for keys in limits]
        power = next((power for power in powers if power is not None), None)
        found.append(Gpu("amd", named, memory, said(device, "driver", "version"), arch, power))
    return tuple(found)


def _partition(device: object) -> list[str]:
    """How a device is divided, as ``CPX/NPS4``. Empty for a device that is whole and has one memory."""
    compute, accelerator, memory = (
        said(device, "partition", f"{kind}_partition") for kind in ("compute", "accelerator", "memory")
    )
    parts = [part for part in (compute or accelerator, memory) if part and part not in ("SPX", "NPS1")]
    return ["/".join(parts)] if parts else []


def rocm_gpus(text: str | None) -> tuple[Gpu, ...]:
    """The devices in what ``ROCM_SMI`` printed: ``card0``, ``card1`` and ``system``. The names of fields changed their
    case over the years."""
    data = json_in(text)
    cards = {
        name: {key.lower(): value for key, value in card.items()}
        for name, card in sorted(data.items() if isinstance(data, dict) else ())
        if isinstance(card, dict)
    }
    driver = said(cards, "system", "driver version")
    found = []
    for name, card in cards.items():
        title = said(card, "card series") or said(card, "card model")
        if name.startswith("card") and title is not None:
            memory, arch = _whole(said(card, "vram total memory (b)")), said(card, "gfx version")
            driver_of = driver or said(card, "driver version")
            found.append(Gpu("amd", _told_apart(title, memory, arch), memory, driver_of, arch))
    return tuple(found)


def apple_gpus(text: str | None) -> tuple[Gpu, ...]:
    """The devices in what ``APPLE`` printed. Their memory is the machine's own."""
    data = json_in(text)
    displays = data.get("SPDisplaysDataType") if isinstance(data, dict) else None
    named = (
        (said(display, "sppci_model") or said(display, "_name"), _whole(said(display, "sppci_cores")))
        for display in (displays if isinstance(displays, list) else [])
    )
    return tuple(Gpu("apple", name, cores=cores) for name, cores in named if name is not None)


def _whole(text: str | None) -> int | None:
    number = number_in(text)
    return None if number is None else int(number)


def kinds(gpus: Iterable[Gpu]) -> list[str]:
    """The kinds of device beside the processor, each once: a cell uses one, however many there are."""
    return sorted({gpu.name for gpu in gpus if gpu.vendor != "apple"})


def _told_apart(name: str, memory: int | None, arch: str | None) -> str:
    """A name that many devices share, with what tells them apart."""
    if name not in _GENERIC:
        return name
    size = [f"{round(memory / 2**30)}GB"] if memory else []
    return " ".join([name, *([arch] if arch else []), *size])
