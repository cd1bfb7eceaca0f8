"""Graphics processors, from the output of the programs that come with their drivers.

Every function takes what a command printed and gives back what it says; what it does not say is None, and output of
another form gives nothing. None of them knows how commands are run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kvsweep.machine.probe import output

Probe = Callable[..., str | None]

_STATIC = (
    *("name", "memory.total", "driver_version", "compute_cap"),
    *("power.limit", "clocks.max.sm", "clocks.max.memory"),
)
NVIDIA = ("nvidia-smi", f"--query-gpu={','.join(_STATIC)}", "--format=csv,noheader,nounits")
NVIDIA_NOW = ("nvidia-smi", "--query-gpu=clocks_throttle_reasons.active", "--format=csv,noheader,nounits")
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


@dataclass(frozen=True)
class Gpu:
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
        return {name: value for name, value in asdict(self).items() if value is not None}


def find_gpus(probe: Probe = output) -> tuple[Gpu, ...]:
    """The graphics processors of a Linux machine: NVIDIA's and AMD's."""
    amd = amd_gpus(probe(*AMD_SMI)) or rocm_gpus(probe(*ROCM_SMI))
    return (*nvidia_gpus(probe(*NVIDIA)), *amd)


def nvidia_gpus(text: str | None) -> tuple[Gpu, ...]:
    """From ``NVIDIA``: a line for each device. A field the device does not have is ``[N/A]``."""
    found = []
    for row in _rows(text, len(_STATIC)):
        name, memory, driver, arch, power, clock, memory_clock = row
        if name:
            found.append(
                Gpu(
                    "nvidia",
                    name,
                    _mebibytes(memory),
                    driver,
                    arch,
                    _number(power),
                    _number(clock),
                    _number(memory_clock),
                )
            )
    return tuple(found)


def nvidia_users(text: str | None) -> tuple[str, ...]:
    """From ``NVIDIA_USERS``: names of the programs that compute on a device, each with its memory."""
    users = []
    for pid, program, memory in _rows(text, 3):
        if pid is not None:
            takes = f", {memory} MiB" if memory else ""
            users.append(f"{(program or '?').rpartition('/')[2]} (process {pid}{takes})")
    return tuple(users)


def nvidia_slowed_by(text: str | None) -> tuple[str, ...] | None:
    """From ``NVIDIA_NOW``: what keeps a device's clocks down now; None where no device says."""
    masks = [row[0] for row in _rows(text, 1) if row[0] and re.fullmatch(r"0x[0-9a-fA-F]+", row[0])]
    if not masks:
        return None
    active = 0
    for mask in masks:
        active |= int(mask, 16)
    return tuple(reason for bit, reason in _SLOWED_BY.items() if active & bit)


def amd_gpus(text: str | None) -> tuple[Gpu, ...]:
    """From ``AMD_SMI``: a list of devices, in newer versions under ``gpu_data``; sizes are ``{value, unit}``."""
    data = _json(text)
    devices = data.get("gpu_data") if isinstance(data, dict) else data
    found = []
    for device in devices if isinstance(devices, list) else []:
        name = _text(_under(device, "asic", "market_name"))
        if name is not None:
            found.append(
                Gpu(
                    "amd",
                    name,
                    _mebibytes(_value(_under(device, "vram", "size"))),
                    _text(_under(device, "driver", "version")),
                    _text(_under(device, "asic", "target_graphics_version")),
                    _number(_value(_under(device, "limit", "max_power"))),
                )
            )
    return tuple(found)


def rocm_gpus(text: str | None) -> tuple[Gpu, ...]:
    """From ``ROCM_SMI``: ``card0``, ``card1`` and ``system``. The names of fields changed their case over the years."""
    data = _json(text)
    if not isinstance(data, dict):
        return ()
    cards = {
        name: {key.lower(): value for key, value in card.items()}
        for name, card in data.items()
        if isinstance(card, dict)
    }
    driver = _text(cards.get("system", {}).get("driver version"))
    found = []
    for name in sorted(cards):
        card = cards[name]
        title = _text(card.get("card series")) or _text(card.get("card model"))
        if name.startswith("card") and title is not None:
            memory = _number(_text(card.get("vram total memory (b)")))
            found.append(
                Gpu(
                    "amd",
                    title,
                    None if memory is None else int(memory),
                    driver or _text(card.get("driver version")),
                    _text(card.get("gfx version")),
                )
            )
    return tuple(found)


def apple_gpus(text: str | None) -> tuple[Gpu, ...]:
    """From ``APPLE``. Their memory is the machine's own."""
    data = _json(text)
    displays = data.get("SPDisplaysDataType") if isinstance(data, dict) else None
    found = []
    for display in displays if isinstance(displays, list) else []:
        name = _text(_under(display, "sppci_model"))
        if name is not None:
            cores = _number(_text(_under(display, "sppci_cores")))
            found.append(Gpu("apple", name, cores=None if cores is None else int(cores)))
    return tuple(found)


def kinds(gpus: Iterable[Gpu]) -> list[str]:
    """The kinds of device beside the processor, each once: a cell uses one, however many there are."""
    return sorted({gpu.name for gpu in gpus if gpu.vendor != "apple"})


# -- forms ------------------------------------------------------------------------------------------------------------


def _rows(text: str | None, width: int) -> list[list[str | None]]:
    """Lines of nvidia-smi's comma separated values. A program's name may hold a comma: the middle takes the rest."""
    rows = []
    for line in (text or "").splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) > width >= 3:
            over = len(fields) - width
            fields = [fields[0], ",".join(fields[1 : 2 + over]), *fields[2 + over :]]
        if len(fields) == width:
            rows.append([None if field.startswith("[") or not field else field for field in fields])
    return rows


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _under(value: object, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _value(value: object) -> str | None:
    """``{"value": 196592, "unit": "MB"}`` or the bare number of older versions."""
    return _text(_under(value, "value") if isinstance(value, Mapping) else value)


def _text(value: object) -> str | None:
    """Text of a JSON value; ``N/A`` is nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return None if str(value).strip() in ("", "N/A") else str(value).strip()


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e18 else None


def _mebibytes(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number * 2**20)
