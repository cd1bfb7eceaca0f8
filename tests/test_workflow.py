"""The workflow itself: what it would run, and how a wrong configuration ends. Every call of Snakemake takes seconds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kvsweep import cells
from kvsweep.config import parse_study
from support import ROOT


def dry_run(place: Path, configuration: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"),
            *("--configfile", configuration, "--directory", place, "--dry-run", "--cores", "1"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def jobs(output: str) -> dict[str, int]:
    """Snakemake's own table of the jobs to run."""
    table = output.partition("Job stats:")[2].partition("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


@pytest.mark.parametrize(
    ("configuration", "throughput", "quality", "baselines"),
    [("config.yaml", 7 * 8, 7, 1), ("examples/demo.yaml", 12 * 4, 12 * 2, 2)],
)
def test_what_would_run(
    tmp_path: Path, configuration: str, throughput: int, quality: int, baselines: int
) -> None:
    done = dry_run(tmp_path, ROOT / configuration)
    assert done.returncode == 0, done.stderr
    found = jobs(done.stdout + done.stderr)
    once = ("engine", "accepted_types", "model", "corpus", "study", "tables", "figures", "report", "all")
    assert {name: found[name] for name in once} == dict.fromkeys(once, 1)
    assert (found["throughput_cell"], found["quality_cell"], found["baseline"]) == (
        throughput,
        quality,
        baselines,
    )
    study = parse_study(yaml.safe_load((ROOT / configuration).read_text()))
    assert len(cells.throughput_cells(study)) == throughput
    assert len(cells.quality_cells(study)) == quality
    assert len(cells.baseline_runs(study)) == baselines
    # To look changes nothing.
    assert not (tmp_path / "results" / "throughput").exists()


def test_a_wrong_configuration_is_one_sentence(tmp_path: Path) -> None:
    wrong = yaml.safe_load((ROOT / "examples" / "demo.yaml").read_text())
    wrong["throughput"]["depth"] = wrong["throughput"].pop("depths")
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(wrong))
    done = dry_run(tmp_path, path)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "throughput.depth: unknown key; the nearest valid one is 'depths'." in said
    assert "Traceback" not in said
