"""Kills a real run at random moments, again and again, and counts what was lost, torn, left over or wrong.

Each round starts the workflow, waits a random time, and sends SIGKILL to make, to Snakemake, to the runner of the
current cell, to its engine, or to a program that makes tables, figures or the report. After each: every finished cell
must still be there byte for byte, every record must be whole, and no process may be left that works in the study's
directory. The next start must say what the last one left, with the command that unlocks. At the end the run is
finished undisturbed, and its tables must equal those of a run that nobody disturbed (the CPU engine is deterministic
there).

    python benchmarks/kill_at_random.py --engine results/engines/mainline/bin --kills 300
    python benchmarks/kill_at_random.py --engine results/engines/mainline/bin --kills 100 --scorer --whole
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from kvsweep.errors import KvsweepError  # noqa: E402
from kvsweep.measure.record import read_recorded  # noqa: E402

TARGETS = ("snakemake", "runner", "engine")
# Of a whole run as a user starts it.
WHOLE_TARGETS = ("make", "snakemake", "runner", "engine", "program")
ENGINES = ("llama-bench", "llama-perplexity", "kvsweep-scorer")
UNLOCK = "unlock it and start again: "
# How often what a killed run leaves is unlocked as the next one says; it takes two starts of Snakemake.
TOLD = 3


@dataclass
class Outcome:
    """What happened over all kills; everything but ``kills``, ``unlocked`` and ``rounds`` must be 0."""

    kills: dict[str, int]
    rounds: int = 0
    unlocked: int = 0
    cells_lost: int = 0
    torn_files: int = 0
    orphans: int = 0
    wrong_rows: int = 0


def small_study(engine: Path, directory: Path, *, scorer: bool = False) -> Path:
    """A configuration whose cells take about a second each, so that kills hit every stage."""
    study = {
        "engines": {"killed": {"source": {"path": str(engine.resolve())}, "backend": "cpu"}},
        "models": {"demo": {"path": str(next((ROOT / "resources" / "demo").glob("*.gguf")))}},
        "corpora": {"text": {"generate": {"seed": 5, "bytes": 16384}}},
        "pairs": ["f16", "q8_0", "q4_0", "q8_0/q4_0"],
        "quality": {"contexts": [256] if scorer else [256, 1024], "chunks": 8}
        | ({"method": ["perplexity", "scorer"]} if scorer else {}),
        "throughput": {"depths": [0, 256], "prompt": 64, "generate": 8, "repetitions": 2},
    }
    path = directory / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def start(directory: Path, study: Path, *, whole: bool = False) -> subprocess.Popen[bytes]:
    """The tables, by Snakemake; or the ``whole`` of it, with figures and report, as ``make run`` does it."""
    tables = ["results/tables/quality.parquet", "results/tables/throughput.parquet"]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "-d",
        str(directory),
    ]
    command += ["--configfile", str(study), "--nolock", "--", *tables]
    if whole:
        command = ["make", "--no-print-directory", "--assume-old", "setup", "run"]
        command += [f"BIN={Path(sys.executable).parent}", f"CONFIG={study}", f"STUDY={directory}"]
    log = (directory / "snakemake.log").open("ab")
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def victim(run: subprocess.Popen[bytes], target: str) -> psutil.Process | None:
    """The process to kill, if it is there at this moment."""
    try:
        started = psutil.Process(run.pid)
        below = started.children(recursive=True)
        if target == "make" or (target == "snakemake" and not is_make(started)):
            return started
        for child in below:
            if is_target(child.cmdline(), target):
                return child
    except (psutil.NoSuchProcess, IndexError):
        pass
    return None


def is_make(process: psutil.Process) -> bool:
    return Path(process.cmdline()[0]).name == "make"


def is_target(line: list[str], target: str) -> bool:
    """Whether a command line is that of Snakemake, of an engine, a runner or another program of a rule."""
    if target == "engine":
        return Path(line[0]).name in ENGINES
    if "python" not in Path(line[0]).name:
        return False
    program = Path(line[1])
    if target == "snakemake":
        return program.name == "snakemake"
    is_runner = program.name == "measure.py"
    return is_runner if target == "runner" else program.suffix == ".py" and not is_runner


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


def left_over(directory: Path) -> list[psutil.Process]:
    """What still works in the study's directory."""
    left = []
    # What ends while it is asked is left out.
    for process in psutil.process_iter(["cwd", "status"]):
        cwd, status = process.info["cwd"], process.info["status"]
        if cwd and Path(cwd) == directory.resolve() and status not in (None, psutil.STATUS_ZOMBIE):
            left.append(process)
    return left


