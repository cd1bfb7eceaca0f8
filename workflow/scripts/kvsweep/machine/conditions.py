"""In what state a machine is right before an engine is started: recorded with the cell, and said where it matters."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kvsweep.machine import gpus, macos
from kvsweep.machine.free_memory import available_memory_bytes, swap_used_linux
from kvsweep.machine.probe import content, output
from kvsweep.units import format_bytes

Probe = Callable[..., str | None]

# A directory for each supply: its type, and whether a mains supply is plugged in.
POWER_SUPPLIES = Path("/sys/class/power_supply")
# How long the GPU's users are watched on macOS, which counts only what they have used in all.
_WATCH_SECONDS = 0.5
# Less swap than this is left over from earlier days.
_SWAP_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Conditions:
    """None where the machine does not say. Memory in bytes; ``slowed_by`` is what keeps a GPU's clocks down."""

    power_source: str | None = None
    battery_percent: int | None = None
    low_power_mode: bool | None = None
    thermal_state: str | None = None
    slowed_by: tuple[str, ...] | None = None
    gpu_users: tuple[str, ...] = ()
    available_memory_bytes: int | None = None
    swap_used_bytes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_conditions(system: str | None = None, probe: Probe = output) -> Conditions:
    """The state of this machine now. Takes a moment."""
    if (system or platform.system()) == "Darwin":
        return _on_macos(probe)
    return Conditions(
        power_source=linux_power_source(POWER_SUPPLIES),
        slowed_by=gpus.nvidia_slowed_by(probe(*gpus.NVIDIA_NOW) or probe(*gpus.NVIDIA_NOW_RENAMED)),
        gpu_users=gpus.nvidia_users(probe(*gpus.NVIDIA_USERS)),
        available_memory_bytes=available_memory_bytes(),
        swap_used_bytes=swap_used_linux(content("/proc/meminfo")),
    )


def remarks(conditions: Conditions) -> list[str]:
    """A sentence for each condition that a person should know of before hours of measuring."""
    said = []
    if conditions.power_source == "Battery Power":
        left = "" if conditions.battery_percent is None else f" ({conditions.battery_percent} % left)"
        said.append(f"this machine runs on battery{left}: it is slower than on mains, and may not last")
    if conditions.low_power_mode:
        said.append("low power mode is on: everything is slower; sudo pmset -a lowpowermode 0 turns it off")
    if conditions.thermal_state not in (None, "nominal"):
        said.append(f"this machine is hot and limits itself ({conditions.thermal_state}); let it cool first")
    if conditions.slowed_by:
        said.append(f"a GPU's clocks are held down by: {', '.join(conditions.slowed_by)}")
    if conditions.gpu_users:
        said.append(f"others use the GPU: {', '.join(conditions.gpu_users)}")
    if conditions.swap_used_bytes is not None and conditions.swap_used_bytes > _SWAP_BYTES:
        said.append(
            f"{format_bytes(conditions.swap_used_bytes)} of memory are swapped out; close what is not needed"
        )
    return said


def linux_power_source(directory: Path) -> str | None:
    """In macOS's words. A machine without a battery does not say."""
    supplies = [
        (content(f"{at}/type").strip(), content(f"{at}/online").strip()) for at in directory.glob("*")
    ]
    if not any(kind == "Battery" for kind, _ in supplies):
        return None
    plugged_in = any(kind in ("Mains", "USB") and online == "1" for kind, online in supplies)
    return "AC Power" if plugged_in else "Battery Power"


def _on_macos(probe: Probe) -> Conditions:
    before, start = macos.gpu_seconds(probe(*macos.GPU_CLIENTS)), time.monotonic()
    battery = probe(*macos.BATTERY)
    settings, thermal, swap = probe(*macos.SETTINGS), probe(*macos.THERMAL), probe(*macos.SWAP)
    time.sleep(max(0.0, start + _WATCH_SECONDS - time.monotonic()))
    after = macos.gpu_seconds(probe(*macos.GPU_CLIENTS))
    return Conditions(
        power_source=macos.power_source(battery),
        battery_percent=macos.battery_percent(battery),
        low_power_mode=macos.low_power_mode(settings),
        thermal_state=macos.thermal_state(thermal, probe(*macos.PRESSURE)),
        gpu_users=macos.gpu_users(before, after, time.monotonic() - start),
        available_memory_bytes=available_memory_bytes(),
        swap_used_bytes=macos.swap_used_bytes(swap),
    )
