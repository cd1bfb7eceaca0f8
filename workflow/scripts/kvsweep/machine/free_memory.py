"""How much memory a machine can give to a new program now, in bytes. A probe that fails is None, never a stop."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path


def available_memory_bytes() -> int | None:
    """What the operating system says is available, without swap."""
    try:
        if platform.system() == "Darwin":
            done = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=10, check=True)
            return from_vm_stat(done.stdout)
        return from_meminfo(Path("/proc/meminfo").read_text())
    except (OSError, subprocess.SubprocessError):
        return None


def from_meminfo(text: str) -> int | None:
    """``MemAvailable`` of Linux's /proc/meminfo."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def swap_used_linux(meminfo: str) -> int | None:
    """``SwapTotal`` less ``SwapFree`` of Linux's /proc/meminfo."""
    found = [re.search(rf"^Swap{name}:\s+(\d+) kB$", meminfo, re.MULTILINE) for name in ("Total", "Free")]
    total, free = (int(match[1]) * 1024 if match else None for match in found)
    return None if total is None or free is None else total - free


def from_vm_stat(text: str) -> int | None:
    """Free, speculative and inactive pages of macOS's vm_stat."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = [
        re.search(rf"^Pages {name}:\s+(\d+)\.$", text, re.MULTILINE)
        for name in ("free", "speculative", "inactive")
    ]
    found = [int(match[1]) for match in pages if match]
    return int(size[1]) * sum(found) if size and len(found) == len(pages) else None
