"""How kvsweep runs on one machine."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import ROOT


def test_the_mac_s_profile_is_the_default_one_that_goes_on() -> None:
    """A profile replaces the other as a whole, so that what both have must be in both."""
    default, mac = (
        yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text()) for name in ("default", "mac")
    )
    assert mac == default | {"keep-going": True}


def test_snakemake_takes_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"),
            *(
                "--workflow-profile",
                ROOT / "profiles" / "mac",
                "--configfile",
                ROOT / "examples" / "quick.yaml",
            ),
            *("--directory", tmp_path, "--dry-run"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "profiles/mac" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["quick", "cluster"])
def test_a_directory_is_unlocked_by_the_cluster_s_command(tmp_path: Path, name: str) -> None:
    """Also of a configuration that says nothing of nodes, and without a number of cores."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--unlock"),
            *("--workflow-profile", ROOT / "profiles" / "slurm"),
            *("--configfile", ROOT / "examples" / f"{name}.yaml", "--directory", tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_conda_environment_asks_for_what_running_asks_for() -> None:
    environment = yaml.safe_load((ROOT / "workflow" / "envs" / "kvsweep.yaml").read_text())
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    lines = (ROOT / "requirements" / "run.txt").read_text().splitlines()
    assert pip == [line.rstrip("\\ ") for line in lines if line[:1].isalpha()]
    assert all("==" in line for line in pip)
