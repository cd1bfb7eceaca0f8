"""What a measurement runs on: a stable name, memory, load. A probe that fails is None, never a stop."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """One machine. Memory in bytes."""

    name: str
    host: str
    cpu: str | None
    cores: int | None
    memory_bytes: int | None
    system: str

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def this_machine(name: str | None = None) -> Machine:
    """The machine that this process runs on; ``name`` replaces the one made from processor and memory."""
    cpu, cores, memory = _cpu_name(), os.cpu_count(), memory_bytes()
    return Machine(
        name=name or machine_name(cpu, cores, memory, platform.system()),
        # All nodes of a test cluster on one host share its name; Slurm tells them apart.
        host=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        cpu=cpu,
        cores=cores,
        memory_bytes=memory,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def machine_name(cpu: str | None, cores: int | None, memory: int | None, system: str) -> str:
    """``Apple M5 Max 128GB``, ``AMD EPYC 2 cores 24GB``: what people call the machine."""
    words = [cpu or system]
    if cores and not words[0].startswith("Apple"):
        words.append(f"{cores} cores")
    if memory:
        words.append(f"{round(memory / 2**30)}GB")
    return " ".join(words)


def cpu_from_cpuinfo(text: str) -> str | None:
    """The processor's name in the text of Linux's /proc/cpuinfo."""
    match = re.search(r"^model name\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return re.sub(r"\s+", " ", match[1]) if match else None


def out_of_memory_kills(vmstat: str, cgroup_events: str) -> int | None:
    """Processes that Linux has killed for want of memory, from /proc/vmstat and the cgroup's memory.events."""
    counts = [
        int(match[1])
        for text in (vmstat, cgroup_events)
        if (match := re.search(r"^oom_kill (\d+)$", text, re.MULTILINE))
    ]
    return sum(counts) if counts else None


def read_out_of_memory_kills() -> int | None:
    group = re.search(r"^0::(.*)$", _read("/proc/self/cgroup"), re.MULTILINE)
    events = _read(f"/sys/fs/cgroup{group[1]}/memory.events") if group else ""
    return out_of_memory_kills(_read("/proc/vmstat"), events)


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


def _cpu_name() -> str | None:
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    return cpu_from_cpuinfo(_read("/proc/cpuinfo"))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
