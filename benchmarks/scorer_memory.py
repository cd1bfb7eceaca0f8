"""The scorer's memory at long windows, against that of its caches, compute buffers and the model.

    python benchmarks/scorer_memory.py --engine results/engines/mainline/bin --model m.gguf --text wiki.test.raw \\
        --contexts 32768 131072 --positions 16x512

One process a context, with one pair and one window. Measured are the peak of its resident memory and, where nvidia-smi
answers, the peak of what all devices together have in use, less what was in use before (the driver's own part of a
process is in it: run a short context first to see how much that is). The buffers are those that the engine logs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from kvsweep.engine import commands
from kvsweep.engine.commands import ScorerRequest
from kvsweep.machine.gpus import nvidia_query
from kvsweep.study.pairs import Pair
from kvsweep.study.positions import Positions
from kvsweep.units import format_bytes

from scorer import run

_MIB = 1024**2
_BUFFER = re.compile(r": +(\S+) +(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")
_COUNTED = ("model", "KV", "RS", "compute")


def device_bytes() -> int | None:
    """What all devices have in use; None without nvidia-smi."""
    try:
        printed = subprocess.run(nvidia_query("memory.used"), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return sum(int(line) * _MIB for line in printed.stdout.split())


class DevicePeak:
    """The largest of what the devices had in use while it was open, less what they had before."""

    def __enter__(self) -> DevicePeak:
        self._before = self._most = device_bytes()
        self._end = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while self._most is not None and not self._end.wait(0.1):
            self._most = max(self._most, device_bytes() or 0)

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._watch.join()

    @property
    def used(self) -> int | None:
        return None if self._most is None or self._before is None else self._most - self._before


def buffers(log: str) -> dict[str, dict[str, float]]:
    """Bytes by kind and device, of all contexts."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for device, kind, mib in _BUFFER.findall(log):
        found[kind][device] += float(mib) * _MIB
    return found


def is_host(buffer: str) -> bool:
    return buffer.startswith("CPU") or buffer.endswith("_Host") or buffer == "AMX"


def show(where: str, peak: float, counted: float) -> None:
    print(
        f"  {where}: peak {format_bytes(peak)}, model, caches and compute buffers {format_bytes(counted)}"
        + (f": {peak / counted:.2f} times" if counted else ""),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", type=Path, required=True, help="directory with kvsweep-scorer")
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--contexts", type=int, nargs="+", default=[512, 32768, 131072])
    parser.add_argument("--pair", type=Pair.parse, default=Pair.parse("q8_0"))
    parser.add_argument(
        "--positions",
        type=Positions.parse,
        default=Positions.parse("16x512"),
        help="half or BLOCKSxTOKENS; half where they do not fit",
    )
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    for n_ctx in given.contexts:
        fits = given.positions.blocks * given.positions.tokens < n_ctx
        request = ScorerRequest(n_ctx, 1, str(given.positions) if fits else "half")
        with tempfile.TemporaryDirectory() as name, DevicePeak() as device:
            command = commands.scorer(
                *(given.engine / "kvsweep-scorer", given.model, given.text, request),
                *([given.pair], Path(name) / "scores", given.threads),
            )
            found = run(command, Path(name) / "log")
        print(
            f"{n_ctx} tokens, {request.positions}: {found.seconds:.1f} s, {found.cpu_seconds:.1f} s of processor"
        )
        logged = buffers(found.text)
        for kind, of_devices in logged.items():
            print(f"  {kind}: " + ", ".join(f"{name} {format_bytes(n)}" for name, n in of_devices.items()))
        counted = {
            where: sum(
                n
                for kind in _COUNTED
                for name, n in logged[kind].items()
                if is_host(name) == (where == "host")
            )
            for where in ("host", "devices")
        }
        peaks = {"host": found.rss_bytes, "devices": device.used or 0}
        for where in ("host", "devices") if counted["devices"] else ("host",):
            show(where, peaks[where], counted[where])
        show("in all", sum(peaks.values()), sum(counted.values()))


if __name__ == "__main__":
    main()
