"""The programs behind make's targets, on a results directory that is none or is damaged: one sentence, and status 1."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded_study
from support import run_in_this_process

PROGRAMS: dict[str, tuple[str, ...]] = {
    "show_status": (),
    "forget_cells": ("STATUS=timeout",),
    "rename_results": ("MODEL=kvsweep-demo:other",),
    "make_slice": ("DRY=1",),
    "export_tables": (),
}


def is_a_file(results: Path) -> None:
    shutil.rmtree(results)
    results.write_text("no directory")


def is_not_there(results: Path) -> None:
    shutil.rmtree(results)


def is_empty(results: Path) -> None:
    is_not_there(results)
    results.mkdir()


def link_to_nowhere(results: Path) -> None:
    is_not_there(results)
    results.symlink_to("nowhere")


DIRECTORIES = (is_a_file, is_not_there, is_empty, link_to_nowhere)
CONTENTS = (b"{", b"null", b'{"configuration": 1, "machine": 1, "streams": [1]}', b"[" * 100_000, None)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    others = shutil.ignore_patterns("c1024", "d1024", "d512", "k-q4_?", "k-iq4_nl", "v-q4_0")
    return Path(shutil.copytree(recorded_study.RESULTS, tmp_path / "results", ignore=others))


def says_one_sentence(program: str, results: Path) -> None:
    done = run_in_this_process(program, ("--results", results, *PROGRAMS[program]))
    said = [line for line in done.stderr.splitlines() if "error: " in line]
    assert done.returncode == 1 and len(said) == 1, done.stderr
    assert said[0].startswith("kvsweep: error: ") and said[0].endswith(".")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("mistake", DIRECTORIES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_study_that_is_none(program: str, mistake: Callable[[Path], None], results: Path) -> None:
    mistake(results)
    says_one_sentence(program, results)


@pytest.mark.parametrize(("program", "content"), list(itertools.product(PROGRAMS, CONTENTS)))
@pytest.mark.parametrize(
    "file", ["last-run.json", "config.json", "*/**/run.json", "*/**/build.json", "*/**/model.json"]
)
def test_a_file_that_is_damaged_is_no_traceback(
    program: str,
    content: bytes | None,
    file: str,
    results: Path,
) -> None:
    """None: a directory in its place. What can do without the file does."""
    for path in sorted(results.glob(file)) or [results / file]:
        path.unlink(missing_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)
    done = run_in_this_process(program, ("--results", results, *PROGRAMS[program]))
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 1:
        says_one_sentence(program, results)
