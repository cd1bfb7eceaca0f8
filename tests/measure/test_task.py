"""A task's cell, with a stand-in for llama-server: what is kept, what goes on after an interruption, how faults end."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from kvsweep.measure import process
from kvsweep.measure.record import read_recorded
from kvsweep.measure.tasks import recall
from kvsweep.study.cells import TaskCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import read_cells, task_rows
from kvsweep.tables.columns import as_table
from kvsweep.tables.schemas import TASK_ITEMS, TASKS
from support import SCRIPTS, Done, Workplace, measure, run_json, wait_for, with_server

RECALL = {
    **{"contexts": [1024], "items": 2, "seed": 1, "kind": "recall", "answer_tokens": 64},
    **{"questions": ["several", "chain", "count"]},
}
TOOL_CALL = {"contexts": [4096], "items": 3, "seed": 1, "kind": "tool-call", "tools": 6, "answer_tokens": 192}
TRAJECTORY = {"contexts": [512], "items": 3, "seed": 1, "kind": "trajectory", "corpus": "text", "tokens": 64}


@pytest.fixture
def place(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """With an engine that has a server, which is looked after more often than twice a second: it answers at once."""
    monkeypatch.setattr(process, "_POLL_SECONDS", 0.02)
    return with_server(workplace)


def cell(place: Workplace, pair: str = "f16", task: str = "r") -> Path:
    return place.results / TaskCell("stand-in", "tiny", task, Pair.parse(pair)).directory


def command(
    place: Workplace,
    pair: str = "f16",
    definition: dict[str, Any] = RECALL,
    n_items: int = 6,
    minutes: float = 1,
    hours: float = 1,
) -> list[str | Path]:
    corpus: list[str | Path] = ["--corpus", place.corpus_json] if "corpus" in definition else []
    return [
        *("task", "--results", place.results, "--cell", str(cell(place, pair).relative_to(place.results))),
        *("--engine", place.build_json, "--model", place.model_json, "--pair", pair, "--task", "r"),
        *("--definition", json.dumps(definition), "--n-items", str(n_items), "--cell-hours", str(hours)),
        *("--answer-minutes", json.dumps({"r": minutes}), "--log-mebibytes", "64"),
        *corpus,
    ]


def ask(place: Workplace, pair: str = "f16", *, fault: str = "", at: int = 0, **more: Any) -> Done:
    return measure(command(place, pair, **more), {"STAND_IN": fault, "STAND_IN_AT": str(at)})


def row(place: Workplace, pair: str = "f16") -> dict[str, Any]:
    build, model = (json.loads(path.read_text()) for path in (place.build_json, place.model_json))
    of = TaskCell("stand-in", "tiny", "r", Pair.parse(pair))
    found = task_rows.task_row(of, read_recorded(cell(place, pair)), build, model)
    as_table([found], TASKS)
    return found


def items(place: Workplace, pair: str = "f16") -> list[dict[str, Any]]:
    build, model = (json.loads(path.read_text()) for path in (place.build_json, place.model_json))
    of = TaskCell("stand-in", "tiny", "r", Pair.parse(pair))
    found = task_rows.item_rows(of, read_recorded(cell(place, pair)), build, model)
    as_table(found, TASK_ITEMS)
    return found


def test_a_careful_reader_is_right(place: Workplace) -> None:
    assert ask(place).returncode == 0
    assert sorted(path.name for path in cell(place).iterdir() if path.is_file()) == [
        "items.jsonl",
        "run.json",
        "server.log",
    ]
    found = row(place)
    assert (found["status"], found["reason"]) == ("measured", None)
    assert (found["items"], found["right"], found["share"]) == (6, 6, 1.0)
    assert found["share_low"] == pytest.approx(0.610, abs=0.001)  # Wilson's, for 6 of 6
    assert (found["effective_ctk"], found["kv_bytes"]) == ("f16", 2 * 1024 * 4 * 256 * 2)
    assert [item["right"] for item in items(place)] == [True] * 6
    assert [item["context"] for item in items(place)] == [1024] * 6
    # One byte is a token of the stand-in: prompts fill their context.
    assert all(1024 - 64 - 60 <= item["n_prompt"] <= 1024 - 64 for item in items(place))


@pytest.mark.parametrize("kind", ["tasks", "task_items"])
def test_the_tables_have_what_was_asked(place: Workplace, kind: str) -> None:
    assert ask(place).returncode == 0
    build, model = (json.loads(path.read_text()) for path in (place.build_json, place.model_json))
    of = TaskCell("stand-in", "tiny", "r", Pair.parse("f16"))
    groups = read_cells.groups_of(kind, [of], {"stand-in": build}, {"tiny": model})
    (first,), (again,) = (
        list(read_cells.read_tables(place.results, groups, "code", 1, {})) for _ in range(2)
    )
    expected = [row(place) | {"fallback": False}] if kind == "tasks" else items(place)
    names = expected[0].keys()
    assert [{name: found[name] for name in names} for found in first.to_pylist()] == expected
    assert again.equals(first)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[]\n", "line 7 of the items is no record of an item"),
        (b"{\n", "line 7 of the items is no record of an item"),
        (None, "an item has two answers"),
    ],
)
def test_answers_that_cannot_be_read_are_no_result(
    place: Workplace, line: bytes | None, problem: str
) -> None:
    assert ask(place).returncode == 0
    path, run = cell(place) / "items.jsonl", run_json(cell(place))
    path.write_bytes(path.read_bytes() + (line or path.read_bytes().splitlines(keepends=True)[0]))
    (stream,) = (one for one in run["streams"] if one["name"] == path.name)
    stream |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size_bytes": path.stat().st_size}
    (cell(place) / "run.json").write_text(json.dumps(run))
    found = row(place)
    assert found["status"] != "measured" and problem in found["reason"]
    assert (found["answered"], found.get("right")) == (0, None)
    assert items(place) == []


def test_pairs_are_asked_the_same(place: Workplace) -> None:
    for pair in ("f16", "q8_0"):
        assert ask(place, pair).returncode == 0
    of_f16, of_q8_0 = items(place), items(place, "q8_0")
    assert [item["prompt_sha256"] for item in of_f16] == [item["prompt_sha256"] for item in of_q8_0]
    assert len({item["prompt_sha256"] for item in of_f16}) == 6
    assert row(place, "q8_0")["effective_ctk"] == "q8_0"
    assert row(place, "q8_0")["right"] < 6


class Letters:
    """One byte is one token."""

    def tokens(self, text: str) -> list[int]:
        return list(text.encode())

    def in_template(self, message: str) -> str:
        return message


def test_facts_about_names_that_are_alike() -> None:
    """The same fact is asked for with and without them; each is told of a name that differs in one letter or digit."""
    definition = RECALL | {"questions": ["one"], "items": 20}
    for plain, item in zip(
        recall.items(definition, Letters(), False),
        recall.items(definition | {"alike": 5}, Letters(), False),
        strict=True,
    ):
        assert (item.key, item.expected, item.said) == (plain.key, plain.expected, plain.said)
        prompt, without = str(item.prompt()), str(plain.prompt())
        assert prompt.splitlines()[-1] == without.splitlines()[-1]
        assert prompt.count(item.expected[0]) == without.count(item.expected[0]) == 1
        told = {sentence.strip() for sentence in prompt.split(".")} - {
            sentence.strip() for sentence in without.split(".")
        }
        assert len(told) >= 5 and len(prompt) <= 1024 - 64


def test_no_more_facts_are_alike_than_there_are_names() -> None:
    definition = RECALL | {"questions": ["one"], "items": 20, "alike": 10**6, "contexts": [8192]}
    assert all(len(item.prompt()) <= 8192 for item in recall.items(definition, Letters(), False))


@pytest.mark.parametrize(("definition", "right"), [(TOOL_CALL, 3), (TRAJECTORY, None)])
def test_other_kinds(place: Workplace, definition: dict[str, Any], right: int | None) -> None:
    assert ask(place, definition=definition, n_items=3).returncode == 0
    found = row(place)
    assert (found["status"], found.get("right")) == ("measured", right)
    assert [item["tokens"] for item in items(place)] if right is None else True
    assert run_json(cell(place))["definition"] == definition


def test_the_server_listens_to_this_machine_alone(place: Workplace) -> None:
    assert ask(place).returncode == 0
    started = run_json(cell(place))["command"]
    options = dict(pairwise(started))
    assert (options["--host"], options["-np"], options["-fa"]) == ("127.0.0.1", "1", "on")


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("oom", "oom", "the engine could not allocate memory"),
        ("bad-port", "crashed", "0 of 6 items were answered (exit status 1)"),
        ("dies", "crashed", "2 of 6 items were answered (SIGSEGV)"),
    ],
)
def test_a_server_that_ends(place: Workplace, fault: str, status: str, reason: str) -> None:
    assert ask(place, fault=fault, at=2).returncode == 0
    found = row(place)
    assert (found["status"], found["reason"]) == (status, reason)
    assert "share" not in found


def test_what_a_server_prints_of_each_item_does_not_fill_the_disk(place: Workplace) -> None:
    assert ask(place, "q8_0", fault="talks").returncode == 0
    (_, log) = run_json(cell(place, "q8_0"))["streams"]
    assert log["left_out_bytes"] > 3 * 2**20 > log["size_bytes"]
    found = row(place, "q8_0")
    assert (found["status"], found["effective_ctk"]) == ("measured", "q8_0")


def test_a_type_that_the_server_refuses(place: Workplace) -> None:
    assert ask(place, "turbo9/q8_0").returncode == 0
    assert row(place, "turbo9/q8_0")["status"] == "unsupported"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("error", "HTTP 400: the request exceeds the context"),
        ("escapes", r"HTTP 400: \x1b[2J<b>\x00"),
        ("nothing", "HTTP 200 and nothing"),
        ("no-utf8", "HTTP 200 and bytes that are no UTF-8"),
        ("no-json", "HTTP 200 and what is no JSON"),
        ("endless", "an answer of more than 4194304 bytes, which was not read on"),
        ("closes", "the server closed the connection"),
    ],
)
def test_an_answer_that_is_none(place: Workplace, fault: str, problem: str) -> None:
    """The other items are asked all the same; the cell has no result."""
    assert ask(place, fault=fault, at=2).returncode == 0
    found = items(place)
    assert [item["problem"] for item in found] == [None, None, problem, None, None, None]
    assert row(place)["status"] == "crashed"
    assert f"1 of 6 items have no answer; {found[2]['item']}: {problem}" in row(place)["reason"]


def test_half_of_a_character_is_text(place: Workplace) -> None:
    assert ask(place, fault="surrogate", at=2).returncode == 0
    assert (row(place)["status"], items(place)[2]["answer"]) == ("measured", "?")


def test_an_answer_that_takes_too_long(place: Workplace) -> None:
    assert ask(place, fault="hangs", at=2, minutes=0.5 / 60).returncode == 0
    found = row(place)
    assert found["status"] == "timeout"
    assert found["reason"].startswith("an answer was not there after the limit of")
    assert found["answered"] == 2


@pytest.mark.parametrize(
    ("fault", "status"), [("mute", "timeout"), ("loads", "timeout"), ("oom-mute", "oom")]
)
def test_a_server_that_is_never_ready(place: Workplace, fault: str, status: str) -> None:
    """Stopped by a debugger that it had called itself, for one, which counts for no time limit of the cell."""
    assert ask(place, fault=fault, minutes=0.5 / 60).returncode == 0
    assert (row(place)["status"], row(place)["answered"]) == (status, 0)


def test_a_cell_that_takes_too_long(place: Workplace) -> None:
    assert ask(place, fault="hangs", hours=1 / 3600).returncode == 0
    assert row(place)["status"] == "timeout"


def test_a_kill_from_outside_stops_the_run(place: Workplace) -> None:
    done = ask(place, fault="sigkill")
    assert done.returncode == 1
    assert "kvsweep: error: the engine was ended from outside (SIGKILL)" in done.stderr
    assert not (cell(place) / "run.json").exists()


def test_a_killed_runner_leaves_its_answers_and_no_server(place: Workplace, tmp_path: Path) -> None:
    count = tmp_path / "count"
    environment = {"STAND_IN": "hangs", "STAND_IN_AT": "3", "STAND_IN_COUNT": str(count)}
    runner = subprocess.Popen(
        [sys.executable, SCRIPTS / "measure.py", *map(str, command(place))], env=os.environ | environment
    )
    spool = cell(place) / ".items"
    wait_for(lambda: spool.is_file() and spool.read_text().count("\n") == 4)
    (server,) = [
        one for one in psutil.Process(runner.pid).children() if "llama-server" in " ".join(one.cmdline())
    ]
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    # A line that was being written when the power went.
    with spool.open("a") as file:
        file.write('{"item": "count/10')
    done = measure(command(place), {"STAND_IN_COUNT": str(count)})
    assert done.returncode == 0, done.stderr
    assert count.read_text() == "." * 6  # three before and three after
    assert (row(place)["status"], row(place)["right"]) == ("measured", 6)
    assert run_json(cell(place))["items_before"] == 3
    assert not spool.exists()


def test_what_was_answered_with_another_model_is_asked_again(place: Workplace, tmp_path: Path) -> None:
    count = tmp_path / "count"
    assert ask(place, fault="sigkill").returncode == 1
    spool = cell(place) / ".items"
    first, *_ = spool.read_text().splitlines()
    other = json.dumps(json.loads(first) | {"model_sha256": "0" * 64}, sort_keys=True)
    answer = {"item": "several/1024/000", "answer": "from another model", "seconds": 1}
    spool.write_text(f"{other}\n{json.dumps(answer)}\n")
    assert measure(command(place), {"STAND_IN_COUNT": str(count)}).returncode == 0
    assert count.read_text() == "." * 6
    assert row(place)["right"] == 6


def test_a_full_disk_stops_the_run_with_a_sentence(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = ask(place)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cell(place) / "run.json").exists()


def test_an_engine_without_a_server_says_so(workplace: Workplace) -> None:
    done = ask(workplace)
    assert done.returncode == 1
    assert "engines.stand-in: has no llama-server, which tasks need" in done.stderr
