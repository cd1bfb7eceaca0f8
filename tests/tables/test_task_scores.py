"""Which answers are right."""

import json
from typing import Any

import pytest
from kvsweep.study.tasks import KINDS
from kvsweep.tables import task_scores
from kvsweep.tables.task_scores import agreement, score


def test_every_kind_is_scored_but_one_whose_answers_are_neither_right_nor_wrong() -> None:
    assert set(KINDS) - set(task_scores._SCORES) == {"trajectory"}


def recall(answer: str | None, expected: list[str], question: str = "one", chat: bool = True) -> float | None:
    return score("recall", {"answer": answer, "expected": expected, "question": question, "chat": chat})


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Raba", 1),
        ("In **Raba**.", 1),
        ("raba", 1),
        ("<think>Is it Lado or Raba?</think>Lado", 0),
        ("<think>Raba, I think", 0),  # it never came to an answer
        ("Rabans", 0),
        ("", 0),
    ],
)
def test_one_fact(answer: str, right: float) -> None:
    assert recall(answer, ["Raba"]) == right


def test_a_text_that_is_continued() -> None:
    assert recall(" Keban Doley is", ["Keban Doley"], chat=False) == 1
    assert recall(" not Keban Doley", ["Keban Doley"], chat=False) == 0


def test_several_are_right_in_part() -> None:
    things = ["dark vase", "long hook", "tin cup", "red oar"]
    assert recall("Tin cup, dark vase, long hook, red oar", things, "several") == 1
    assert recall("a dark vase and a long cup", things, "several") == 0.25


@pytest.mark.parametrize(
    ("answer", "right"), [("7", 1), ("Seven towns", 1), ("It was 8.", 0), ("17", 0), ("many", 0)]
)
def test_a_count(answer: str, right: float) -> None:
    assert recall(answer, ["7"], "count") == right


CALL = {"tool": "order_part", "arguments": {"item": "tin cup", "quantity": 1, "express": True}}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (json.dumps(CALL), 1),
        (f"Here you are:\n```json\n{json.dumps(CALL, indent=2)}\n```", 1),
        (json.dumps(CALL | {"tool": "return_part"}), 0),
        (json.dumps(CALL | {"arguments": CALL["arguments"] | {"quantity": 1.0}}), 0),  # type: ignore[operator]
        (json.dumps(CALL | {"arguments": CALL["arguments"] | {"quantity": True}}), 0),  # type: ignore[operator]
        (json.dumps(CALL | {"why": "asked for"}), 0),
        (json.dumps(CALL)[:-2], 0),
        ("{" * 3000, 0),
        ("order_part(tin cup)", 0),
    ],
)
def test_a_call(answer: str, right: float) -> None:
    assert score("tool-call", {"answer": answer, "expected": CALL}) == right


def test_no_answer_is_no_score() -> None:
    assert recall(None, ["Raba"]) is None
    assert score("trajectory", {"answer": "whatever", "expected": None}) is None


@pytest.mark.parametrize(
    ("tokens", "found"),
    [
        ([1, 2, 3, 4], (1.0, None)),
        ([1, 2, 9, 4], (0.75, 2)),
        ([1, 2], (0.5, 2)),
        ([], (0.0, 0)),
        ([1, 2, 3, 4, 5], (0.8, 4)),
    ],
)
def test_agreement(tokens: list[int], found: Any) -> None:
    assert agreement(tokens, [1, 2, 3, 4]) == found
