"""``--software-deployment-method conda``: programs run by the Python of the environment that workflow/envs asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_rule_runs_by_the_python_of_its_environment(tmp_path: Path) -> None:
    base, study = tmp_path / "conda", tmp_path / "study"
    (base / "bin").mkdir(parents=True)
    study.mkdir()
    stand_in = ROOT / "tests" / "stand_in" / "conda.py"
    conda = base / "bin" / "conda"
    conda.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "{base}" "$@"\n')
    conda.chmod(0o755)
    (base / "bin" / "activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"),
            *("--directory", str(study), "--configfile", str(ROOT / "examples" / "quick.yaml")),
            *("--software-deployment-method", "conda", "--", "results/published/tables/throughput.parquet"),
        ],
        env={**os.environ, "PATH": f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (study / "results/published/tables/throughput.parquet").is_file()
    (ran,) = (study / ".snakemake" / "conda").glob("*.ran")
    assert set(ran.read_text().splitlines()) == {str(ROOT / "workflow" / "scripts" / "make_tables.py")}
