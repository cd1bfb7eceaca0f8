"""Whether an answer is right: a rule for each kind of task, on text alone.

Case, and what is neither letter nor digit, count nowhere but in values of a tool call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Record = Mapping[str, Any]

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def score(kind: str, record: Record) -> float | None:
    """The share of what was asked for that the answer has, from 0 to 1; None where there is no answer, or where an
    answer by itself is neither right nor wrong."""
    if record["answer"] is None or kind not in _SCORES:
        return None
    return _SCORES[kind](record)


def _recall(record: Record) -> float:
    answer, expected = record["answer"], record["expected"]
    if record.get("chat"):
        answer = _THOUGHT.sub(" ", answer)
    if record["question"] == "count":
        return float(_first_number(answer) == expected[0])
    words = _words(answer)
    if not record.get("chat") and record["question"] == "one":
        # It continues a sentence: what is asked for comes next, or is not there.
        return float(words[: len(wanted := _words(expected[0]))] == wanted)
    return sum(_has(words, _words(value)) for value in expected) / len(expected)


def _tool_call(record: Record) -> float:
    """One call of the right tool, all its arguments and no other, each of the right type and value."""
    return float(_same(_first_object(_THOUGHT.sub(" ", record["answer"])), record["expected"]))


def _exercise(record: Record) -> float:
    """Its tests passed, at whichever try."""
    return float(any(record["outcomes"]))


def passed_at(record: Record) -> int | None:
    """The try after which an exercise's tests passed, from 1; None where none did, and for what is no exercise."""
    outcomes = record.get("outcomes") or []
    return outcomes.index(True) + 1 if True in outcomes else None


_SCORES: dict[str, Callable[[Record], float]] = {
    "recall": _recall,
    "tool-call": _tool_call,
    "aider-polyglot": _exercise,
}


def agreement(tokens: list[int], of_f16: list[int]) -> tuple[float, int | None]:
    """The share of f16's tokens that stand at the same place, and the first place where they do not, from 0."""
    longest = max(len(tokens), len(of_f16))
    if not longest:
        return 1.0, None
    same = [one == other for one, other in zip(tokens, of_f16, strict=False)]
    first = next((place for place, alike in enumerate(same) if not alike), None)
    if first is None and len(tokens) != len(of_f16):
        first = len(same)
    return sum(same) / longest, first


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _has(words: list[str], wanted: list[str]) -> bool:
    return any(words[start : start + len(wanted)] == wanted for start in range(len(words)))


def _first_number(text: str) -> str | None:
    for word in _words(text):
        if word.isascii() and word.isdigit():
            return word.lstrip("0") or "0"
        if word in _NUMBER_WORDS:
            return str(_NUMBER_WORDS.index(word))
    return None


def _first_object(text: str) -> Any:
    """The first JSON object in a text; None without one."""
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        return found
    return None


def _same(found: Any, expected: Any) -> bool:
    """Equal in type, too: to Python true is 1, and 1.0 is 1."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _same(found[key], value) for key, value in expected.items()
        )
    return bool(found == expected)
