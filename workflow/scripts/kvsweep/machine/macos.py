"""What macOS says of itself: power, heat, sleep, memory, users of the GPU.

Every function takes what a command printed and gives back what it says, None where it does not. The forms are those of
recorded output (tests/data/machine-output); none of it has been run on a Mac by the people who wrote it.
"""

from __future__ import annotations

import re

from kvsweep.machine.probe import first

BATTERY = ("pmset", "-g", "batt")
SETTINGS = ("pmset", "-g")
THERMAL = ("pmset", "-g", "therm")
# Apple silicon slows down without a word of pmset; this is what it tells programs that ask.
PRESSURE = ("notifyutil", "-g", "com.apple.system.thermalpressurelevel")
WIRED_LIMIT = ("sysctl", "-n", "iogpu.wired_limit_mb")
GPU_CLIENTS = ("ioreg", "-c", "AGXDeviceUserClient", "-r", "-d", "1")

_PRESSURES = ("no", "moderate", "heavy", "trapping", "sleeping")
# The window server draws the screen: it is always there.
_ALWAYS = ("WindowServer",)


def power_source(battery: str | None) -> str | None:
    """``AC Power``, ``Battery Power`` or ``UPS Power``, from ``BATTERY``."""
    return first(r"^Now drawing from '([^']+)'", battery)


def battery_percent(battery: str | None) -> int | None:
    percent = first(r"InternalBattery\S*.*?\t?(\d+)%;", battery)
    return None if percent is None else int(percent)


def low_power_mode(settings: str | None) -> bool | None:
    """Whether the machine saves power, by ``SETTINGS``: ``lowpowermode``, or on Macs with three modes ``powermode`` (1
    is low, 2 is high)."""
    mode = first(r"^\s*(?:lowpowermode|powermode)\s+(\d)", settings)
    return None if mode is None else mode == "1"


def thermal_state(thermal: str | None, pressure: str | None = None) -> str | None:
    """``nominal``, or what is limited and how much, by ``THERMAL`` and ``PRESSURE``.

    Apple silicon prints notes instead of limits as long as there are none. Levels of pressure are those of
    ``OSThermalNotification.h``.
    """
    text = thermal or ""
    pressed = first(r"thermalpressurelevel\s+(\d+)", pressure)
    limited = [
        f"{name} {value} %"
        for name, value in re.findall(r"(CPU_\w*Limit)\s*=\s*(\d+)", text)
        if int(value) < 100
    ]
    level = first(r"^(?!Note: No).*(?:Thermal|Performance) [Ww]arning [Ll]evel\D+([1-9]\d*)", text)
    if level:
        limited.append(f"warning level {level}")
    if pressed and int(pressed):
        limited.append(f"{_PRESSURES[min(int(pressed), len(_PRESSURES) - 1)]} thermal pressure")
    if limited:
        return ", ".join(limited)
    seen = (
        pressed is not None
        or "No thermal warning level has been recorded" in text
        or "CPU_Speed_Limit" in text
    )
    return "nominal" if seen else None


def wired_limit_bytes(limit: str | None) -> int | None:
    """What the GPU may hold, by ``WIRED_LIMIT``; None also for 0: macOS then decides, by a rule that is not
    published."""
    return int(first(r"(\d+)\s*$", limit) or 0) * 2**20 or None


def gpu_seconds(clients: str | None) -> dict[str, float]:
    """Seconds for which each program has used the GPU since it was started, by ``GPU_CLIENTS``: over all
    connections."""
    seconds: dict[str, float] = {}
    for block in re.split(r"^(?=[ |]*\+-o )", clients or "", flags=re.MULTILINE):
        creator = re.search(r'"IOUserClientCreator" = "pid (\d+), ([^"]*)"', block)
        if creator and creator[2] not in _ALWAYS:
            name = f"{creator[2]} (process {creator[1]})"
            times = re.findall(r'"accumulatedGPUTime"\s*=\s*(\d+)', block)
            seconds[name] = seconds.get(name, 0.0) + sum(map(int, times)) / 1e9
    return seconds


def gpu_users(before: dict[str, float], after: dict[str, float], elapsed_seconds: float) -> tuple[str, ...]:
    """Who used the GPU for more than a twentieth of the time between two readings."""
    used = {name: seconds - before.get(name, seconds) for name, seconds in after.items()}
    return tuple(
        f"{name}, {round(100 * share)} %"
        for name, share in sorted((name, s / elapsed_seconds) for name, s in used.items())
        if share > 0.05
    )
