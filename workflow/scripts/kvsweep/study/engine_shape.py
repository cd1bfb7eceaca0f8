"""The keys of an engine: where its source is, how it is built, what runs with it and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from kvsweep.addresses import names_a_secret
from kvsweep.study.address_values import GitAddress, LocalDirectory, Tree
from kvsweep.study.complaints import Complaint
from kvsweep.study.programs import MEASURING
from kvsweep.study.section import CHECKED, Section
from kvsweep.study.values import (
    ArgumentLists,
    Commit,
    Device,
    Each,
    Features,
    Knob,
    Name,
    Optional,
    Package,
    Positive,
    Queue,
    Setting,
    Sha256,
    Some,
    Text,
    Tokens,
    Types,
    Variable,
    Version,
)

# By these a loader, a shell or llama.cpp itself runs the code of a file that they name.
_LOADS_CODE = ("LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "GGML_BACKEND_PATH", "BASH_ENV", "ENV")

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


# What each is built with stands in engine/backends.py.
BackEnd = Literal["auto", "cpu", "metal", "cuda", "vulkan", "hip", "sycl"]


@dataclass(frozen=True, config=CHECKED)
class EngineEntry(Section):
    source: SourceEntry = Field(description="where the engine comes from; exactly one of git, pypi and path")
    backend: BackEnd = Field(default="auto", description="back end to build for")
    cmake: dict[Variable, Setting] = Field(default={}, description="more CMake options, name and value")
    env: dict[Variable, Knob] = Field(default={}, description="environment of every run of the engine")
    arguments: Optional[ArgumentLists] = Field(
        default=None,
        description="more arguments of every run of the engine: a list for both programs, or one for each",
    )
    programs: Each[Name] = Field(default=MEASURING, description="programs to build")
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
        # An engine needs none, and both stand in the results.
        for key, names in (("env", self.env), ("cmake", self.cmake)):
            for name in filter(names_a_secret, names):
                raise Complaint(
                    "looks like a secret, which would end up in the results; remove it", f"{key}.{name}"
                )
