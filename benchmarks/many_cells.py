"""What kvsweep itself costs at many cells, beside a bare Snakemake workflow with the same jobs, files and a param each.

No engine runs: the raw cells are written as the engine for faults would have printed them. For each size: a dry run
of a study of which nothing is done, a run of one of which all is done (both workflows in turn, medians), the tables
from all raw cells, and the tables again after one cell was measured anew.

    python benchmarks/many_cells.py --cells 100 1000 10000
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from generated import SCRIPTS, Generated, finish, unmeasured

ROOT = Path(__file__).parents[1]
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Cost:
    """Wall time, and the largest memory of all processes together at any moment (shared pages counted once)."""

    seconds: float
    bytes: int

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.bytes / MEBIBYTE:.0f} MiB"


def cost_of(command: list[str]) -> Cost:
    with tempfile.TemporaryFile() as said:
        begin = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        peaks = [0]
        watch = threading.Thread(target=_watch, args=(process, peaks))
        watch.start()
        code = process.wait()
        seconds = time.monotonic() - begin
        watch.join()
        if code != 0:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{said.read().decode()[-3000:]}")
    return Cost(seconds, peaks[0])


def _watch(process: subprocess.Popen[bytes], peaks: list[int]) -> None:
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
            peaks[0] = max(peaks[0], sum(member.memory_full_info().pss for member in family))
        except psutil.Error:
            pass
        time.sleep(0.1)


def side_by_side(ours: list[str], bare: list[str], rounds: int) -> tuple[Cost, Cost]:
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(rounds):
        for side, command in zip(costs, (ours, bare), strict=True):
            side.append(cost_of(command))
    first, second = (Cost(median(c.seconds for c in side), max(c.bytes for c in side)) for side in costs)
    return first, second


def make_tables(study: Generated) -> Cost:
    return cost_of([sys.executable, str(SCRIPTS / "make_tables.py"), "--results", str(study.results)])


def measure_one_anew(study: Generated) -> None:
    """Another record in place of one cell's, as a new measurement leaves it."""
    run_json = study.results / study.runs[-1].directory / "run.json"
    record = json.loads(run_json.read_text())
    record["wall_seconds"] += 1
    run_json.write_text(json.dumps(record, indent=1))


def row(cells: int, root: Path, rounds: int) -> str:
    study = unmeasured(root, cells)
    dry = side_by_side(study.command("-n", "--quiet", "all", "--", "measurements"),
                       study.bare_command("-n", "--quiet", "all"), rounds)  # fmt: skip
    finish(study)
    no_op = side_by_side(study.command("--quiet", "all", "--", "measurements"),
                         study.bare_command("--quiet", "all"), rounds)  # fmt: skip
    tables = make_tables(study)
    measure_one_anew(study)
    again = make_tables(study)
    shown = [f"{len(study.runs):,}"]
    for ours, bare in (dry, no_op):
        shown += [str(ours), str(bare), f"{ours.seconds / bare.seconds:.2f}, {ours.bytes / bare.bytes:.2f}"]
    return f"| {' | '.join([*shown, str(tables), str(again)])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument(
        "--rounds", type=int, default=3, help="runs of each workflow; one from 10,000 cells up"
    )
    arguments = parser.parse_args()
    print("| cells | dry run | bare | ratio | all done | bare | ratio | tables | one cell anew |")
    print("|--:|" + "--:|" * 8, flush=True)
    place = Path(tempfile.mkdtemp(prefix="kvsweep-"))
    try:
        for cells in arguments.cells:
            rounds = arguments.rounds if cells < 10_000 else 1
            print(row(cells, place / str(cells), rounds), flush=True)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
