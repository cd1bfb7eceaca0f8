"""What the workflow costs: a matrix through Snakemake beside shell loops that run the same engine commands.

The first loop is the workflow's own engine commands, one after the other: every baseline once, prefill and decode of a
cell in one process. The second measures prefill and decode apart, as one would by hand, so that it fills every cache
twice. Both are bash scripts, written from the records of the workflow's run and kept with --keep. The matrix is the
one of examples/quick.yaml without its tasks, measured anew in a temporary directory with the engine that
`make run CONFIG=examples/quick.yaml` has built.

    python benchmarks/workflow_overhead.py --rounds 2
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
Record = dict[str, Any]


@dataclass(frozen=True)
class Round:
    """Wall seconds; ``engines`` is the sum of the workflow's engine processes alone."""

    workflow: float
    engines: float
    loop: float
    apart: float
    processes: int
    repeated: int


def measure(configuration: Path, engine: Path, directory: Path) -> tuple[float, list[Record]]:
    """Wall seconds of all cells through the workflow, and their records in the order in which they were run."""
    study = yaml.safe_load(configuration.read_text())
    (name,) = study["engines"]
    study.pop("tasks", None)  # a server that is asked over HTTP: no command of a shell
    study["engines"] = {name: {"source": {"path": str(engine.resolve())}, "backend": "cpu"}}
    (directory / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["-d", str(directory), "--configfile", str(directory / "study.yaml"), "--", "measurements"]
    seconds = wall_seconds(command)
    paths = [path for path in (directory / "results").rglob("run.json") if path.parent.name != ".finished"]
    records = [json.loads(path.read_text()) for path in paths]
    return seconds, sorted(records, key=lambda record: str(record["started_at"]))


def wall_seconds(command: list[str]) -> float:
    begin = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(command)}\n{done.stdout[-3000:]}")
    return seconds


def loop(records: list[Record], directory: Path, *, apart: bool) -> str:
    """A script with the engine commands of ``records``, each with its output in a file of its own."""
    lines = ["set -eu"]
    for number, record in enumerate(records):
        words = [own_logits(record, word, directory) for word in record["command"]]
        variants = [words]
        if apart and record["kind"] == "throughput":
            variants = [with_option(words, "-n", "0"), with_option(words, "-p", "0")]
        for part, variant in enumerate(variants):
            out = shlex.quote(str(directory / f"{number}-{part}"))
            lines.append(f"{shlex.join(variant)} >{out}.out 2>{out}.err")
    return "\n".join(lines) + "\n"


def own_logits(record: Record, word: str, directory: Path) -> str:
    """The loop's own baseline file in place of the workflow's."""
    is_logits = record["command"][record["command"].index(word) - 1] == "--kl-divergence-base"
    return str(directory / f"{record['n_ctx']}.kld") if is_logits else word


def with_option(words: list[str], option: str, value: str) -> list[str]:
    at = words.index(option) + 1
    return [*words[:at], value, *words[at + 1 :]]


def one_round(configuration: Path, engine: Path, keep: Path | None) -> Round:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        workflow, records = measure(configuration, engine, place)
        seconds = {}
        for name, apart in (("loop", False), ("apart", True)):
            directory = place / name
            directory.mkdir()
            script = directory / f"{name}.sh"
            script.write_text(loop(records, directory, apart=apart))
            seconds[name] = wall_seconds(["bash", str(script)])
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(script, keep)
    return Round(
        workflow,
        sum(record["wall_seconds"] for record in records),
        seconds["loop"],
        seconds["apart"],
        len(records),
        sum(record["attempts"] - 1 for record in records),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configuration", type=Path, default=ROOT / "examples" / "quick.yaml")
    parser.add_argument("--engine", type=Path, default=ROOT / "results" / "engines" / "mainline" / "bin")
    parser.add_argument("--rounds", type=int, default=1, help="of all three, in turn")
    parser.add_argument("--keep", type=Path, help="a directory for the two scripts")
    arguments = parser.parse_args()
    print(
        "| engine processes | run again | workflow, s | its engines, s | loop, s | ratio | loop, apart, s | ratio |"
    )
    print("|--:|" + "--:|" * 7, flush=True)
    rounds = []
    for _ in range(arguments.rounds):
        one = one_round(arguments.configuration, arguments.engine, arguments.keep)
        rounds.append(one)
        print(
            f"| {one.processes} | {one.repeated} | {one.workflow:.1f} | {one.engines:.1f} | {one.loop:.1f} | "
            f"{one.workflow / one.loop:.3f} | {one.apart:.1f} | {one.workflow / one.apart:.3f} |",
            flush=True,
        )
    print(f"median ratio: {median(one.workflow / one.loop for one in rounds):.3f}")


if __name__ == "__main__":
    main()
