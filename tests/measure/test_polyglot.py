"""Exercises of Aider Polyglot, with stand-ins for the server, for the sandbox and for the harness in it.

tests/measure/test_real_harness.py does the same with the real harness in a real sandbox.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.errors import KvsweepError
from kvsweep.measure.record import read_recorded
from kvsweep.measure.tasks import sandbox
from kvsweep.measure.tasks.polyglot import Crashed, messages_in, read_result
from kvsweep.measure.tasks.sandbox import Places, Sandbox
from kvsweep.study.cells import TaskCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import task_rows
from kvsweep.tables.columns import as_table
from kvsweep.tables.schemas import TASK_ITEMS, TASKS
from support import SCRIPTS, STAND_IN, TESTS, Done, Workplace, measure, run_json, wait_for, with_server

NAMES = ["python/beer-song", "python/grep", "python/wordy"]
DEFINITION = {
    **{"kind": "aider-polyglot", "contexts": [8192], "exercises": NAMES, "edit_format": "whole", "tries": 2},
    **{"answer_tokens": 256, "seed": 1, "aider_commit": "a", "exercises_commit": "b"},
}
SOLVED, FAILED = {"wordy": "solve", "grep": "fail-once"}, "beer-song"


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    """With an engine that has a server, and a harness that is ready."""
    with_server(workplace)
    harness = {
        "sandbox": {"kind": "bubblewrap", "program": str(STAND_IN / "bwrap"), "image": None},
        **{"aider": "/nowhere", "exercises": "/nowhere", "python": sys.executable, "base": sys.base_prefix},
        "identity": {"sandbox": "bubblewrap", "image": None, "packages_sha256": "0"},
    }
    (workplace.root / "harness.json").write_text("{}")
    (workplace.root / "manifest.json").write_text(json.dumps(harness))
    return workplace


def cell(place: Workplace, pair: str = "f16") -> Path:
    return place.results / TaskCell("stand-in", "tiny", "p", Pair.parse(pair)).directory


def command(place: Workplace, pair: str = "f16", minutes: float = 1) -> list[str | Path]:
    return [
        *("task", "--results", place.results, "--cell", str(cell(place, pair).relative_to(place.results))),
        *("--engine", place.build_json, "--model", place.model_json, "--pair", pair, "--task", "p"),
        *("--definition", json.dumps(DEFINITION), "--n-items", "3", "--cell-hours", "1"),
        *("--answer-minutes", json.dumps({"p": minutes}), "--log-mebibytes", "1"),
        *("--harness", place.root / "manifest.json"),
    ]


def environment(place: Workplace, does: dict[str, str] | None = None) -> dict[str, str]:
    return {"HOME": str(place.root), "STAND_IN_EXERCISES": json.dumps(SOLVED if does is None else does)}


def run(
    place: Workplace, pair: str = "f16", does: dict[str, str] | None = None, harness: Any = None, **more: Any
) -> Done:
    (place.root / "harness.json").write_text(json.dumps(harness or {}))
    return measure(command(place, pair, **more), environment(place, does))


def started(place: Workplace) -> list[str]:
    """The exercises that were begun since this was asked last."""
    file = place.root / "started"
    found = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def tables(place: Workplace, pair: str = "f16") -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    build, model = (json.loads(path.read_text()) for path in (place.build_json, place.model_json))
    of, recorded = TaskCell("stand-in", "tiny", "p", Pair.parse(pair)), read_recorded(cell(place, pair))
    row, items = (
        task_rows.task_row(of, recorded, build, model),
        task_rows.item_rows(of, recorded, build, model),
    )
    as_table([row], TASKS)
    as_table(items, TASK_ITEMS)
    return row, {item["item"]: item for item in items}


def test_exercises_are_counted_after_each_try(place: Workplace) -> None:
    done = run(place)
    assert done.returncode == 0, done.stderr
    row, items = tables(place)
    assert (row["status"], row["reason"], row["items"], row["right"]) == ("measured", None, 3, 2)
    assert (row["right_at_once"], row["sandbox"], row["harness_version"]) == (1, "bubblewrap", "0.86.2")
    assert {name: item["passed_at"] for name, item in items.items()} == dict(
        zip(NAMES, [None, 2, 1], strict=True)
    )
    assert items["python/grep"]["requests"] == 2
    assert items["python/wordy"]["answer"].endswith("solved```\n")
    assert row["effective_ctk"] == "f16"
    assert "3 of 3 items answered" in done.stderr


def test_pairs_are_asked_the_same_on_any_day(place: Workplace) -> None:
    for pair in ("f16", "q8_0"):
        assert run(place, pair).returncode == 0
    prompts = [
        [item["prompt_sha256"] for item in tables(place, pair)[1].values()] for pair in ("f16", "q8_0")
    ]
    assert prompts[0] == prompts[1]
    assert len(set(prompts[0])) == 3


def test_a_finished_exercise_is_never_run_again(place: Workplace) -> None:
    """The runner is killed in the second exercise; what ran in its sandbox ends with it."""
    (place.root / "harness.json").write_text(json.dumps({"python/grep": "sleep"}))
    runner = subprocess.Popen(
        [sys.executable, SCRIPTS / "measure.py", *map(str, command(place))],
        env=os.environ | environment(place),
    )
    wait_for(
        lambda: (place.root / "started").exists() and len((place.root / "started").read_text().split()) == 2
    )
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    assert started(place) == NAMES[:2]
    assert run(place).returncode == 0
    assert started(place) == NAMES[1:]
    assert tables(place)[0]["right"] == 2
    assert run_json(cell(place))["items_before"] == 1


def test_a_crash_of_the_harness_is_tried_once_more_and_no_result(place: Workplace) -> None:
    done = run(place, harness={"python/beer-song": "crash"})
    assert done.returncode == 0
    assert started(place) == [*NAMES, NAMES[0]]
    row, items = tables(place)
    assert (row["status"], row.get("share")) == ("crashed", None)
    said = "the harness crashed: KeyError: 'choices'"
    assert row["reason"] == f"1 of 3 items have no answer; python/beer-song: {said} (exit status 0)"
    assert items["python/beer-song"]["right"] is None
    # What is measured again is what has no result.
    (cell(place) / "run.json").unlink()
    (cell(place) / ".finished" / "run.json").unlink()
    assert run(place).returncode == 0
    assert started(place) == [NAMES[0]]
    assert tables(place)[0]["status"] == "measured"


def test_a_crash_that_does_not_come_again(place: Workplace) -> None:
    assert run(place, harness={"python/beer-song": "crash-once"}).returncode == 0
    assert tables(place)[0]["status"] == "measured"


def test_a_harness_that_leaves_nothing(place: Workplace) -> None:
    assert run(place, harness={"python/grep": "nothing"}).returncode == 0
    said = "the sandbox ended without a result (exit status 3: the harness: no module named aider)"
    assert tables(place)[1]["python/grep"]["problem"] == said


def test_an_exercise_that_takes_too_long_is_not_solved(place: Workplace) -> None:
    """Where the model had answered; the others go on."""
    hangs_later = {**SOLVED, "beer-song": "hangs-later"}
    assert run(place, does=hangs_later, minutes=4 / 60).returncode == 0
    row, items = tables(place)
    assert (row["status"], row["right"]) == ("measured", 2)
    late = items["python/beer-song"]
    assert (late["right"], late["stopped"], late["requests"]) == (False, "time limit", 1)


def test_a_server_that_never_answers_is_a_timeout(place: Workplace) -> None:
    assert run(place, does={**SOLVED, "grep": "hangs"}, minutes=2 / 60).returncode == 0
    row, _ = tables(place)
    assert (row["status"], row["answered"]) == ("timeout", 1)
    assert row["reason"].startswith("an answer was not there after the limit of 2")


def test_a_dead_server_is_noticed_at_once(place: Workplace) -> None:
    assert run(place, does={**SOLVED, "grep": "dies"}).returncode == 0
    row, _ = tables(place)
    assert (row["status"], row["answered"]) == ("crashed", 1)
    assert "1 of 3 items were answered (SIGSEGV)" in row["reason"]
    assert run_json(cell(place))["wall_seconds"] < 60


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("nothing", "HTTP 200 and nothing"),
        ("no-json", "HTTP 200 and what is no JSON"),
        ("error", "HTTP 400: the "),
    ],
)
def test_an_answer_that_is_none_is_no_result(place: Workplace, fault: str, problem: str) -> None:
    assert run(place, does={**SOLVED, "beer-song": fault}).returncode == 0
    row, items = tables(place)
    assert row["status"] == "crashed"
    assert items["python/beer-song"]["problem"].startswith(problem)
    assert items["python/wordy"]["right"]


def test_without_room_in_the_context_an_exercise_is_not_solved(place: Workplace) -> None:
    assert run(place, does={**SOLVED, "beer-song": "no-room"}).returncode == 0
    row, items = tables(place)
    assert row["status"] == "measured"
    assert (items["python/beer-song"]["right"], items["python/beer-song"]["refused"]) == (False, 2)


# -- what the harness says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", sorted((TESTS / "data" / "polyglot").glob("*.json")), ids=lambda path: path.stem
)
def test_recorded_results(file: Path) -> None:
    recorded = json.loads(file.read_text())
    if "crash" in recorded:
        with pytest.raises(Crashed) as raised:
            read_result(recorded["result"])
        assert str(raised.value) == recorded["crash"]
    else:
        assert read_result(recorded["result"])["outcomes"] == recorded["outcomes"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(JSON | st.fixed_dictionaries({"results": st.text() | JSON, "answer": JSON, "log": JSON}))
def test_what_no_harness_leaves_is_a_crash_or_a_result(found: Any) -> None:
    try:
        assert read_result(found)["outcomes"]
    except Crashed as crash:
        assert str(crash)


@given(
    JSON
    | st.fixed_dictionaries({"messages": st.lists(st.fixed_dictionaries({"role": JSON, "content": JSON}))})
)
def test_what_is_asked_is_text_or_nothing(request: Any) -> None:
    with suppress(Crashed):
        assert all(isinstance(one["content"], str) for one in messages_in(request))


def test_a_prompt_says_no_day_and_no_machine() -> None:
    said = "Be good.\n- Platform: Linux-6.18-here\n- Current date: 2031-01-31\n- Shell: SHELL=/bin/bash"
    (system,) = messages_in({"messages": [{"role": "system", "content": said}], "tools": [1]})
    assert "2031" not in system["content"]
    assert "here" not in system["content"]
    assert "SHELL=/bin/bash" in system["content"]


# -- sandboxes ------------------------------------------------------------------------------------------------------

PLACES = Places(
    Path("/trees/aider"), Path("/trees/exercises"), Path("/env/bin/python"), Path("/pythons/3.12")
)


def test_bubblewrap_has_no_network_and_no_home() -> None:
    words = sandbox.command(Sandbox("bubblewrap", "/usr/bin/bwrap", None), PLACES, "n")
    assert words[:5] == [
        "/usr/bin/bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
    ]
    binds = [there for word, there in pairwise(words) if word.startswith("--ro-bind")]
    assert not {"/", "/home", "/root", "/etc", "/tmp", "/var"} & set(binds)
    # Nothing of this machine can be written to.
    assert "--bind" not in words
    assert words[-2:] == ["/env/bin/python", "/inside.py"]


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_a_container_has_no_network_and_is_fetched_from_nowhere(kind: str) -> None:
    words = sandbox.command(Sandbox(kind, f"/usr/bin/{kind}", "aider-benchmark"), PLACES, "kvsweep-1")
    options = dict(pairwise(words))
    assert (options["--network"], options["--pull"], options["--cap-drop"]) == ("none", "never", "ALL")
    assert options["--name"] == "kvsweep-1"
    assert "--read-only" in words
    mounts = [there for word, there in pairwise(words) if word == "--volume"]
    assert all(one.endswith(":ro") for one in mounts)
    # Aider's package lies in /aider of its image, and stays there.
    there = {one.split(":")[1] for one in mounts}
    assert there == {"/aider/benchmark", "/exercises", "/inside.py"}
    assert words[-2:] == ["aider-benchmark", "/inside.py"]


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_an_image_is_tried_before_anything_is_run_in_it(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / kind
    said = "No module named 'aider'"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = run ] || exit 0\necho "$@" > {tmp_path}/ran\necho "{said}" >&2; exit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(KvsweepError, match=f"{kind}: {said}"):
        sandbox.find(kind, "an-image", "tasks.p")
    ran = (tmp_path / "ran").read_text()
    assert "--network none" in ran
    assert "--pull never" in ran
    program.write_text("#!/bin/sh\n")
    assert sandbox.find(kind, "an-image", "tasks.p") == Sandbox(kind, str(program), "an-image")


def test_an_image_is_known_by_what_it_is(tmp_path: Path) -> None:
    """A name may be another image tomorrow; docker writes the kind of checksum in front, podman does not."""
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho sha256:0123\n")
    program.chmod(0o755)
    assert sandbox.image_id(Sandbox("docker", str(program), "i")) == "0123"
    program.write_text("#!/bin/sh\necho 'no such image' >&2; exit 125\n")
    with pytest.raises(KvsweepError, match="i: docker does not say which image that is"):
        sandbox.image_id(Sandbox("docker", str(program), "i"))
    with pytest.raises(KvsweepError, match=r"i: docker does not say which image that is .*No such file"):
        sandbox.image_id(Sandbox("docker", str(program.parent / "gone"), "i"))
    assert sandbox.image_id(Sandbox("bubblewrap", "bwrap", None)) is None


def test_clients_of_containers_get_no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """podman hands the variables of proxies on to what runs in it, with passwords that may be in them."""
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/env\n")
    program.chmod(0o755)
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@proxy")
    monkeypatch.setenv("CONTAINER_HOST", "unix:///run/podman")
    with sandbox.Confined(Sandbox("podman", str(program), "i"), PLACES) as inside:
        assert inside.receive(10) is None
    seen = (tmp_path / "env").read_text()
    assert "PROXY" not in seen
    assert "CONTAINER_HOST" in seen


def test_no_sandbox_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KvsweepError) as raised:
        sandbox.find("auto", "aider-benchmark", "tasks.p")
    assert str(raised.value).startswith(
        "tasks.p.sandbox: no sandbox works here (bwrap: not installed; docker: Cannot connect to the Docker daemon; "
        "podman: not installed), and nothing that a model wrote is run outside one; install bubblewrap"
    )
