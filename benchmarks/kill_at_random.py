"""Kills a real run at random moments, again and again, and counts what was lost, torn or wrong.

Each round starts the workflow, waits a random time, and sends SIGKILL to Snakemake, to the runner of the current cell
or to its engine. After each: every finished cell must still be there byte for byte, every record must be whole, and no
engine may be left running. At the end the run is finished undisturbed, and its quality table must equal that of a run
that nobody disturbed (the CPU engine is deterministic there).

    python benchmarks/kill_at_random.py --engine results/engines/mainline/bin --kills 300
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from kvsweep.errors import KvsweepError  # noqa: E402
from kvsweep.measure.record import read_recorded  # noqa: E402

TARGETS = ("snakemake", "runner", "engine")


@dataclass
class Outcome:
    """What happened over all kills; everything but ``kills`` and ``rounds`` must be 0."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TARGETS, 0))
    rounds: int = 0
    cells_lost: int = 0
    torn_files: int = 0
    orphans: int = 0
    wrong_rows: int = 0


def small_study(engine: Path, directory: Path) -> Path:
    """A configuration whose cells take about a second each, so that kills hit every stage."""
    study = {
        "engines": {"killed": {"source": {"path": str(engine.resolve())}, "backend": "cpu"}},
        "models": {"demo": {"path": str(next((ROOT / "resources" / "demo").glob("*.gguf")))}},
        "corpora": {"text": {"generate": {"seed": 5, "bytes": 16384}}},
        "pairs": ["f16", "q8_0", "q4_0", "q8_0/q4_0"],
        "quality": {"contexts": [256, 1024], "chunks": 8},
        "throughput": {"depths": [0, 256], "prompt": 64, "generate": 8, "repetitions": 2},
    }
    path = directory / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def start(directory: Path, study: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "-d",
        str(directory),
    ]
    tables = ["results/tables/quality.parquet", "results/tables/throughput.parquet"]
    log = (directory / "snakemake.log").open("ab")
    return subprocess.Popen(
        [*command, "--configfile", str(study), "--nolock", "--", *tables],
        cwd=ROOT,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def victim(run: subprocess.Popen[bytes], target: str) -> psutil.Process | None:
    """The process to kill, if it is there at this moment."""
    try:
        snakemake = psutil.Process(run.pid)
        if target == "snakemake":
            return snakemake
        for child in snakemake.children(recursive=True):
            line = child.cmdline()
            if (
                target == "runner"
                and any(word.endswith("measure.py") for word in line)
                and "python" in line[0]
            ):
                return child
            if target == "engine" and Path(line[0]).name in ("llama-bench", "llama-perplexity"):
                return child
    except (psutil.NoSuchProcess, IndexError):
        pass
    return None


def records(directory: Path) -> list[Path]:
    """run.json of every cell and baseline, without the second names that a finished one's files have for a while."""
    return [path for path in (directory / "results").rglob("run.json") if path.parent.name != ".finished"]


def finished_cells(directory: Path) -> dict[Path, str]:
    """Digest of every finished cell and baseline: of its run.json and all that this names.

    One that has only its second names is finished too: the next run brings it back.
    """
    cells = {}
    for run_json in (directory / "results").rglob("run.json"):
        second = run_json.parent.name == ".finished"
        cell = run_json.parent.parent if second else run_json.parent
        if second and (cell / "run.json").exists():
            continue
        digest = hashlib.sha256(run_json.read_bytes())
        for stream in json.loads(run_json.read_text())["streams"]:
            digest.update((run_json.parent / stream["name"]).read_bytes())
        cells[cell] = digest.hexdigest()
    return cells


def torn(directory: Path) -> int:
    """Records that exist under their final name and are not whole."""
    count = 0
    for run_json in records(directory):
        try:
            read_recorded(run_json.parent)
        except KvsweepError as error:
            print(f"torn: {error}", file=sys.stderr)
            count += 1
    return count


def engines_left(engine: Path) -> list[psutil.Process]:
    """Engine processes of this study that are still running."""
    left = []
    # What ends while it is asked is left out.
    for process in psutil.process_iter(["exe", "status"]):
        exe, status = process.info["exe"], process.info["status"]
        if exe and Path(exe).parent == engine.resolve() and status not in (None, psutil.STATUS_ZOMBIE):
            left.append(process)
    return left


def kill_rounds(engine: Path, kills: int, seed: int, directory: Path) -> Outcome:
    """Kill ``kills`` times, then compare the finished run with an undisturbed one."""
    chance = random.Random(seed)
    outcome = Outcome()
    undisturbed = directory / "undisturbed"
    undisturbed.mkdir(parents=True)
    study = small_study(engine, directory)
    if start(undisturbed, study).wait() != 0:
        raise SystemExit((undisturbed / "snakemake.log").read_text()[-2000:])
    expected = measured(undisturbed, "quality")
    seconds = 20.0
    killed_before: dict[Path, str] = {}
    work = directory / "work0"
    work.mkdir()
    while sum(outcome.kills.values()) < kills:
        outcome.rounds += 1
        target = chance.choice(TARGETS)
        run = start(work, study)
        deadline = time.monotonic() + chance.uniform(1.5, seconds / 2)
        process = None
        while run.poll() is None and (time.monotonic() < deadline or process is None):
            time.sleep(0.002)
            if time.monotonic() >= deadline:
                process = victim(run, target)
        if process is None:
            # This run came to its end: check it and start over from nothing.
            outcome.wrong_rows += wrong_rows(work, expected)
            work = directory / f"work{outcome.rounds}"
            work.mkdir()
            killed_before = {}
            continue
        before = {**killed_before, **finished_cells(work)}
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
        outcome.kills[target] += 1
        run.wait()
        gone_by = time.monotonic() + 5
        while engines_left(engine) and time.monotonic() < gone_by:
            time.sleep(0.05)
        for orphan in engines_left(engine):
            outcome.orphans += 1
            orphan.kill()
        after = finished_cells(work)
        lost = [path for path, digest in before.items() if after.get(path) != digest]
        for path in lost:
            print(f"lost: {path}", file=sys.stderr)
        outcome.cells_lost += len(lost)
        outcome.torn_files += torn(work)
        killed_before = after
        if sum(outcome.kills.values()) % 20 == 0:
            print(outcome, flush=True)
    if start(work, study).wait() != 0:
        raise SystemExit((work / "snakemake.log").read_text()[-2000:])
    lost = [path for path, digest in killed_before.items() if finished_cells(work).get(path) != digest]
    outcome.cells_lost += len(lost)
    outcome.wrong_rows += wrong_rows(work, expected)
    return outcome


def measured(directory: Path, table: str) -> pd.DataFrame:
    """The rows of a table without the published ones."""
    rows = pd.read_parquet(directory / "results" / "tables" / f"{table}.parquet")
    return rows[rows.source == "measured"]


def wrong_rows(directory: Path, expected: pd.DataFrame) -> int:
    """Rows of the quality table that differ from the undisturbed run's, and throughput rows that are not measured."""
    columns = ["ctk", "ctv", "n_ctx", "status", "ppl", "ppl_base", "kld_mean", "kld_p999", "top1_agreement"]
    found = measured(directory, "quality")
    differing = (found[columns] != expected[columns]).any(axis=1).sum() + abs(len(found) - len(expected))
    throughput = measured(directory, "throughput")
    return int(differing + (throughput.status != "measured").sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--engine", type=Path, required=True, help="directory with llama-bench and llama-perplexity"
    )
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        begin = time.monotonic()
        outcome = kill_rounds(arguments.engine, arguments.kills, arguments.seed, Path(directory))
    print(f"kills {outcome.kills} in {outcome.rounds} rounds, {time.monotonic() - begin:.0f} s")
    print(f"cells lost {outcome.cells_lost}, torn files {outcome.torn_files}")
    print(f"orphans {outcome.orphans}, wrong rows {outcome.wrong_rows}")


if __name__ == "__main__":
    main()
