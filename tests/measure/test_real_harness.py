"""The real harness on real exercises in real sandboxes, with a stand-in for the server: make test-harness.

In every sandbox that was made ready: bubblewrap, podman, docker.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kvsweep.measure.record import read_recorded
from kvsweep.measure.tasks.polyglot import Harness
from kvsweep.measure.tasks.sandbox import Confined
from kvsweep.study.cells import TaskCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import task_rows
from support import ROOT, Done, Workplace, measure, run_json, with_server

MANIFESTS = sorted((ROOT / "results" / "harness").glob("tests-*.json"))
pytestmark = [
    pytest.mark.harness,
    pytest.mark.skipif(not MANIFESTS, reason="the harness is not installed: make test-harness"),
]


@pytest.fixture(params=MANIFESTS, ids=lambda path: path.stem.removeprefix("tests-"))
def manifest(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def place(workplace: Workplace, manifest: Path) -> Workplace:
    (workplace.root / "manifest.json").symlink_to(manifest)
    return with_server(workplace)


def run(place: Workplace, does: dict[str, str], edit_format: str = "whole", minutes: float = 5) -> Done:
    names = [f"python/{name}" for name in does]
    definition = {
        **{"kind": "aider-polyglot", "contexts": [32768], "exercises": names, "edit_format": edit_format},
        **{"tries": 2, "answer_tokens": 2048, "seed": 1},
    }
    harness = place.root / "manifest.json"
    solutions = Path(json.loads(harness.read_text())["exercises"], "python", "exercises", "practice")
    command = [
        *("task", "--results", place.results, "--cell", "tasks/stand-in/tiny/p/k-f16/v-f16"),
        *("--engine", place.build_json, "--model", place.model_json, "--pair", "f16", "--task", "p"),
        *("--definition", json.dumps(definition), "--n-items", str(len(names)), "--cell-hours", "1"),
        *("--answer-minutes", json.dumps({"p": minutes}), "--log-mebibytes", "1", "--harness", harness),
    ]
    environment = {"STAND_IN_EXERCISES": json.dumps(does), "STAND_IN_SOLUTIONS": str(solutions)}
    return measure(command, environment)


def tables(place: Workplace) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    build, model = (json.loads(path.read_text()) for path in (place.build_json, place.model_json))
    of = TaskCell("stand-in", "tiny", "p", Pair.parse("f16"))
    recorded = read_recorded(place.results / of.directory)
    items = task_rows.item_rows(of, recorded, build, model)
    return task_rows.task_row(of, recorded, build, model), {
        item["item"].removeprefix("python/"): item for item in items
    }


def test_some_are_solved(place: Workplace) -> None:
    does = {"wordy": "solve", "beer-song": "fail", "grep": "fail-once", "proverb": "no-room"}
    done = run(place, does)
    assert done.returncode == 0, done.stderr
    row, items = tables(place)
    assert (row["status"], row["right"], row["right_at_once"]) == ("measured", 2, 1)
    # An image has that of the tree that it was made from, a commit after 0.86.2.
    assert row["harness_version"].startswith("0.86.")
    passed = {name: item["passed_at"] for name, item in items.items()}
    assert passed == {"wordy": 1, "beer-song": None, "grep": 2, "proverb": None}
    assert "def answer(question)" in items["wordy"]["answer"]
    assert items["proverb"]["refused"] == 2


def test_malformed_edits(place: Workplace) -> None:
    assert run(place, {"wordy": "malformed"}, edit_format="diff").returncode == 0
    row, items = tables(place)
    assert (row["status"], row["right"]) == ("measured", 0)
    assert items["wordy"]["malformed_edits"] > 0


def test_a_server_that_dies_or_hangs(place: Workplace) -> None:
    assert run(place, {"wordy": "solve", "grep": "dies"}).returncode == 0
    row, _ = tables(place)
    assert (row["status"], row["answered"]) == ("crashed", 1)
    # The finished exercise is not run again.
    record = place.results / "tasks/stand-in/tiny/p/k-f16/v-f16"
    (record / "run.json").unlink()
    (record / ".finished" / "run.json").unlink()
    assert run(place, {"wordy": "solve", "grep": "hangs"}, minutes=1.5).returncode == 0
    row, _ = tables(place)
    assert (row["status"], row["answered"]) == ("timeout", 1)
    assert run_json(record)["items_before"] == 1


HOSTILE = """\
import os, pathlib, socket
def answer(question):
    seen = {p for p in %r if os.path.exists(p) and set(os.listdir(p)) - set(%r)}
    seen |= {p for p in %r if os.path.exists(p)}
    try:
        socket.create_connection(("1.1.1.1", 53), timeout=2)
        seen.add("network")
    except OSError:
        pass
    for path in ("/aider/benchmark/x", "/exercises/x", "/usr/x"):
        try:
            pathlib.Path(path).write_text("x")
            seen.add(path)
        except OSError:
            pass
    raise SystemError(sorted(seen))
"""


def test_what_a_model_wrote_sees_no_file_and_no_network(manifest: Path, tmp_path: Path) -> None:
    """What it saw is what it raises, which the tests print and the harness hands to the model for the next try."""
    harness = Harness.of(json.loads(manifest.read_text()))
    (tmp_path / "private").touch()
    directories, files = [str(ROOT)], [str(tmp_path / "private")]
    if harness.sandbox.image is None:  # an image has its own
        directories += ["/home", "/root", "/var"]
        files += ["/etc/shadow", "/etc/hostname"]
    # Of a home directory that Python was installed in the way there is seen, and nothing else.
    code = HOSTILE % (directories, Path(harness.places.base or "/").parts, files)
    said = []
    with Confined(harness.sandbox, harness.places) as inside:
        inside.send({"exercise": "python/wordy", "edit_format": "whole", "tries": 2, "answer_tokens": 100})
        while (message := inside.receive(300)) and "ask" in message:
            said.append(json.dumps(message["ask"]["messages"]))
            choice = {"role": "assistant", "content": f"wordy.py\n```python\n{code}```\n"}
            body = {
                **{"id": "a", "object": "chat.completion", "created": 1, "model": "m"},
                "choices": [{"index": 0, "finish_reason": "stop", "message": choice}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
            inside.send({"status": 200, "body": body})
    assert any("SystemError: []" in messages for messages in said)
    assert not any("SystemError: ['" in messages for messages in said)
