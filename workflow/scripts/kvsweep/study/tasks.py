"""What a model is asked under each pair of cache types: the configuration's ``tasks``, a class for each kind.

To add a kind, add its class here and to TaskEntry, how its items are made in measure/tasks/, and how they are scored
in tables/task_scores.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from kvsweep.study import polyglot
from kvsweep.study.address_values import GitAddress
from kvsweep.study.complaints import Complaint, unknown
from kvsweep.study.exercises import chosen
from kvsweep.study.pairs import Pair
from kvsweep.study.section import CHECKED, Section
from kvsweep.study.values import (
    Amount,
    Flag,
    Image,
    Name,
    Natural,
    Optional,
    Positive,
    Some,
    Text,
    Tokens,
    Types,
)

# Of a prompt: room for a template and a question.
_SHORTEST = 256

Question = Literal["one", "several", "chain", "count"]
Language = Literal["cpp", "go", "java", "javascript", "python", "rust"]
EditFormat = Literal["diff", "diff-fenced", "udiff", "whole"]
Confinement = Literal["auto", "bubblewrap", "docker", "podman"]


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class _AnyTask(Section):
    """What all kinds have."""

    enabled: Flag = Field(default=True, description="whether it is asked at all")
    engines: Optional[Some[Name]] = Field(default=None, description="the engines to ask; all if absent")
    models: Optional[Some[Name]] = Field(default=None, description="the models to ask; all if absent")
    pairs: Optional[Some[Types]] = Field(
        default=None, description="the pairs of an engine to ask with, beside f16; all if absent"
    )

    @property
    def definition(self) -> dict[str, Any]:
        """What items follow from."""
        raise NotImplementedError

    @property
    def answer(self) -> int:
        """Tokens of an answer, at most."""
        raise NotImplementedError

    def check_room(self, context: int, key: str) -> None:
        """Raise Complaint, about ``key``, where an answer leaves no room for a prompt."""
        if context < self.answer + _SHORTEST:
            raise Complaint(
                f"{context} tokens leave less than {_SHORTEST} for the prompt beside an answer of {self.answer}; "
                "write a longer one",
                key,
            )


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class _Asked(_AnyTask):
    """What the kinds have whose items kvsweep makes."""

    contexts: Some[Tokens] = Field(description="lengths of prompt and answer together, in tokens")
    items: Positive = Field(default=50, description="items at each context, of each kind of question")
    seed: Natural = Field(default=1, description="another number gives other items")
    answer_minutes: Amount = Field(default=60.0, description="longest time that one answer may take")

    @property
    def definition(self) -> dict[str, Any]:
        asked = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        for key in ("enabled", "engines", "models", "pairs", "answer_minutes"):
            asked.pop(key, None)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asked.items()}

    def __post_init__(self) -> None:
        for index, context in enumerate(self.contexts):
            self.check_room(context, f"contexts.{index}")


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


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class AiderPolyglotEntry(_AnyTask):
    kind: Literal["aider-polyglot"] = Field(
        description="exercises in programming: Aider's own harness, and tests of what the model wrote in a sandbox"
    )
    context: Tokens = Field(default=32768, description="length of prompt and answer together, in tokens")
    languages: Some[Language] = Field(
        default=("cpp", "go", "java", "javascript", "python", "rust"),
        description="languages of the exercises",
    )
    exercises: Optional[Some[Text]] = Field(
        default=None,
        description="exercises by name, as wordy or python/wordy; all of the languages if absent",
    )
    edit_format: EditFormat = Field(default="diff", description="how the model is to write its changes")
    tries: Positive = Field(
        default=2, description="tries at an exercise; after the first with what tests said"
    )
    answer_tokens: Positive = Field(
        default=8192, description="longest answer; an exercise has one or more a try"
    )
    seed: Natural = Field(default=1, description="the server's seed")
    thinking: Optional[Flag] = Field(
        default=None, description="tells the chat template of a model that can whether to think aloud first"
    )
    exercise_minutes: Amount = Field(default=60.0, description="longest time that one exercise may take")
    cell_hours: Amount = Field(
        default=48.0, description="time limit of a pair's server, instead of that of limits"
    )
    sandbox: Confinement = Field(
        default="auto",
        description="what runs the harness and what a model wrote; the first that works here, if auto",
    )
    image: Image = Field(
        default=polyglot.IMAGE, description="of docker or podman: an image that has aider's tools"
    )
    aider: GitAddress = Field(
        default=polyglot.AIDER, description="repository of the harness, or a copy of it"
    )
    polyglot: GitAddress = Field(
        default=polyglot.EXERCISES, description="repository of the exercises, or a copy of it"
    )

    def __post_init__(self) -> None:
        self.check_room(self.context, "context")
        chosen(self.languages, self.exercises)

    @property
    def answer(self) -> int:
        return self.answer_tokens

    @property
    def definition(self) -> dict[str, Any]:
        same = ("kind", "edit_format", "tries", "answer_tokens", "seed")
        return {
            **{name: getattr(self, name) for name in same},
            **({} if self.thinking is None else {"thinking": self.thinking}),
            "contexts": [self.context],
            "exercises": chosen(self.languages, self.exercises),
            "aider_commit": polyglot.AIDER_COMMIT,
            "exercises_commit": polyglot.EXERCISES_COMMIT,
        }

    @property
    def harness(self) -> str:
        """What makes the harness ready, as JSON: where it comes from, its sandbox and its exercises."""
        names = ("sandbox", "image", "aider", "polyglot")
        exercises = chosen(self.languages, self.exercises)
        return json.dumps({**{name: getattr(self, name) for name in names}, "exercises": exercises})


def _has_kind(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "kind" not in value:
            raise Complaint(f"the key 'kind' is missing; write one of {', '.join(KINDS)}")
        if value["kind"] not in KINDS:
            raise Complaint(unknown(value["kind"], KINDS), "kind")
    return value


# What is no mapping is for the first class to complain of.
TaskEntry = Annotated[
    Annotated[
        Annotated[RecallEntry, Tag("recall")]
        | Annotated[ToolCallEntry, Tag("tool-call")]
        | Annotated[TrajectoryEntry, Tag("trajectory")]
        | Annotated[AiderPolyglotEntry, Tag("aider-polyglot")],
        Discriminator(lambda value: value["kind"] if isinstance(value, Mapping) else "recall"),
    ],
    BeforeValidator(_has_kind),
]
KINDS: tuple[str, ...] = tuple(
    tag.tag
    for entry in get_args(get_args(TaskEntry)[0])
    for tag in entry.__metadata__
    if isinstance(tag, Tag)
)


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of a study.

    ``definition`` is what its items follow from. ``pairs`` None asks with all pairs of an engine; ``engines`` and
    ``models`` None ask all. ``answer_minutes`` limits an answer, or an item of a harness. ``cell_hours`` None takes the
    limit of ``limits``. ``harness`` is what makes ready the program that asks the items, as JSON; None where kvsweep
    asks.
    """

    name: str
    definition: dict[str, Any]
    pairs: tuple[Pair, ...] | None
    answer_minutes: float
    answer_tokens: int
    corpus: str | None
    cell_hours: float | None
    harness: str | None
    engines: tuple[str, ...] | None
    models: tuple[str, ...] | None

    @property
    def kind(self) -> str:
        return str(self.definition["kind"])

    @property
    def n_ctx(self) -> int:
        """The longest of the task's contexts, in tokens. A server holds as many."""
        return int(max(self.definition["contexts"]))

    @property
    def n_items(self) -> int:
        asked = self.definition
        if "exercises" in asked:
            return len(asked["exercises"])
        return int(asked["items"]) * len(asked["contexts"]) * len(asked.get("questions", [""]))


def task_of(name: str, entry: Any) -> Task:
    """The task of this name. ``entry`` is one of the classes above."""
    if isinstance(entry, AiderPolyglotEntry):
        minutes, hours, corpus, harness = entry.exercise_minutes, entry.cell_hours, None, entry.harness
    else:
        minutes, hours, corpus, harness = entry.answer_minutes, None, getattr(entry, "corpus", None), None
    return Task(
        *(name, entry.definition, entry.pairs, minutes, entry.answer, corpus, hours, harness),
        *(entry.engines, entry.models),
    )
