"""What runs inside a sandbox, outside one and without the harness."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import inside_sandbox as inside
import pytest
from kvsweep.measure.tasks.polyglot import Crashed, read_result

JOB = {"exercise": "python/wordy", "edit_format": "whole", "tries": 2, "answer_tokens": 100}


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    place = tmp_path / "scratch"
    (place / "benchmarks").mkdir(parents=True)
    monkeypatch.setattr(inside, "SCRATCH", place)
    monkeypatch.setattr(inside, "BENCHMARKS", place / "benchmarks")
    return place


@pytest.fixture
def original(scratch: Path) -> Path:
    place = scratch / "benchmarks/original/python/exercises/practice/wordy"
    (place / ".meta").mkdir(parents=True)
    (place / ".meta/config.json").write_text(json.dumps({"files": {"solution": ["wordy.py"]}}))
    return place


def test_a_harness_that_ends_before_it_begins_has_said_why(original: Path) -> None:
    """Here because there is none; in an image because a package of its is missing or too old."""
    assert original.is_dir()
    channel = SimpleNamespace(ask=None)
    result = inside.run_harness(channel, JOB, original)
    assert (result["results"], result["answer"]) == (None, "")
    with pytest.raises(Crashed, match=r"the harness left no result \(exit status 2\): .*/aider/benchmark"):
        read_result(result)


def test_the_harness_is_started_in_a_repository_of_its_own(scratch: Path) -> None:
    """It asks for the commit and for changes; that of its image may have neither or lack files."""
    place = inside.repository()
    assert place.parent == scratch
    for words in (("rev-parse", "HEAD"), ("diff", "--abbrev=40", "--full-index", "--raw")):
        done = subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=True)
        assert bool(done.stdout) == (words[0] == "rev-parse")


def test_rust_is_found_where_an_image_has_it(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """rustup and cargo look into the home directory, which is another one for what a model wrote."""
    for name in ("CARGO_HOME", "RUSTUP_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert "RUSTUP_HOME" not in inside.environment()
    (tmp_path / "home/.rustup").mkdir(parents=True)
    (tmp_path / "home/.cargo").mkdir()
    found = inside.environment()
    assert (found["HOME"], found["RUSTUP_HOME"]) == (str(scratch / "home"), str(tmp_path / "home/.rustup"))
    assert found["CARGO_HOME"] == str(tmp_path / "home/.cargo")
    monkeypatch.setenv("RUSTUP_HOME", "/usr/local/rustup")
    assert inside.environment()["RUSTUP_HOME"] == "/usr/local/rustup"