def kill_rounds(
    engine: Path, kills: int, seed: int, directory: Path, *, scorer: bool = False, whole: bool = False
) -> Outcome:
    """Kill ``kills`` times, then compare the finished run with an undisturbed one."""
    chance = random.Random(seed)
    targets = WHOLE_TARGETS if whole else TARGETS
    outcome = Outcome(dict.fromkeys(targets, 0))
    undisturbed = directory / "undisturbed"
    undisturbed.mkdir(parents=True)
    study = small_study(engine, directory, scorer=scorer)
    begin = time.monotonic()
    if start(undisturbed, study, whole=whole).wait() != 0:
        raise SystemExit((undisturbed / "snakemake.log").read_text()[-2000:])
    longest = min((time.monotonic() - begin) / 2, 60.0) if whole else 10.0
    print(f"undisturbed: {time.monotonic() - begin:.0f} s", flush=True)
    killed_before: dict[Path, str] = {}
    work = directory / "work0"
    work.mkdir()
    while sum(outcome.kills.values()) < kills:
        outcome.rounds += 1
        target = chance.choice(targets)
        run = start(work, study, whole=whole)
        deadline = time.monotonic() + chance.uniform(1.5, longest)
        process = None
        while run.poll() is None and (time.monotonic() < deadline or process is None):
            time.sleep(0.002)
            if time.monotonic() >= deadline:
                process = victim(run, target)
        if process is None:
            # This run came to its end: check it and start over from nothing.
            if run.returncode != 0:
                raise SystemExit((work / "snakemake.log").read_text()[-2000:])
            outcome.wrong_rows += wrong_rows(work, undisturbed)
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
        if target == "make":
            end_what_make_left(work)
        gone_by = time.monotonic() + 30  # on a busy machine
        while left_over(work) and time.monotonic() < gone_by:
            time.sleep(0.05)
        for orphan in left_over(work):
            print(f"left over: {orphan}", file=sys.stderr)
            outcome.orphans += 1
            orphan.kill()
        after = finished_cells(work)
        lost = [path for path, digest in before.items() if after.get(path) != digest]
        for path in lost:
            print(f"lost: {path}", file=sys.stderr)
        outcome.cells_lost += len(lost)
        outcome.torn_files += torn(work)
        killed_before = after
        locks = list((work / ".snakemake" / "locks").glob("*"))
        if locks and whole and outcome.unlocked < TOLD:
            unlock_as_told(work, study)
            outcome.unlocked += 1
        for lock in locks:
            lock.unlink(missing_ok=True)
        if sum(outcome.kills.values()) % 5 == 0:
            print(outcome, flush=True)
    if start(work, study, whole=whole).wait() != 0:
        raise SystemExit((work / "snakemake.log").read_text()[-2000:])
    lost = [path for path, digest in killed_before.items() if finished_cells(work).get(path) != digest]
    outcome.cells_lost += len(lost)
    outcome.wrong_rows += wrong_rows(work, undisturbed)
    return outcome


def end_what_make_left(directory: Path) -> None:
    """Snakemake works on without its make: ended as a user ends it."""
    for process in left_over(directory):
        try:
            if is_target(process.cmdline(), "snakemake"):
                process.terminate()
                process.wait(60)
        except (psutil.NoSuchProcess, IndexError):
            pass


def unlock_as_told(directory: Path, study: Path) -> None:
    """A start in the place of a run that was killed does nothing but say how to unlock it."""
    before = len((directory / "snakemake.log").read_text())
    status = start(directory, study, whole=True).wait()
    said = (directory / "snakemake.log").read_text()[before:]
    told = [line.partition(UNLOCK)[2] for line in said.splitlines() if UNLOCK in line]
    if status == 0 or len(told) != 1:
        raise SystemExit(f"a run that was killed is not said to be one: {said}")
    subprocess.run(shlex.split(told[0]), check=True, capture_output=True)


def measured(directory: Path, table: str) -> pd.DataFrame:
    """The rows of a table without the published ones."""
    rows = pd.read_parquet(directory / "results" / "tables" / f"{table}.parquet")
    return rows[rows.source == "measured"]


def wrong_rows(directory: Path, undisturbed: Path) -> int:
    """Rows of the quality table and scores of tokens that differ from the undisturbed run's, and throughput rows that
    are not measured."""
    columns = ["ctk", "ctv", "n_ctx", "method", "status"]
    columns += ["ppl", "ppl_base", "kld_mean", "kld_p999", "top1_agreement"]
    found, expected = (
        measured(one, "quality")[columns].reset_index(drop=True) for one in (directory, undisturbed)
    )
    differing = len(found.compare(expected)) if len(found) == len(expected) else len(expected)
    tokens = [dict(scores(one)) for one in (directory, undisturbed)]
    differing += sum(not tokens[0].get(name, pd.DataFrame()).equals(it) for name, it in tokens[1].items())
    throughput = measured(directory, "throughput")
    return int(differing + (throughput.status != "measured").sum())


def scores(directory: Path) -> Iterator[tuple[Path, pd.DataFrame]]:
    """What the scorer said of each token of a cell, by the cell's file."""
    tokens = directory / "results" / "tokens"
    for path in sorted(tokens.rglob("*.parquet")):
        yield path.relative_to(tokens), pd.read_parquet(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", type=Path, required=True, help="directory with the engine's programs")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scorer", action="store_true", help="measure divergence by the scorer, too")
    parser.add_argument("--whole", action="store_true", help="make run, to the report, with its lock")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        begin = time.monotonic()
        outcome = kill_rounds(
            *(arguments.engine, arguments.kills, arguments.seed, Path(directory)),
            scorer=arguments.scorer,
            whole=arguments.whole,
        )
    print(f"kills {outcome.kills} in {outcome.rounds} rounds, {time.monotonic() - begin:.0f} s")
    print(
        f"cells lost {outcome.cells_lost}, torn files {outcome.torn_files}, unlocked {outcome.unlocked} times"
    )
    print(f"left over {outcome.orphans}, wrong rows {outcome.wrong_rows}")


if __name__ == "__main__":
    main()
