"""What a model is asked under each pair of cache types: the configuration's ``tasks``, a class for each kind.

To add a kind, add its class here, how its items are made in measure/tasks/, and how they are scored in
tables/task_scores.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from kvsweep.study.complaints import Complaint, unknown
from kvsweep.study.pairs import Pair
from kvsweep.study.section import CHECKED, Section
from kvsweep.study.values import Amount, Flag, Name, Natural, Optional, Positive, Some, Tokens, Types

SERVER = "llama-server"
# Of a prompt: room for a template and a question.
_SHORTEST = 256

Question = Literal["one", "several", "chain", "count"]


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class _Asked(Section):
    """What all kinds have."""

    contexts: Some[Tokens] = Field(description="lengths of prompt and answer together, in tokens")
    items: Positive = Field(default=50, description="items at each context, of each kind of question")
    seed: Natural = Field(default=1, description="another number gives other items")
    pairs: Optional[Some[Types]] = Field(
        default=None, description="the pairs of an engine to ask with, beside f16; all if absent"
    )
    answer_minutes: Amount = Field(default=60.0, description="longest time that one answer may take")

    @property
    def answer(self) -> int:
        """Tokens of an answer, at most."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        for index, context in enumerate(self.contexts):
            if context < self.answer + _SHORTEST:
                raise Complaint(
                    f"{context} tokens leave less than {_SHORTEST} for the prompt beside an answer of {self.answer}; "
                    "write a longer one",
                    f"contexts.{index}",
                )


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class _Answered(_Asked):
    """What the kinds have whose answers are right or wrong."""

    answer_tokens: Positive = Field(default=64, description="longest answer")
    chat: Optional[Flag] = Field(
        default=None, description="whether to ask in the model's chat template; if it has one, if absent"
    )

    @property
    def answer(self) -> int:
        return self.answer_tokens


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class RecallEntry(_Answered):
    kind: Literal["recall"] = Field(description="facts stated in a long text, asked for at its end")
    questions: Some[Question] = Field(
        default=("one", "several", "chain", "count"),
        description="one fact, several under one name, a chain of three, how often something was said",
    )
    alike: Optional[Positive] = Field(
        default=None,
        description="one: facts of the same kind about names that differ in one letter or digit; none if absent",
    )


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class ToolCallEntry(_Answered):
    kind: Literal["tool-call"] = Field(description="a long log of tools, of which one is to be called")
    tools: Positive = Field(default=12, description="tools to choose from")
    answer_tokens: Positive = Field(default=192, description="longest answer")


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class TrajectoryEntry(_Asked):
    kind: Literal["trajectory"] = Field(description="the likeliest continuation of a text, beside f16's")
    corpus: Name = Field(description="the text of corpora to continue")
    tokens: Positive = Field(default=256, description="length of a continuation")

    @property
    def answer(self) -> int:
        return self.tokens


_KINDS = ("recall", "tool-call", "trajectory")


def _has_kind(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "kind" not in value:
            raise Complaint(f"the key 'kind' is missing; write one of {', '.join(_KINDS)}")
        if value["kind"] not in _KINDS:
            raise Complaint(unknown(value["kind"], _KINDS), "kind")
    return value


# What is no mapping is for the first class to complain of.
TaskEntry = Annotated[
    Annotated[
        Annotated[RecallEntry, Tag("recall")]
        | Annotated[ToolCallEntry, Tag("tool-call")]
        | Annotated[TrajectoryEntry, Tag("trajectory")],
        Discriminator(lambda value: value["kind"] if isinstance(value, Mapping) else "recall"),
    ],
    BeforeValidator(_has_kind),
]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of a study. ``definition`` is what its items follow from; ``pairs`` None: an engine's own."""

    name: str
    definition: dict[str, Any]
    pairs: tuple[Pair, ...] | None
    answer_minutes: float
    answer_tokens: int
    corpus: str | None

    @property
    def kind(self) -> str:
        return str(self.definition["kind"])

    @property
    def n_ctx(self) -> int:
        """Tokens: the longest of its contexts, which a server holds."""
        return int(max(self.definition["contexts"]))

    @property
    def n_items(self) -> int:
        asked = self.definition
        return int(asked["items"]) * len(asked["contexts"]) * len(asked.get("questions", [""]))


def task_of(name: str, entry: Any) -> Task:
    """``entry`` is one of the classes above."""
    asked = {key: value for key, value in dataclasses.asdict(entry).items() if value is not None}
    for key in ("pairs", "answer_minutes"):
        asked.pop(key, None)
    definition = {key: list(value) if isinstance(value, tuple) else value for key, value in asked.items()}
    return Task(
        name,
        definition,
        entry.pairs,
        entry.answer_minutes,
        entry.answer,
        getattr(entry, "corpus", None),
    )
