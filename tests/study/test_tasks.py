"""The configuration's tasks: which cells they are, and what is said of mistakes."""

from typing import Any

import pytest
from kvsweep.study.cells import TaskCell, limit_hours, task_cells
from kvsweep.study.complaints import ConfigError
from kvsweep.study.config import parse_study
from kvsweep.study.pairs import Pair
from small_study import CONFIG

RECALL = {"kind": "recall", "contexts": ["1K"]}


def study(**task: Any) -> Any:
    return parse_study(CONFIG | {"tasks": {"r": RECALL | task}})


def test_each_pair_is_asked_and_f16_first() -> None:
    found = task_cells(study())
    assert found == [TaskCell("e", "m", "r", Pair.parse(pair)) for pair in ("f16", "q8_0")]
    assert str(found[1].directory) == "tasks/e/m/r/k-q8_0/v-q8_0"
    assert [cell.pair for cell in task_cells(study(pairs=["q8_0"]))] == [cell.pair for cell in found]


def test_a_task_counts_its_items() -> None:
    assert study(contexts=["1K", "4K"], items=10).tasks["r"].n_items == 2 * 10 * 4
    assert study(contexts=["1K", "4K"]).tasks["r"].n_ctx == 4096


def test_engines_get_a_server_where_a_task_needs_it() -> None:
    assert study().engines["e"].programs == ("llama-bench", "llama-perplexity", "llama-server")
    assert parse_study(CONFIG).engines["e"].programs == ("llama-bench", "llama-perplexity")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"kind": "recal"}, "tasks.r.kind: 'recal' is not known; the nearest valid one is 'recall'"),
        ({"kind": ["recall"]}, "tasks.r.kind: ['recall'] is not known"),
        (
            {"corpus": "c"},
            "tasks.r.corpus: unknown key; valid here: enabled, engines, models, pairs, contexts",
        ),
        ({"contexts": []}, "tasks.r.contexts: is empty; name at least one"),
        ({"contexts": [100]}, "tasks.r.contexts.0: 100 tokens leave less than 256 for the prompt"),
        ({"questions": ["two"]}, "tasks.r.questions.0: 'two' is not known; "),
        ({"items": 0}, "tasks.r.items: must be at least 1, found 0"),
        ({"pairs": ["q4_0"]}, "tasks.r.pairs.0: 'q4_0' is not in pairs; add it there"),
        ({"answer_minutes": "1h"}, "tasks.r.answer_minutes: expected a number, found '1h'"),
    ],
)
def test_mistakes(task: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        study(**task)
    assert str(raised.value).startswith(said)


def test_a_task_without_a_kind() -> None:
    with pytest.raises(
        ConfigError, match=r"tasks\.r: the key 'kind' is missing; write one of recall, tool-call"
    ):
        parse_study(CONFIG | {"tasks": {"r": {"contexts": ["1K"]}}})


POLYGLOT = {"kind": "aider-polyglot"}


def polyglot(**task: Any) -> Any:
    return parse_study(CONFIG | {"tasks": {"p": POLYGLOT | task}})


def test_exercises_by_language_and_by_name() -> None:
    assert polyglot().tasks["p"].n_items == 225
    assert polyglot(languages=["python", "rust"]).tasks["p"].n_items == 34 + 30
    named = polyglot(languages=["python", "cpp"], exercises=["wordy", "cpp/allergies"]).tasks["p"]
    assert named.definition["exercises"] == ["cpp/allergies", "python/wordy"]
    # Where it comes from and where it runs is no part of what is asked.
    moved = polyglot(sandbox="docker", image="mine", aider="/a/copy", exercise_minutes=5)
    assert moved.tasks["p"].definition == polyglot().tasks["p"].definition


def test_a_task_that_is_off_has_no_cells_and_needs_no_server() -> None:
    off = polyglot(enabled=False)
    assert (task_cells(off), list(off.tasks), list(off.tasks_off)) == ([], [], ["p"])
    assert "llama-server" not in off.engines["e"].programs


def test_a_task_of_some_engines() -> None:
    assert len(task_cells(study(engines=["e"]))) == 2
    with pytest.raises(ConfigError, match=r"tasks\.r\.engines\.0: there is no 'x' in engines, which has e\."):
        study(engines=["x"])


def test_a_task_of_some_models() -> None:
    assert len(task_cells(study(models=["m"]))) == 2
    with pytest.raises(ConfigError, match=r"tasks\.r\.models\.0: there is no 'x' in models, which has m\."):
        study(models=["x"])


def test_a_task_may_have_a_limit_of_its_own() -> None:
    found = polyglot(cell_hours=30)
    assert limit_hours(found, task_cells(found)[0]) == 30
    assert limit_hours(study(), task_cells(study())[0]) == study().limits.cell_hours


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"languages": ["perl"]}, "tasks.p.languages.0: 'perl' is not known; "),
        ({"exercises": ["wordi"]}, "tasks.p.exercises.0: 'wordi' is no exercise in cpp, go, java, "),
        (
            {"languages": ["go"], "exercises": ["python/wordy"]},
            "tasks.p.exercises.0: 'python/wordy' is no exercise",
        ),
        ({"context": "4K"}, "tasks.p.context: 4096 tokens leave less than 256 for the prompt"),
        ({"edit_format": "patch"}, "tasks.p.edit_format: 'patch' is not known; "),
        ({"sandbox": "none"}, "tasks.p.sandbox: 'none' is not known; "),
        ({"aider": "ext::sh"}, "tasks.p.aider: "),
        ({"contexts": ["4K"]}, "tasks.p.contexts: unknown key; the nearest valid one is 'context'"),
    ],
)
def test_mistakes_in_exercises(task: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        polyglot(**task)
    assert str(raised.value).startswith(said)


def test_a_text_that_is_not_there() -> None:
    task = {"kind": "trajectory", "contexts": ["1K"], "corpus": "x"}
    with pytest.raises(ConfigError, match=r"tasks\.t\.corpus: there is no 'x' in corpora, which has c\."):
        parse_study(CONFIG | {"tasks": {"t": task}})


def test_the_server_takes_no_arguments() -> None:
    pairs = ["f16", {"types": "q8_0", "name": "tail", "arguments": ["--kv-tail-tokens", "64"]}]
    config = CONFIG | {"pairs": pairs, "quality": {"contexts": [512], "chunks": 8}}
    with pytest.raises(ConfigError, match=r"tasks\.r\.pairs: llama-server of e takes no arguments"):
        parse_study(config | {"tasks": {"r": RECALL}})
    assert len(task_cells(parse_study(config | {"tasks": {"r": RECALL | {"pairs": ["f16"]}}}))) == 1
