"""Every cell pays for what its runner imports: nothing that analyses, and nothing that checks a configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kvsweep.code_identity import program_files
from support import SCRIPTS

KINDS = ("baseline", "quality", "scorer", "throughput", "task")
ANALYSE = {"pandas", "pyarrow", "matplotlib", "scipy"}


@pytest.mark.parametrize(
    "program",
    [
        "build_engine",
        "inside_sandbox",
        "inspect_model",
        "make_corpus",
        "make_harness",
        "measure",
    ],
)
def test_nothing_that_measures_imports_what_analyses(program: str) -> None:
    """With everything that any of its functions imports later."""
    files = program_files(SCRIPTS / f"{program}.py")
    modules = sorted(
        ".".join(path.relative_to(SCRIPTS).with_suffix("").parts) for path in files if path.suffix == ".py"
    )
    assert program in modules
    code = (
        f"import sys, importlib; [importlib.import_module(name) for name in {modules}]; print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert not ANALYSE & set(run.stdout.split())
    later = {
        line.split()[1].partition(".")[0]
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(("import ", "from "))
    }
    assert (
        not (ANALYSE - {"scipy"}) & later
    )  # SciPy is imported where a quantile is asked for, which measuring does not


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_does_not_wait_for_what_checks_a_configuration(kind: str, tmp_path: Path) -> None:
    """The import of pydantic and of the configuration's classes takes longer than that of all else.

    Of the program itself, as a rule starts it, to where it reads its first manifest, which is not there.
    """
    windows = ("--corpus", "corpus.json", "--n-ctx", "1024", "--chunks", "8")
    own = {
        "baseline": windows,
        "quality": (*windows, "--logits", "logits.kld"),
        "scorer": (*windows, "--positions", "half"),
        "throughput": ("--depth", "0", "--prompt", "64", "--generate", "16", "--repetitions", "3"),
        "task": ("--task", "r", "--definition", "{}", "--n-items", "1"),
    }
    common = ("--results", tmp_path, "--cell", "cell", "--engine", "build.json", "--model", "model.json")
    command = [sys.executable, "-X", "importtime", SCRIPTS / "measure.py", kind, *common, *own[kind]]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    missing = "corpus.json" if "--corpus" in own[kind] else "build.json"
    assert run.returncode == 1 and f"kvsweep: error: {missing}" in run.stderr
    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert f"kvsweep.measure.{'quality' if kind == 'baseline' else kind}" in loaded
    # A task's cell asks a server.
    assert not ({"pydantic", "yaml"} | (set() if kind == "task" else {"requests"})) & loaded


def test_a_speed_does_not_wait_for_what_its_own_work_does_not_need() -> None:
    """``dataclasses`` brings ``inspect``, ``statistics`` fractions and random numbers: a tenth of the start each."""
    code = "import sys; import measure, kvsweep.measure.throughput; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert not {"dataclasses", "inspect", "statistics", "fractions", "tempfile"} & loaded
    assert "kvsweep.engine.log" not in loaded  # read of cells on a device alone


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_cell_knows_its_own_options(kind: str) -> None:
    """Only the options of the kind that is asked for are made: all five would take 5 ms of each cell."""

    def help_of(*words: str) -> str:
        command = [sys.executable, SCRIPTS / "measure.py", *words, "--help"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    own = {"baseline": "--n-ctx", "quality": "--logits", "scorer": "--positions", "throughput": "--depth"}
    assert own.get(kind, "--task") in help_of(kind)
    assert "--pair" in help_of(kind)
    assert f"measure a {kind} cell" in help_of()
