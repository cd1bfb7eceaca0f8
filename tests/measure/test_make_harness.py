"""How a harness is made ready: its packages once, its trees, and each exercise's own solution tried once.

tests/measure/test_real_harness.py looks at what the program makes where the real one is installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.inputs import harness as inputs
from kvsweep.measure.tasks import sandbox
from kvsweep.measure.tasks.polyglot import Harness
from kvsweep.measure.tasks.sandbox import Sandbox
from support import Done, run_in_this_process

NAMES = [f"python/e{number}" for number in range(30)]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Whose own solution does not pass here, and why; ``tried`` are the exercises that were tried."""
    found = Fails()

    def passes(_harness: Harness, name: str) -> str | None:
        found.tried.append(name)
        return found.get(name)

    monkeypatch.setattr(Harness, "example_passes", passes)
    monkeypatch.setattr(inputs, "packages", lambda *_: Path("/packages/bin/python"))
    monkeypatch.setattr(inputs, "tree", lambda url, commit, *_: Path("/trees", url, commit[:4]))
    return found


class Fails(dict[str, str]):
    def __init__(self) -> None:
        self.tried: list[str] = []


def make(
    place: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "bubblewrap", image: str | None = None
) -> Done:
    monkeypatch.setattr(sandbox, "find", lambda *_: Sandbox(kind, f"/usr/bin/{kind}", image))
    monkeypatch.setattr(sandbox, "image_id", lambda found: f"sha256 of {found.image}")
    asked = {"sandbox": "auto", "image": "i", "aider": "a", "polyglot": "p", "exercises": NAMES}
    options = ("--name", "t", "--definition", json.dumps(asked), "--harness-json", place / "t.json")
    return run_in_this_process("make_harness", options)


def test_what_has_passed_is_not_tried_again(
    tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails["python/e3"] = "no such command: ‹cargo›"
    done = make(tmp_path, monkeypatch)
    assert done.returncode == 1 and not (tmp_path / "t.json").exists()
    assert "tasks.t: trying the own solutions of 30 exercises" in done.stderr
    assert "tasks.t: 25 of 30 tried, 1 failed" in done.stderr
    assert (
        "tasks.t: of 30 exercises 1 did not pass here with their own solution, so that nothing can be said of a "
        "model's (python/e3: no such command: ‹cargo›); give the sandbox"
    ) in done.stderr
    assert sorted(fails.tried) == sorted(NAMES)
    fails.clear()
    fails.tried.clear()
    assert make(tmp_path, monkeypatch).returncode == 0
    assert fails.tried == ["python/e3"]
    manifest = json.loads((tmp_path / "t.json").read_text())
    assert manifest["sandbox"] == {"kind": "bubblewrap", "program": "/usr/bin/bubblewrap", "image": None}
    assert (manifest["python"], manifest["base"]) == ("/packages/bin/python", sys.base_prefix)
    assert (manifest["aider"][:8], manifest["exercises"][:8]) == ("/trees/a", "/trees/p")
    assert make(tmp_path, monkeypatch).returncode == 0
    assert fails.tried == ["python/e3"]


def test_in_another_sandbox_all_are_tried_again(
    tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make(tmp_path, monkeypatch).returncode == 0
    done = make(tmp_path, monkeypatch, "podman", "aider-benchmark")
    assert done.returncode == 0 and "will run in podman, image aider-benchmark" in done.stderr
    assert fails.tried == NAMES * 2
    manifest = json.loads((tmp_path / "t.json").read_text())
    assert manifest["identity"] == {
        **{"sandbox": "podman", "image": "aider-benchmark", "packages_sha256": None},
        "image_id": "sha256 of aider-benchmark",
    }
    assert manifest["python"] is manifest["base"] is None  # its packages are the image's


def test_only_the_first_of_many_are_named(
    tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails.update(dict.fromkeys(NAMES, "no"))
    done = make(tmp_path, monkeypatch)
    assert "of 30 exercises 30 did not pass here" in done.stderr
    assert "python/e4: no; ...);" in done.stderr and "python/e5: no" not in done.stderr


def told(_line: str) -> None:
    pass


def test_packages_are_installed_once_and_found_beside_this_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []

    def run_pip(*command: str) -> Any:
        ran.append(command)
        return SimpleNamespace(returncode=0, stdout="")

    monkeypatch.setattr(inputs, "run_pip", run_pip)
    directory = tmp_path / "one" / "results" / "harness"
    for path in (directory, tmp_path / "two" / "results"):
        path.mkdir(parents=True)
    python = inputs.packages(directory, tmp_path, told)
    assert [command[1:3] for command in ran] == [("-m", "venv"), ("-m", "pip")]
    assert "--require-hashes" in ran[1] and ran[1][-1] == str(inputs.REQUIREMENTS)
    assert inputs.packages(directory, tmp_path, told) == python
    assert inputs.packages(tmp_path / "two" / "results" / "harness", tmp_path, told) == python
    assert len(ran) == 2


def test_packages_that_cannot_be_installed_are_said_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = SimpleNamespace(returncode=1, stdout="Collecting\nERROR: no network\n")
    monkeypatch.setattr(inputs, "run_pip", lambda *_: failed)
    with pytest.raises(KvsweepError, match=r"harness cannot be installed \(ERROR: no network\)"):
        inputs.packages(tmp_path / "results" / "harness", tmp_path, told)
    assert not list(tmp_path.rglob("complete"))
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    with pytest.raises(KvsweepError, match=r"runs on Python 3.10 to 3.12, and this is 3.13; make kvsweep's"):
        inputs.packages(tmp_path / "results" / "harness", tmp_path, told)
