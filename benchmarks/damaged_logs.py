"""Damages recorded output in a million ways and counts how often a parser gave another number.

Runs tests/engine/test_parser_properties.py in slices, each with a seed of its own, so that a slice that fails can be
run again alone: the command is printed.

    python benchmarks/damaged_logs.py --cases 1000000
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = "tests/engine/test_parser_properties.py"


def run_slice(seed: int, cases: int) -> str | None:
    """Try ``cases`` damaged outputs; what the tests printed if one of them gave a wrong number, else None."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--hypothesis-seed={seed}",
        TESTS,
    ]
    environment = {**os.environ, "KVSWEEP_PROPERTY_CASES": str(cases)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    return f"KVSWEEP_PROPERTY_CASES={cases} {' '.join(command)}\n{done.stdout[-5000:]}{done.stderr[-1000:]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000, help="damaged outputs in all")
    parser.add_argument("--slice", type=int, default=40_000, help="damaged outputs of one process")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first slice; the next ones count up")
    arguments = parser.parse_args()
    begin = time.monotonic()
    slices = -(-arguments.cases // arguments.slice)
    failed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        seeds = range(arguments.seed, arguments.seed + slices)
        for done, wrong in enumerate(pool.map(lambda seed: run_slice(seed, arguments.slice), seeds), start=1):
            if wrong is not None:
                failed += 1
                print(wrong, file=sys.stderr)
            print(
                f"{done * arguments.slice:,} damaged outputs, {failed} slices with a wrong number", flush=True
            )
    print(f"{slices * arguments.slice:,} damaged outputs in {time.monotonic() - begin:.0f} s")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
