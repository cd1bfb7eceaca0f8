"""In what state a machine is right before an engine is started: recorded with the cell, and said where it matters."""

from __future__ import annotations

import platform
import time
from typing import NamedTuple

import psutil

from kvsweep.machine import gpus, macos
from kvsweep.machine.description import available_memory_bytes
from kvsweep.machine.probe import Probe, output
from kvsweep.units import format_bytes

# How long the GPU's users are watched on macOS, which counts only what they have used in all.
_WATCH_SECONDS = 0.5
# Less swap than this is left over from earlier days.
_SWAP_BYTES = 2 * 2**30


class Conditions(NamedTuple):
    """None where the machine does not say. Memory in bytes; ``slowed_by`` is what keeps a GPU's clocks down."""

    power_source: str | None = None
    battery_percent: int | None = None
    low_power_mode: bool | None = None
    thermal_state: str | None = None
    slowed_by: tuple[str, ...] | None = None
    gpu_users: tuple[str, ...] = ()
    available_memory_bytes: int | None = None
    swap_used_bytes: int | None = None


def read_conditions(system: str | None = None, probe: Probe = output) -> Conditions:
    """The state of this machine now. Takes a moment."""
    if (system or platform.system()) == "Darwin":
        return _on_macos(probe)
    power_source, percent = _battery()
    return Conditions(
        power_source=power_source,
        battery_percent=percent,
        slowed_by=gpus.nvidia_slowed_by(probe(*gpus.NVIDIA_NOW) or probe(*gpus.NVIDIA_NOW_RENAMED)),
        gpu_users=gpus.nvidia_users(probe(*gpus.NVIDIA_USERS)),
        available_memory_bytes=available_memory_bytes(),
        swap_used_bytes=_swap_used_bytes(),
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


def _battery() -> tuple[str | None, int | None]:
    """Where a Linux machine with a battery gets its power, in macOS's words, and how full the battery is in percent."""
    try:
        battery = psutil.sensors_battery()
    except OSError:
        battery = None
    if battery is None:
        return None, None
    source = {True: "AC Power", False: "Battery Power"}.get(battery.power_plugged)
    return source, round(battery.percent)


def _swap_used_bytes() -> int | None:
    try:
        return int(psutil.swap_memory().used)
    except (psutil.Error, OSError):
        return None


def _on_macos(probe: Probe) -> Conditions:
    before, start = macos.gpu_seconds(probe(*macos.GPU_CLIENTS)), time.monotonic()
    battery = probe(*macos.BATTERY)
    settings, thermal = probe(*macos.SETTINGS), probe(*macos.THERMAL)
    time.sleep(max(0.0, start + _WATCH_SECONDS - time.monotonic()))
    after = macos.gpu_seconds(probe(*macos.GPU_CLIENTS))
    return Conditions(
        power_source=macos.power_source(battery),
        battery_percent=macos.battery_percent(battery),
        low_power_mode=macos.low_power_mode(settings),
        thermal_state=macos.thermal_state(thermal, probe(*macos.PRESSURE)),
        gpu_users=macos.gpu_users(before, after, time.monotonic() - start),
        available_memory_bytes=available_memory_bytes(),
        swap_used_bytes=_swap_used_bytes(),
    )
