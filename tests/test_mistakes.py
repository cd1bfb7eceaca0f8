"""The programs behind make's targets, on a results directory that is none or is damaged: one sentence, and status 1."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import recorded_study
from kvsweep.errors import KvsweepError
from kvsweep.files import read_json
from kvsweep.tables.raw_cells import identity
from kvsweep.tables.read_cells import Group, read_tables
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


CELL = "throughput/mainline/kvsweep-demo/d0/k-f16/v-f16"
CHANGED: list[dict[str, Any]] = [
    *({key: None} for key in ("streams", "machine", "command", "wall_seconds")),
    {"streams": []},
    {"machine": {}},
    {"machine": {"name": 3}},
    {"wall_seconds": "long"},
    {"started_at": 3},
    {"model": "other"},
]


@pytest.mark.parametrize("values", CHANGED, ids=str)
@pytest.mark.parametrize("is_there", [True, False])
def test_no_program_goes_on_with_a_record_that_is_none(
    values: dict[str, Any], is_there: bool, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value of it is another, or is missing."""
    path = results / CELL / "run.json"
    run = json.loads(path.read_text())
    path.write_text(
        json.dumps(run | values if is_there else {k: v for k, v in run.items() if k not in values})
    )
    status = run_in_this_process("show_status", ("--results", results))
    assert status.returncode == 0, status.stderr
    forget = run_in_this_process("forget_cells", ("--results", results, "STATUS=damaged", "DRY=1"))
    packed = run_in_this_process("make_slice", ("--results", results, "DRY=1"))
    said = capsys.readouterr().out
    if "started_at" in values and not is_there:  # an older kvsweep wrote none for a cell that was skipped
        assert packed.returncode == 0
        return
    assert "(1 damaged, " in said
    assert forget.returncode == 0 and "1 cell would be forgotten" in forget.stderr
    assert packed.returncode == 1 and f"{path}: " in packed.stderr
    says_one_sentence("make_slice", results)
    cell = identity(CELL)
    assert cell is not None
    build = read_json(results / "engines" / cell.engine / "build.json")
    model = read_json(results / "models" / cell.model / "model.json")
    group = Group("throughput", [cell], build, model)
    with pytest.raises(KvsweepError, match=f"^{re.escape(str(path))}: "):
        list(read_tables(results, [group], "", 1, {}))


def test_a_text_that_is_named_by_a_damaged_manifest_is_in_no_slice(results: Path) -> None:
    text = next(results.glob("quality/*/*/*")).name
    path = results / "corpora" / text / "corpus.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    done = run_in_this_process("make_slice", ("--results", results, "DRY=1"))
    assert done.returncode == 1 and f"{path}: is not what kvsweep writes there" in done.stderr
