"""The configuration's keys: types, defaults and descriptions.

Each class is one mapping of the YAML file. From here come the checks, the sentences about mistakes
(``complaints.read``) and the JSON schema for editors (``json_schema``). To add a key, add a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, Tag, TypeAdapter
from pydantic.dataclasses import dataclass

from kvsweep.study.address_values import Address, SlicePath
from kvsweep.study.complaints import Complaint
from kvsweep.study.engine_shape import EngineEntry, Pair
from kvsweep.study.input_shape import Corpus, Model
from kvsweep.study.section import CHECKED, Section
from kvsweep.study.tasks import TaskEntry
from kvsweep.study.values import (
    Amount,
    Each,
    Flag,
    Memory,
    Name,
    Named,
    Natural,
    Optional,
    Positions,
    Positive,
    Sha256,
    Share,
    Some,
    Text,
    Tokens,
)

T = TypeVar("T")

# -- what is measured -------------------------------------------------------------------------------------------------

# One value for every context, or one for each.
ByContext = Annotated[
    Annotated[T, Tag("everywhere")] | Annotated[dict[Any, T], Tag("by context")],
    Discriminator(lambda value: "by context" if isinstance(value, Mapping) else "everywhere"),
]
Method = Literal["perplexity", "scorer"]
Methods = Annotated[
    Annotated[Method, Tag("one")] | Annotated[Some[Method], Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]


@dataclass(frozen=True, config=CHECKED)
class QualityEntry(Section):
    contexts: tuple[Tokens, ...] = Field(description="lengths of a window, in tokens")
    chunks: ByContext[Positive] = Field(description="windows to score, at every context or by context")
    method: ByContext[Methods] = Field(
        default="perplexity",
        description="perplexity (llama.cpp's own tool, with a file of log-probabilities), scorer (kvsweep's, without), "
        "or a list of both; at every context or by context, at those not named perplexity",
    )
    positions: ByContext[Positions] = Field(
        default="half",
        validate_default=True,
        description="what the scorer scores of a window: half (the second half, as llama-perplexity does) or blocks "
        "spread over all of it, BLOCKSxTOKENS such as 16x256; at every context or by context, at those not named half",
    )
    models: Optional[Some[Name]] = Field(default=None, description="the models to compare; all if absent")
    reference: Optional[Name] = Field(
        default=None,
        description="engine whose f16 every engine's pairs are compared with; each engine's own if absent",
    )


@dataclass(frozen=True, config=CHECKED)
class Throughput(Section):
    """Depths, prompt and generation lengths in tokens."""

    depths: Each[Tokens] = Field(description="tokens in the cache before the timed ones")
    prompt: Positive = Field(default=512, description="tokens of the timed prompt (pp)")
    generate: Positive = Field(default=128, description="tokens of the timed generation (tg)")
    repetitions: Positive = Field(default=5, description="repetitions of each timed test in one process")
    rounds: Positive = Field(
        default=1, description="processes for each cell: whole rounds, one after the other"
    )
    seed: Natural = Field(default=1, description="another number gives another order of the cells of a round")
    models: Optional[Some[Name]] = Field(default=None, description="the models to time; all if absent")


@dataclass(frozen=True, config=CHECKED)
class Limits(Section):
    cell_hours: Amount = Field(default=12.0, description="longest time that one engine process may take")
    skip: Flag = Field(default=True, description="skip cells whose predicted time is over cell_hours")
    log_mebibytes: Amount = Field(
        default=64.0, description="most that is kept of each stream an engine writes to"
    )


# -- what is asked of the results -------------------------------------------------------------------------------------


@dataclass(frozen=True, config=CHECKED)
class WorkloadEntry(Section):
    depth: Tokens = Field(description="tokens in the cache before a request")
    prompt_tokens: Tokens = Field(description="tokens of a request that are processed as prompt")
    generated_tokens: Tokens = Field(description="tokens that a request generates")
    title: Optional[Text] = Field(default=None, description="what it is, for a person")
    goal: Literal["seconds", "context"] = Field(
        default="seconds", description="what makes a pair the best one"
    )
    memory: Optional[Memory] = Field(
        default=None,
        description="for weights, cache and compute buffers, such as 24G; the machine's own if absent",
    )
    highest_kld: Optional[Amount] = Field(
        default=None, description="highest acceptable mean KL divergence, in nats; any if absent"
    )
    least_recall: Optional[Share] = Field(
        default=None,
        description="least acceptable share of right answers of the tasks of kind recall, at depth and "
        "prompt_tokens; any if absent",
    )

    def __post_init__(self) -> None:
        if not self.prompt_tokens + self.generated_tokens:
            raise Complaint("a request without prompt_tokens and generated_tokens takes no time")


# What machines and cards come with.
_MEMORIES = ("8G", "12G", "16G", "24G", "32G", "48G", "64G", "96G", "128G")


@dataclass(frozen=True, config=CHECKED)
class Analysis(Section):
    """Depth in tokens, sizes in bytes."""

    pareto_depth: Optional[Tokens] = Field(
        default=None,
        description="depth of the decode speed on the Pareto front; the deepest common one if absent",
    )
    memories: tuple[Memory, ...] = Field(
        default=_MEMORIES,
        validate_default=True,
        description="sizes of memory, such as 24G, for which the largest context is computed",
    )


@dataclass(frozen=True, config=CHECKED)
class SliceAddress(Section):
    url: Address = Field(description="address to fetch the file from")
    sha256: Sha256 = Field(description="of the file; the run stops if it has another")


SlicePlace = Annotated[
    Annotated[SlicePath, Tag("path")] | Annotated[SliceAddress, Tag("address")],
    Discriminator(lambda value: "address" if isinstance(value, dict) else "path"),
]


@dataclass(frozen=True, config=CHECKED)
class Configuration(Section):
    # Without these three there is a report of ``slices`` alone.
    engines: Named[EngineEntry] = Field(default={}, min_length=1, description="builds of llama.cpp, by name")
    models: Named[Model] = Field(default={}, min_length=1, description="GGUF files, by name")
    pairs: Some[Pair] = Field(default=(), description="cache types of K and V, as K/V, or one type for both")
    machine: Optional[Text] = Field(
        default=None,
        description="name of this machine in tables and figures; made from processor and memory if absent",
    )
    corpora: Named[Corpus] = Field(default={}, description="texts to score, by name")
    quality: Optional[QualityEntry] = Field(default=None, description="perplexity and KL divergence")
    throughput: Optional[Throughput] = Field(default=None, description="prefill and decode speed")
    tasks: Named[TaskEntry] = Field(
        default={}, description="what the model is asked with each pair, beside f16, by name"
    )
    limits: Limits = Field(default=Limits(), description="when to give up on a cell")
    slices: Named[SlicePlace] = Field(
        default={},
        description="what was measured on other machines, by name: slices, results directories, directories of tables",
    )
    published: Optional[Flag] = Field(
        default=None,
        description="whether published numbers stand in the report; those of the same models if absent",
    )
    workloads: Optional[Named[WorkloadEntry]] = Field(
        default=None, description="what people do with the model, by name; advice is given for each"
    )
    analysis: Analysis = Field(default=Analysis(), description="what the tables of answers are asked for")

    def __post_init__(self) -> None:
        needed = {"engines": self.engines, "models": self.models, "pairs": self.pairs}
        asks = any((*needed.values(), self.corpora, self.quality, self.throughput, self.tasks))
        for key, value in needed.items():
            if not value and (asks or not self.slices):
                raise Complaint(f"the key {key!r} is missing")


def json_schema() -> dict[str, Any]:
    """The configuration's JSON schema, for editors: without pydantic's titles, and without defaults of null."""
    shape: dict[str, Any] = TypeAdapter(Configuration).json_schema()
    one_of = [{"required": ["engines", "models", "pairs"]}, {"required": ["slices"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(shape), "anyOf": one_of}


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _plain(item)
        for key, item in node.items()
        if not (key == "title" and isinstance(item, str)) and not (key == "default" and item is None)
    }
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    return kept
