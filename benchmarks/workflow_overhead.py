"""What the workflow costs: wall time of a whole matrix through Snakemake against the engine processes' own wall times.

Measures the demo's matrix anew in a temporary directory, with the engine that `make demo` has built.

    python benchmarks/workflow_overhead.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def measure(configuration: Path, engine: Path, directory: Path) -> tuple[float, float, int]:
    """(wall seconds of the workflow, sum of the engine processes' wall seconds, number of engine processes)."""
    study = yaml.safe_load(configuration.read_text())
    (name,) = study["engines"]
    study["engines"] = {name: {"source": {"path": str(engine.resolve())}, "backend": "cpu"}}
    (directory / "study.yaml").write_text(yaml.safe_dump(study))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "-d",
        str(directory),
    ]
    start = time.monotonic()
    done = subprocess.run(
        [*command, "--configfile", str(directory / "study.yaml")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    elapsed = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(done.stdout[-3000:])
    records = [path for path in (directory / "results").rglob("run.json") if path.parent.name != ".finished"]
    runs = [json.loads(path.read_text()) for path in records]
    return elapsed, sum(run["wall_seconds"] for run in runs), len(runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configuration", type=Path, default=ROOT / "examples" / "demo.yaml")
    parser.add_argument("--engine", type=Path, default=ROOT / "results" / "engines" / "mainline" / "bin")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        elapsed, engines, processes = measure(arguments.configuration, arguments.engine, Path(directory))
    print(
        f"workflow {elapsed:.1f} s, {processes} engine processes {engines:.1f} s, ratio {elapsed / engines:.3f}"
    )


if __name__ == "__main__":
    main()
