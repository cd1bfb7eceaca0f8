"""Tasks in the plan: what is to do and why, what does not fit, how long it may take; and plans that are long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kvsweep.inputs.model_header import ModelHeader
from kvsweep.plan.changes import Change, Finished, change
from kvsweep.plan.current import Current
from kvsweep.plan.needs import ModelFile
from kvsweep.plan.plan import Known, Plan, Resources, make_plan
from kvsweep.plan.view import as_text
from kvsweep.plan.warnings import warnings
from kvsweep.study.cells import TaskCell, all_cells
from kvsweep.study.config import Study, parse_study
from kvsweep.tables.raw_cells import Outcome, RawCell

GIB = 2**30
RECALL = {"kind": "recall", "contexts": [4096], "items": 3, "answer_minutes": 2}
POLYGLOT = {
    "kind": "aider-polyglot",
    "languages": ["python"],
    "exercises": ["grep", "wordy"],
    "cell_hours": 3,
}
HEADER = ModelHeader("llama", "F16", 0, 4, 8, (2,) * 4, 128, 128, 259, 0)


def study_of(tasks: Mapping[str, Any], **more: Any) -> Study:
    return parse_study(
        {
            "engines": {"e": {"source": {"path": "a"}}},
            "models": {"m": {"path": "m.gguf"}},
            "pairs": ["f16", "q8_0"],
            "tasks": dict(tasks),
            **more,
        }
    )


def plan_of(study: Study, memory: int = 512 * GIB, **known: Any) -> Plan:
    models = {name: ModelFile(HEADER, GIB) for name in study.models}
    backends = dict.fromkeys(study.engines, "cpu")
    resources = Resources(memory, memory, 1000 * GIB)
    return make_plan(study, Known(resources, **{"backends": backends, "models": models, **known}))


def cell_of(study: Study) -> TaskCell:
    cell = next(iter(all_cells(study)))
    assert isinstance(cell, TaskCell)
    return cell


def record_of(study: Study, **more: Any) -> dict[str, Any]:
    (task,) = study.tasks.values()
    return {"kind": "task", "task": task.name, "definition": task.definition, **more}


@pytest.mark.parametrize(
    ("asked", "record", "reason"),
    [
        ({}, {}, None),
        ({"items": 5}, {}, "items 3 -> 5"),
        ({"answer_minutes": 5}, {}, None),
        (
            {"answer_minutes": 5},
            {"answer_took_too_long": True, "answer_seconds_limit": 120.0},
            "time limit of an answer 2 min 00 s -> 5 min 00 s",
        ),
        ({"answer_minutes": 1}, {"answer_took_too_long": True, "answer_seconds_limit": 120.0}, None),
    ],
)
def test_when_a_task_is_asked_again(
    asked: dict[str, Any], record: dict[str, Any], reason: str | None
) -> None:
    written = record_of(study_of({"t": RECALL}), **record)
    study = study_of({"t": RECALL | asked})
    found = change(cell_of(study), written, study, Current())
    assert found == (None if reason is None else Change(reason))


def test_a_task_that_nobody_was_asked_is_new() -> None:
    study = study_of({"one": RECALL, "two": RECALL})
    cells = {cell.task: cell for cell in all_cells(study) if isinstance(cell, TaskCell)}
    assert Finished([cells["one"]]).why_new(cells["two"]) == "new task two"
    assert Finished([cells["one"]]).why_new(cells["one"]) == "not measured yet"


def test_a_task_that_does_not_fit_is_named() -> None:
    plan = plan_of(study_of({"t": RECALL}), memory=GIB + 2**20)
    lines = [line for line in warnings(plan) if line.startswith("memory: ")]
    assert [line.partition(" needs ")[0] for line in lines] == [
        "memory: task t with f16 at context 4K (e, m)",
        "memory: task t with q8_0 at context 4K (e, m)",
    ]


def test_exercises_say_how_long_they_may_take_until_one_is_measured() -> None:
    study = study_of({"p": POLYGLOT})
    assert "    python 2; " in as_text(plan_of(study), "machine")
    assert "a pair at the study's pace" in as_text(plan_of(study), "machine")
    cells = {
        str(cell.directory): RawCell(
            cell,
            Path(cell.directory),
            record_of(study, items_seconds=60.0),
            (Outcome(None, "measured", None),),
        )
        for cell in all_cells(study)
    }
    lines = as_text(plan_of(study, cells=cells), "machine").splitlines()
    assert "    python 2" in lines
    assert "time: nothing is left to measure" in lines


def test_a_study_of_slices_alone_has_nothing_to_measure() -> None:
    study = parse_study({"slices": {"theirs": "theirs.zip"}})
    assert as_text(plan_of(study), "machine") == (
        "nothing to measure: tables and report are made of slices alone (theirs)\n"
    )


def test_more_tables_and_reasons_than_a_screen_has_room_for() -> None:
    engines = {f"e{number}": {"source": {"path": "a"}} for number in range(25)}
    text = as_text(plan_of(study_of({"t": RECALL}, engines=engines)), "machine")
    assert "19 more tables, of other engines and models, in plan.json" in text
    assert "  5 more reasons in plan.json" in text


@pytest.mark.parametrize(("pair", "near"), [("turbo33", " (misspelt? near: turbo3)"), ("mine9", "")])
def test_a_type_of_an_unknown_size_may_be_misspelt(pair: str, near: str) -> None:
    plan = plan_of(study_of({"t": RECALL}, pairs=["f16", pair]))
    (line,) = (line for line in warnings(plan) if line.startswith("types: "))
    assert line == (
        f"types: how many bits {pair} takes is e's to say{near}; the cache of these pairs is planned without its size"
    )
