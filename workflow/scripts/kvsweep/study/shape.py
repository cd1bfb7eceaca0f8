"""The configuration's keys: types, defaults and descriptions.

Each class is one mapping of the YAML file. From here come the checks, the sentences about mistakes
(``complaints.read``) and the JSON schema for editors (``json_schema``). To add a key, add a field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter
from pydantic.dataclasses import dataclass

from kvsweep.study.complaints import Complaint
from kvsweep.study.origin import HubFile, Origin, PackageMember
from kvsweep.study.section import CHECKED, Section
from kvsweep.study.tasks import TaskEntry
from kvsweep.study.values import (
    Address,
    Amount,
    ArgumentLists,
    Commit,
    Device,
    Each,
    Features,
    Flag,
    GitAddress,
    Knob,
    LocalDirectory,
    LocalPath,
    Member,
    Memory,
    Name,
    Named,
    Natural,
    Optional,
    Package,
    Positions,
    Positive,
    Queue,
    Repository,
    RepositoryFile,
    Revision,
    Setting,
    Sha256,
    Share,
    SlicePath,
    Some,
    Text,
    Tokens,
    Tree,
    Types,
    Variable,
    Version,
)

# By these a loader, a shell or llama.cpp itself runs the code of a file that they name.
_LOADS_CODE = ("LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "GGML_BACKEND_PATH", "BASH_ENV", "ENV")

# An engine needs none; its environment stands in the results.
_SECRET = re.compile(r"(?i)(?:.*_)?(?:token|secret|password|passwd|credentials?|(?:api|access|private)_?key)")

# -- engines ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=CHECKED)
class GitSource(Section):
    url: GitAddress = Field(description="address of the repository")
    commit: Commit = Field(description="full commit")
    tree: Optional[Tree] = Field(default=None, description="path of the llama.cpp tree inside it")


@dataclass(frozen=True, config=CHECKED)
class PypiSource(Section):
    package: Package = Field(description="name of the package")
    version: Version = Field(description="exact version")
    sha256: Sha256 = Field(description="of the source distribution")
    tree: Optional[Tree] = Field(default=None, description="path of the llama.cpp tree inside it")


@dataclass(frozen=True, config=CHECKED)
class SourceEntry(Section):
    git: Optional[GitSource] = Field(default=None, description="a commit of a git repository")
    pypi: Optional[PypiSource] = Field(default=None, description="a source distribution from a package index")
    path: Optional[LocalDirectory] = Field(default=None, description="a directory with ready binaries")

    def __post_init__(self) -> None:
        self.only_one_of("git", "pypi", "path")


@dataclass(frozen=True, config=CHECKED)
class Nodes(Section):
    """The nodes of a cluster for one engine, all of one kind.

    ``cores`` of a node, which ``share`` untimed cells use side by side; a timed cell has all of them.
    """

    cores: Positive = Field(description="cores of a node, as the cluster counts them")
    share: Positive = Field(default=1, description="untimed cells that run side by side on a node")
    machine: Optional[Text] = Field(
        default=None, description="name of this kind of node in tables and figures"
    )
    partition: Optional[Queue] = Field(default=None, description="partition or queue")
    constraint: Optional[Features] = Field(default=None, description="features that the node must have")
    gres: Optional[Device] = Field(default=None, description="device that every cell gets, such as gpu:1")

    @property
    def untimed_cores(self) -> int:
        return max(self.cores // self.share, 1)


@dataclass(frozen=True, config=CHECKED)
class NamedPair(Section):
    """A pair that runs with arguments of its own. Its name tells it from the pair of the same types without."""

    types: Types = Field(description="cache types of K and V, as K/V, or one type for both")
    name: Name = Field(description="what is put behind the types wherever the pair is named")
    arguments: ArgumentLists = Field(
        description="more arguments of the engine: a list for both programs, or one for each"
    )


# A pair without arguments is its types.
Pair = Annotated[
    Annotated[Types, Tag("types")] | Annotated[NamedPair, Tag("with arguments")],
    Discriminator(lambda value: "with arguments" if isinstance(value, Mapping) else "types"),
]


@dataclass(frozen=True, config=CHECKED)
class EngineEntry(Section):
    source: SourceEntry = Field(description="where the engine comes from; exactly one of git, pypi and path")
    backend: Literal["auto", "cpu", "metal", "cuda", "vulkan", "hip", "sycl"] = Field(
        default="auto", description="back end to build for"
    )
    cmake: dict[Variable, Setting] = Field(default={}, description="more CMake options, name and value")
    env: dict[Variable, Knob] = Field(default={}, description="environment of every run of the engine")
    arguments: Optional[ArgumentLists] = Field(
        default=None,
        description="more arguments of every run of the engine: a list for both programs, or one for each",
    )
    programs: Each[Name] = Field(default=("llama-bench", "llama-perplexity"), description="programs to build")
    pairs: Optional[Some[Pair]] = Field(
        default=None, description="pairs to run with this engine, instead of the common ones"
    )
    contexts: Optional[Each[Tokens]] = Field(
        default=None, description="those of quality.contexts to run with this engine; an empty list for none"
    )
    depths: Optional[Each[Tokens]] = Field(
        default=None, description="those of throughput.depths to run with this engine; an empty list for none"
    )
    nodes: Optional[Nodes] = Field(
        default=None,
        description="the nodes of a cluster that build and run this engine, all of one kind; "
        "not used on a single machine",
    )

    def __post_init__(self) -> None:
        for name in self.env:
            if name in _LOADS_CODE:
                raise Complaint(
                    "makes programs run code that is not the engine's; build or take an engine that has it",
                    f"env.{name}",
                )
            if _SECRET.fullmatch(name):
                raise Complaint(
                    "looks like a secret, which would end up in the results; remove it", f"env.{name}"
                )


# -- models and texts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=CHECKED)
class ModelOnHub(Section):
    repo: Repository = Field(description="name of the repository")
    revision: Revision = Field(description="full commit")
    file: RepositoryFile = Field(description="path of the file in the repository")


@dataclass(frozen=True, config=CHECKED)
class TextOnHub(ModelOnHub):
    type: Literal["dataset", "model"] = Field(default="dataset", description="kind of the repository")


@dataclass(frozen=True, config=CHECKED)
class PackageFile(Section):
    package: Package = Field(description="name of the package")
    version: Version = Field(description="exact version")
    sha256: Sha256 = Field(description="of the wheel or source distribution")
    member: Member = Field(description="path of the file inside it")


PackageFiles = Annotated[
    Annotated[PackageFile, Tag("one")]
    | Annotated[tuple[PackageFile, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]


def _package_members(files: PackageFile | tuple[PackageFile, ...] | None) -> tuple[PackageMember, ...] | None:
    if files is None:
        return None
    several = files if isinstance(files, tuple) else (files,)
    return tuple(PackageMember(one.package, one.version, one.sha256, one.member) for one in several)


@dataclass(frozen=True, config=CHECKED)
class ModelEntry(Section):
    path: Optional[LocalPath] = Field(
        default=None, description="the GGUF file, or the first part of a split one"
    )
    url: Optional[Address] = Field(default=None, description="address to fetch it from")
    huggingface: Optional[ModelOnHub] = Field(
        default=None, description="a file of a repository on Hugging Face"
    )
    pypi: Optional[PackageFiles] = Field(
        default=None, description="a file of a package on a package index, or a list of files to be joined"
    )
    sha256: Optional[Sha256] = Field(default=None, description="of the file; the run stops if it has another")

    def __post_init__(self) -> None:
        self.only_one_of("path", "url", "huggingface", "pypi")
        try:
            self.origin.parts()
        except ValueError as error:
            raise Complaint(str(error), self.origin.kind) from None

    @property
    def origin(self) -> Origin:
        hub = self.huggingface
        return Origin(
            self.path,
            self.url,
            None if hub is None else HubFile(hub.repo, hub.revision, hub.file, "model"),
            _package_members(self.pypi),
        )


@dataclass(frozen=True, config=CHECKED)
class Generate(Section):
    seed: Natural = Field(description="another number gives another text")
    bytes: Tokens = Field(description="length of the text")


@dataclass(frozen=True, config=CHECKED)
class CorpusEntry(Section):
    path: Optional[LocalPath] = Field(default=None, description="a text file, or an archive with one")
    url: Optional[Address] = Field(default=None, description="address to fetch it from")
    huggingface: Optional[TextOnHub] = Field(
        default=None, description="a file of a repository on Hugging Face"
    )
    pypi: Optional[PackageFiles] = Field(
        default=None, description="a file of a package on a package index, or a list of files to be joined"
    )
    generate: Optional[Generate] = Field(
        default=None, description="text from kvsweep's own generator, for the demo's model"
    )
    member: Optional[Member] = Field(
        default=None, description="path of the text inside the zip or tar archive"
    )
    sha256: Optional[Sha256] = Field(default=None, description="of the text itself")
    archive_sha256: Optional[Sha256] = Field(default=None, description="of the archive")

    def __post_init__(self) -> None:
        self.only_one_of("path", "url", "huggingface", "pypi", "generate")
        if self.pypi is not None and self.member is not None:
            raise Complaint("the file of a package is named under pypi; write it there", "member")
        if self.archive_sha256 is not None and self.member is None:
            raise Complaint(
                "there is no archive without a member; name the text in it, or write sha256", "archive_sha256"
            )
        if self.member is not None and self.generate is not None:
            raise Complaint("a generated text is in no archive; remove one of the two keys", "member")

    @property
    def origin(self) -> Origin | None:
        """None for a generated text."""
        hub = self.huggingface
        if self.generate is not None:
            return None
        return Origin(
            self.path,
            self.url,
            None if hub is None else HubFile(hub.repo, hub.revision, hub.file, hub.type),
            _package_members(self.pypi),
        )


# -- what is measured -------------------------------------------------------------------------------------------------

Windows = Annotated[
    Annotated[Positive, Tag("number")] | Annotated[dict[Any, Positive], Tag("by context")],
    Discriminator(lambda value: "by context" if isinstance(value, Mapping) else "number"),
]


Method = Literal["perplexity", "scorer"]
_Methods = Annotated[
    Annotated[Method, Tag("one")] | Annotated[Some[Method], Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]
Methods = Annotated[
    Annotated[_Methods, Tag("everywhere")] | Annotated[dict[Any, _Methods], Tag("by context")],
    Discriminator(lambda value: "by context" if isinstance(value, Mapping) else "everywhere"),
]
PositionsByContext = Annotated[
    Annotated[Positions, Tag("everywhere")] | Annotated[dict[Any, Positions], Tag("by context")],
    Discriminator(lambda value: "by context" if isinstance(value, Mapping) else "everywhere"),
]


@dataclass(frozen=True, config=CHECKED)
class QualityEntry(Section):
    contexts: tuple[Tokens, ...] = Field(description="lengths of a window, in tokens")
    chunks: Windows = Field(description="windows to score, at every context or by context")
    method: Methods = Field(
        default="perplexity",
        description="perplexity (llama.cpp's own tool, with a file of log-probabilities), scorer (kvsweep's, without), "
        "or a list of both; at every context or by context, at those not named perplexity",
    )
    positions: PositionsByContext = Field(
        default="half",
        validate_default=True,
        description="what the scorer scores of a window: half (the second half, as llama-perplexity does) or blocks "
        "spread over all of it, BLOCKSxTOKENS such as 16x256; at every context or by context, at those not named half",
    )
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
class AnalysisEntry(Section):
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
    engines: Named[EngineEntry] = Field(min_length=1, description="builds of llama.cpp, by name")
    models: Named[ModelEntry] = Field(min_length=1, description="GGUF files, by name")
    pairs: Some[Pair] = Field(description="cache types of K and V, as K/V, or one type for both")
    machine: Optional[Text] = Field(
        default=None,
        description="name of this machine in tables and figures; made from processor and memory if absent",
    )
    corpora: Named[CorpusEntry] = Field(default={}, description="texts to score, by name")
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
    analysis: AnalysisEntry = Field(
        default=AnalysisEntry(), description="what the tables of answers are asked for"
    )


def json_schema() -> dict[str, Any]:
    """The configuration's JSON schema, for editors: without pydantic's titles, and without defaults of null."""
    shape: dict[str, Any] = TypeAdapter(Configuration).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(shape)}


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
