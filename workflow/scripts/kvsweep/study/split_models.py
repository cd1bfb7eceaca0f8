"""A model's file, or the parts of a split one: ``NAME-00001-of-0000N.gguf``, as llama.cpp's gguf-split names them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")


def part_names(name: str) -> tuple[str, ...]:
    """The names of all parts, in order; ``name`` alone where it is no part of a split model.

    Raises ValueError if ``name`` is a part but not the first: the engine wants that one.
    """
    match = _PART.fullmatch(name)
    if match is None:
        return (name,)
    stem, number, count = match[1], int(match[2]), int(match[3])
    if number != 1:
        raise ValueError(
            f"{name!r} is not the first part of a split model; name {stem}-00001-of-{match[3]}.gguf"
        )
    return tuple(f"{stem}-{part:05d}-of-{match[3]}.gguf" for part in range(1, max(count, 1) + 1))


def part_paths(path: Path) -> tuple[Path, ...]:
    """The files of the model at ``path``, there or not. Raises ValueError like ``part_names``."""
    return tuple(path.with_name(name) for name in part_names(path.name))


def is_split(path: Path) -> bool:
    return _PART.fullmatch(path.name) is not None


def model_sha256(digests: Iterable[str]) -> str:
    """A model's sha256 from those of its files: the file's own, or for several the sha256 of their list.

    The list is one line for each part, in order: ``sha256sum NAME-*.gguf | cut -c 1-64 | sha256sum``.
    """
    every = list(digests)
    if len(every) == 1:
        return every[0]
    return hashlib.sha256("".join(f"{digest}\n" for digest in every).encode()).hexdigest()


def checksum_memory(manifest_directory: Path, path: Path) -> Path:
    """Where ``sha256_once`` remembers the checksum of a file of the model whose manifest lies in the directory."""
    if is_split(path):
        return manifest_directory / "checksums" / f"{path.name}.json"
    return manifest_directory / "checksum.json"
