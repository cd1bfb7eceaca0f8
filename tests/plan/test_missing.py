"""What has to be on this machine and is not is said before anything is built, by the plan, a dry run and a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.plan.hooks import Hooks, Job
from kvsweep.plan.missing import missing, needed_for
from kvsweep.study.cells import all_cells
from kvsweep.study.config import parse_study
from small_study import CONFIG, place, standing
from support import STAND_IN, run_in_this_process

__all__ = ["place"]
LOCAL: dict[str, Any] = {
    "engines": {"e": {"source": {"path": "engine"}, "backend": "cpu"}},
    "corpora": {"c": {"path": "text.txt"}},
    "slices": {"s": "slice.zip"},
}
NOT_THERE = {
    "engine": "engines.e.source.path: there is no directory {place}/engine",
    "models/m.gguf": "models.m.path: there is no file {place}/models/m.gguf",
    "text.txt": "corpora.c.path: there is no file {place}/text.txt",
    "slice.zip": "slices.s: there is nothing at {place}/slice.zip",
}


@pytest.fixture
def whole(place: Path) -> Path:
    """Everything is there; of the slice a directory of records."""
    (place / "engine").symlink_to(STAND_IN)
    (place / "text.txt").write_text("All work and no play makes Jack a dull boy. " * 300)
    cell = place / "slice.zip" / "throughput" / "e" / "m" / "d0" / "k-f16" / "v-f16"
    cell.mkdir(parents=True)
    (cell / "run.json").write_text("{}")
    return place


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name("elsewhere"))
    else:
        path.unlink()


def found(place: Path) -> list[str]:
    study = parse_study(CONFIG | LOCAL)
    return missing(study, place, needed_for(study, all_cells(study)))


def test_nothing_is_missing(whole: Path) -> None:
    assert found(whole) == []


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there(whole: Path, name: str) -> None:
    remove(whole / name)
    assert found(whole) == [NOT_THERE[name].format(place=whole)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("engine", None, "engines.e: {place}/engine has no program 'llama-bench'"),
        ("engine", b"x", "engines.e.source.path: there is no directory {place}/engine"),
        ("models/m.gguf", None, "models.m.path: {place}/models/m.gguf is a directory; name a file"),
        ("text.txt", None, "corpora.c.path: {place}/text.txt is a directory; name a file"),
        ("text.txt", b"", "corpora.c.path: {place}/text.txt is empty; name a text"),
        ("text.txt", b"\x1f\x8bx", "corpora.c.path: {place}/text.txt is compressed (gzip); name the text in it "
         "with member, or unpack it"),
        ("slice.zip", None, "slices.s: {place}/slice.zip has no records and no tables of kvsweep"),
        ("slice.zip", b"PK\3\4x", "slices.s: {place}/slice.zip: it is no zip archive, or has something behind its "
         "end; get it again"),
    ],
)  # fmt: skip
def test_what_is_nothing_of_its_kind(whole: Path, name: str, content: bytes | None, said: str) -> None:
    remove(whole / name)
    (whole / name).mkdir() if content is None else (whole / name).write_bytes(content)
    assert found(whole) == [said.format(place=whole)]


@pytest.mark.parametrize("name", NOT_THERE)
def test_plan_dry_run_and_run_say_it(whole: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    remove(whole / name)
    said = NOT_THERE[name].format(place=whole)
    hooks = Hooks(standing(whole, **LOCAL), {}, "", Path("scripts"))
    hooks.foresee()
    assert capsys.readouterr().err == f"kvsweep: note: {said}\n"
    jobs = [Job("engine", {"engine": "e"}), Job("model", {"model": "m"}), Job("corpus", {"corpus": "c"})]
    with pytest.raises(KvsweepError) as raised:
        hooks._check_inputs([*jobs, Job("tables", {})])
    assert str(raised.value) == (
        f"{said}. Put what is missing there, or correct the path; nothing was built or measured."
    )
    if name != "models/m.gguf":  # of which the header would be read
        (whole / "models" / "m.gguf").unlink()
    planned = run_in_this_process(
        "make_plan", ("--results", "results", "--base", whole, "--config", json.dumps(CONFIG | LOCAL))
    )
    assert planned.returncode == 0, planned.stderr
    assert capsys.readouterr().out.count(said) == 1


def test_what_finished_cells_needed_is_not_missed(whole: Path) -> None:
    (whole / "models" / "m.gguf").unlink()
    study = parse_study(
        {key: value for key, value in CONFIG.items() if key != "quality"} | {"pairs": ["f16"]}
    )
    assert missing(study, whole, needed_for(study, [])) == []
