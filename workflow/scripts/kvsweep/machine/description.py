"""What a measurement runs on: a stable name, memory, load. A probe that fails is None, never a stop."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psutil

from kvsweep.machine import gpus, macos
from kvsweep.machine.gpus import Gpu
from kvsweep.machine.probe import content, first, output

# Fields of a machine's record in which two nodes of one kind differ.
_OF_THE_HOST = ("host",)


class Machine(NamedTuple):
    """One machine. Memory in bytes, frequencies in MHz; None where it does not say.

    ``cores`` are those the system counts, two for each of ``physical_cores`` with hyper-threading. ``gpu_limit_bytes``
    is what a Mac was told to let its GPU hold (``iogpu.wired_limit_mb``), None where macOS decides.
    """

    name: str
    host: str
    cpu: str | None
    cores: int | None
    memory_bytes: int | None
    system: str
    distribution: str | None = None
    physical_cores: int | None = None
    numa_nodes: int | None = None
    cpu_governor: str | None = None
    cpu_max_mhz: float | None = None
    gpus: tuple[Gpu, ...] = ()
    gpu_limit_bytes: int | None = None

    def as_dict(self) -> dict[str, object]:
        return {**self._asdict(), "gpus": [gpu.as_dict() for gpu in self.gpus]}


def this_machine(name: str | None = None) -> Machine:
    """The machine that this process runs on; ``name`` replaces the one made from processor, memory and GPU."""
    mac = platform.system() == "Darwin"
    cpu, cores, memory = _cpu_name(), os.cpu_count(), memory_bytes()
    found = gpus.apple_gpus(output(*gpus.APPLE)) if mac else gpus.find_gpus()
    cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq"
    return Machine(
        name=name or machine_name(cpu, cores, memory, platform.system(), gpus.kinds(found)),
        # All nodes of a test cluster on one host share its name; Slurm tells them apart.
        host=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        cpu=cpu,
        cores=cores,
        memory_bytes=memory,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        distribution=f"macOS {platform.mac_ver()[0]}" if mac else distribution(content("/etc/os-release")),
        physical_cores=psutil.cpu_count(logical=False),
        numa_nodes=None if mac else count_of_list(content("/sys/devices/system/node/online")),
        cpu_governor=content(f"{cpufreq}/scaling_governor").strip() or None,
        cpu_max_mhz=mhz_of_khz(content(f"{cpufreq}/cpuinfo_max_freq")),
        gpus=found,
        gpu_limit_bytes=gpu_limit_bytes(),
    )


def gpu_limit_bytes() -> int | None:
    """What a Mac was told to let its GPU hold; None elsewhere, and where macOS decides."""
    if platform.system() != "Darwin":
        return None
    return macos.wired_limit_bytes(output(*macos.WIRED_LIMIT))


def machine_record(machine: Mapping[str, Any]) -> str:
    """A short name for a machine in one state. Another driver or power limit gives another name.

    Nodes of one kind share a name. ``machine`` is what run.json says of it.
    """
    same = {key: value for key, value in machine.items() if key not in _OF_THE_HOST}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:12]


def machine_name(
    cpu: str | None, cores: int | None, memory: int | None, system: str, devices: Iterable[str] = ()
) -> str:
    """``Apple M5 Max 128GB``, ``AMD EPYC 2 cores 24GB``: what people call the machine, with the kinds of its GPUs."""
    words = [cpu or system]
    if cores and not words[0].startswith("Apple"):
        words.append(f"{cores} cores")
    if memory:
        words.append(f"{round(memory / 2**30)}GB")
    return ", ".join([" ".join(words), *devices])


def cpu_from_cpuinfo(text: str) -> str | None:
    """The processor's name in the text of Linux's /proc/cpuinfo."""
    name = first(r"^model name\s*:\s*(.+?)\s*$", text)
    return name and re.sub(r"\s+", " ", name)


def cpu_from_lscpu(text: str | None) -> str | None:
    """The kinds of core in the output of ``lscpu``, as ``Neoverse-V2``: on ARM /proc/cpuinfo names none."""
    found = re.findall(r"^\s*Model name:\s*(\S.*?)\s*$", text or "", re.MULTILINE)
    return " and ".join(dict.fromkeys(name for name in found if name != "-")) or None


def distribution(os_release: str) -> str | None:
    """``PRETTY_NAME`` of Linux's /etc/os-release."""
    return first(r'^PRETTY_NAME="?([^"\n]+)"?$', os_release)


def count_of_list(text: str) -> int | None:
    """How many numbers a list of Linux's /sys names: ``0-1,4`` has three."""
    parts = re.findall(r"(\d+)(?:-(\d+))?", text)
    return sum(int(last or first) - int(first) + 1 for first, last in parts) or None


def mhz_of_khz(text: str) -> float | None:
    return int(text) / 1000 if text.strip().isdigit() else None


def out_of_memory_kills(vmstat: str, cgroup_events: str) -> int | None:
    """Processes that Linux has killed for want of memory, from /proc/vmstat and the cgroup's memory.events."""
    counts = [first(r"^oom_kill (\d+)$", text) for text in (vmstat, cgroup_events)]
    return sum(int(count) for count in counts if count) if any(counts) else None


def read_out_of_memory_kills() -> int | None:
    group = first(r"^0::(.*)$", content("/proc/self/cgroup"))
    events = "" if group is None else content(f"/sys/fs/cgroup{group}/memory.events")
    return out_of_memory_kills(content("/proc/vmstat"), events)


def load_average() -> float | None:
    """Mean number of running processes over the last minute."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def available_memory_bytes() -> int | None:
    """What the operating system can give to a new program now, without swap."""
    try:
        return int(psutil.virtual_memory().available)
    except (psutil.Error, OSError):
        return None


def _cpu_name() -> str | None:
    if platform.system() == "Darwin":
        return output("sysctl", "-n", "machdep.cpu.brand_string")
    return cpu_from_cpuinfo(content("/proc/cpuinfo")) or cpu_from_lscpu(output("lscpu"))
