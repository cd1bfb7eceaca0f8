"""A plan beside a run: of another configuration, in its directory or for another study, it changes nothing there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from support import ROOT
from test_records import Place, finished_study, place

__all__ = ["finished_study", "place"]
# What a plan is for, and what it said; no run reads either.
OF_THE_PLAN = ("plan.json", "logs/plan.log")


def files(results: Path) -> dict[str, tuple[int, bytes]]:
    return {
        name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(results.rglob("*"))
        if path.is_file() and (name := str(path.relative_to(results))) not in OF_THE_PLAN
    }


def plan(place: Place, directory: Path) -> str:
    """As ``make plan CONFIG=other.yaml`` does, with STUDY= or without."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2"),
            *("--nolock", "--quiet", "all", "--configfile", place.root / "other.yaml"),
            *("--directory", directory, "--", "plan"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_planning_another_configuration_beside_a_run_changes_nothing(place: Place, tmp_path: Path) -> None:
    shutil.rmtree(place.results / "throughput")
    run = place.start(STAND_IN="hang")
    try:
        place.wait_for_engine(1)
        # The sign of life of what is running is the run's own.
        before = {name: value for name, value in files(place.results).items() if "throughput" not in name}
        for directory in (place.root, tmp_path / "another study"):
            directory.mkdir(exist_ok=True)
            assert "throughput:" in plan(place, directory)
            after = {name: value for name, value in files(place.results).items() if "throughput" not in name}
            assert after == before
            assert (directory / "results" / "plan.json").exists()
        assert run.poll() is None
    finally:
        run.terminate()
        run.communicate()
    place.run()
