"""What goes wrong is one sentence, once, first or last: no traceback and no shell command around it."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kvsweep.figures.catalogue import FIGURES
from support import SCRIPTS, run_program
from test_records import Place, finished_study, place

__all__ = ["finished_study", "place"]
NOISE = (
    "Traceback",
    "set -euo pipefail",
    "non-zero exit status",
    "Error in rule",
    "WorkflowError",
    "RuleException",
)


def said_once(sentence: str, said: str) -> None:
    assert said.count(sentence) == 1, said
    assert not [word for word in NOISE if word in said], said


def changed(place: Place, **changes: object) -> None:
    configuration = yaml.safe_load((place.root / "study.yaml").read_text())
    (place.root / "study.yaml").write_text(yaml.safe_dump(configuration | changes))


def ends_with_an_error(place: Place, *options: str) -> str:
    process = place.start(*options)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 1, said
    return said


@pytest.mark.parametrize("options", [(), ("--quiet", "all"), ("--dry-run",)])
def test_a_mistake_of_the_configuration(place: Place, options: tuple[str, ...]) -> None:
    """``make plan`` is quiet: what goes wrong is said all the same."""
    changed(place, thoughput={"depths": [0]})
    said = ends_with_an_error(place, *options)
    said_once("kvsweep: error: thoughput: unknown key; the nearest valid one is 'throughput'.", said)


@pytest.mark.parametrize("options", [(), ("--keep-going",)])
def test_what_a_job_cannot_do(place: Place, options: tuple[str, ...]) -> None:
    model = place.root / "no-model.gguf"
    model.write_text("this is no model")
    changed(place, models={"tiny": {"path": str(model)}})
    said = ends_with_an_error(place, *options)
    said_once(f"models.tiny.path: {model} is not a GGUF file", said)


def test_a_run_that_was_killed_says_the_whole_command_that_unlocks(place: Place) -> None:
    shutil.rmtree(place.results / "throughput")
    process = place.start(STAND_IN="hang")
    place.wait_for_engine(1)
    process.kill()
    process.communicate()
    said = ends_with_an_error(place)
    said_once("locked by another run, or by one that was killed; nothing is lost", said)
    command = said.partition("unlock it and start again: ")[2].splitlines()[0]
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    before = place.starts
    place.run()
    assert place.starts == before + 2


def small_files() -> None:
    """As on a disk that is full after 2 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("published")
    done = run_program("make_tables.py", "--results", results, "--only-published")
    assert done.returncode == 0, done.stderr
    return results


@pytest.mark.parametrize(
    ("program", "options", "file"),
    [
        ("make_tables.py", ("--results", ".", "--only-published"), "tables/"),
        ("make_answers.py", ("--tables", "tables"), "tables/"),
        (
            "write_report.py",
            ("--tables", "tables", "--figures", "figures", "--html", "r.html", "--markdown", "r.md"),
            "r.html",
        ),
        ("draw_figures.py", ("--tables", "tables", "--out", "figures", "--processes", "1"), "figures/"),
        ("draw_figures.py", ("--tables", "tables", "--out", "figures", "--processes", "2"), "figures/"),
    ],
)
def test_a_full_disk(
    published: Path, tmp_path: Path, program: str, options: tuple[str, ...], file: str
) -> None:
    """Of which no torn file is left either."""
    shutil.copytree(published / "tables", tmp_path / "tables")
    ready = run_program("make_answers.py", "--tables", tmp_path / "tables")
    if program == "write_report.py":
        (tmp_path / "figures").mkdir()
        for name in FIGURES:
            (tmp_path / "figures" / f"{name}.csv").touch()
            (tmp_path / "figures" / f"{name}.svg").write_text('<svg viewBox="0 0 1 1"></svg>')
    assert ready.returncode == 0, ready.stderr
    done = subprocess.run(
        [sys.executable, SCRIPTS / program, *options],
        cwd=tmp_path,
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    *_, last = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert last.startswith(f"kvsweep: error: {file}"), done.stderr
    assert last.endswith(": cannot be written (File too large); free disk space.")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_not_writable(place: Place) -> None:
    place.root.chmod(0o500)
    try:
        said = ends_with_an_error(place)
    finally:
        place.root.chmod(0o700)
    said_once("nothing can be written here; make it writable", said)
