"""Every cell pays for what its runner imports: nothing that analyses, and nothing that checks a configuration."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kvsweep.code_identity import program_files
from support import SCRIPTS

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


@pytest.mark.parametrize("kind", ["quality", "scorer", "throughput"])
def test_a_cell_does_not_wait_for_what_checks_a_configuration(kind: str) -> None:
    """The import of pydantic and of the configuration's classes takes longer than that of all else."""
    code = f"import sys; import measure, kvsweep.measure.{kind}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert not {"pydantic", "yaml", "requests"} & set(run.stdout.split())
