"""One question of a task: what is asked, and what the right answer is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kvsweep.errors import UnparsableOutput

# From a prompt to the next one in the search for a length, at most.
_TRIES = 8
_CLOSE = 0.97
# A first guess only. The same for every item, so that an item does not depend on those before it.
_BYTES_PER_TOKEN = 2.0
# Longest text a token can stand for; beyond it a prompt is shorter than it could be.
MOST_BYTES_PER_TOKEN = 8
_NEEDED = {"item", "context", "question", "expected", "answer", "seconds"}

Prompt = str | list[int]
Record = dict[str, Any]


class Words(Protocol):
    """What the model makes of text."""

    def tokens(self, text: str) -> list[int]: ...

    def in_template(self, message: str) -> str:
        """What a user says, as the model was trained to hear it."""
        ...


@dataclass(frozen=True)
class Item:
    """``key`` is its name in the task; ``context`` (tokens) holds prompt and answer; ``expected`` is of the kind's own.

    ``said`` is what stands in the record beside them.
    """

    key: str
    context: int
    question: str
    prompt: Callable[[], Prompt]
    expected: Any
    n_predict: int
    stop: tuple[str, ...] = ()
    said: dict[str, Any] = field(default_factory=dict)


def prompt_identity(prompt: Prompt) -> str:
    """Two cells were asked the same where this is equal."""
    return hashlib.sha256(json.dumps(prompt).encode()).hexdigest()


def fitted(make: Callable[[int], str], tokens: int, words: Words) -> str:
    """A prompt of nearly ``tokens`` tokens, and never more. ``make`` makes the prompt of a text of so many bytes.

    Raises ValueError where no text at all is too long already.
    """
    n_bytes, best, too_many = int(tokens * _BYTES_PER_TOKEN), "", None
    for _ in range(_TRIES):
        prompt = make(n_bytes)
        found = len(words.tokens(prompt))
        if found <= tokens:
            best = max(best, prompt, key=len)
            if found >= _CLOSE * tokens:
                break
        else:
            too_many = n_bytes
        if n_bytes == 0:
            break
        n_bytes = int(n_bytes * tokens / found * (1 if found <= tokens else 0.99))
        if too_many is not None:
            n_bytes = min(n_bytes, too_many - 1)
    if not best:
        best = make(0)
        if len(words.tokens(best)) > tokens:
            raise ValueError(f"the question alone takes more than {tokens} tokens")
    return best


def placed(sentences: Sequence[str], facts: Sequence[tuple[float, str]]) -> str:
    """Text with each fact at its place, a share of the text from 0 to 1."""
    parts = list(sentences)
    for place, fact in sorted(facts, reverse=True):
        parts.insert(round(place * len(sentences)), f"{fact} ")
    return "".join(parts).strip()


def read_items(text: str) -> list[Record]:
    """The records of items.jsonl. Raise UnparsableOutput for a line that is no record."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or not record.keys() >= _NEEDED:
            raise UnparsableOutput(f"line {number} of the items is no record of an item")
        found.append(record)
    if len({record["item"] for record in found}) < len(found):
        raise UnparsableOutput("an item has two answers")
    return found
