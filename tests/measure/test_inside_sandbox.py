"""What runs inside a sandbox, outside one and without the harness."""

from __future__ import annotations

import json
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("files", "solutions"),
    [
        ({"solution": ["wordy.py"], "example": [".meta/example.py"]}, ["wordy.py"]),
        (
            {"solution": ["src/a.cpp", "src/a.h"], "example": [".meta/example.h", ".meta/example.cpp"]},
            ["src/a.h", "src/a.cpp"],
        ),
        (
            {"solution": ["One.java", "Two.java"], "example": [".meta/Two.java", ".meta/One.java"]},
            ["Two.java", "One.java"],
        ),
        # One more than is asked for stands beside the others.
        (
            {"solution": ["src/lib.rs"], "example": [".meta/example.rs", ".meta/more.rs"]},
            ["src/lib.rs", "src/more.rs"],
        ),
    ],
)
def test_which_file_an_example_is_the_solution_of(files: dict[str, list[str]], solutions: list[str]) -> None:
    assert inside.solutions_for(files) == solutions


@pytest.mark.parametrize(("right", "passed"), [("5", True), ("6", False)])
def test_an_example_passes_where_its_tests_do(
    original: Path, right: str, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"solution": ["wordy.py"], "test": ["wordy_test.py"], "example": [".meta/example.py"]}
    (original / ".meta/config.json").write_text(json.dumps({"files": files}))
    (original / ".meta/example.py").write_text(f"def answer():\n    return {right}\n")
    (original / "wordy.py").write_text("def answer():\n    pass\n")
    (original / "wordy_test.py").write_text(
        "import wordy\n\ndef test_it():\n    assert wordy.answer() == 5\n"
    )
    monkeypatch.setattr(inside, "TESTS", {".py": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]})
    found = inside.test_example(original)
    assert found["passed"] is passed and f"1 {'passed' if passed else 'failed'}" in found["log"]
    assert "pass" in (original / "wordy.py").read_text()


@pytest.mark.parametrize(
    ("command", "log"),
    [(["no-such-program"], "no-such-program: No such file"), (["sleep", "60"], "not done after 0.1 s")],
)
def test_an_example_whose_tests_cannot_be_run_does_not_pass(
    original: Path, command: list[str], log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"solution": ["w.py"], "test": ["w_test.py"], "example": [".meta/example.py"]}
    (original / ".meta/config.json").write_text(json.dumps({"files": files}))
    (original / ".meta/example.py").write_text("")
    monkeypatch.setattr(inside, "TESTS", {".py": command})
    monkeypatch.setattr(inside, "TESTS_SECONDS", 0.1)
    found = inside.test_example(original)
    assert found["passed"] is False and found["log"].startswith(log)


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
