"""Where a slice is: on this machine, or fetched here once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kvsweep.files import sha256_once
from kvsweep.inputs.fetch import bring, check_sha256
from kvsweep.slices.layout import LIMITS
from kvsweep.study.config import Slice


def bring_slice(name: str, slice_: Slice, directory: Path, say: Callable[[str], None], base: Path) -> Path:
    """The slice's place on this machine. One at an address is fetched into ``directory``, unless it was before.

    A relative path starts at ``base``. Raises KvsweepError if the slice cannot be fetched, is not the file that was
    meant, or is larger than any slice.
    """
    where, memory = f"slices.{name}", directory / "checksum.json"
    origin = slice_.origin.at(base)
    place = bring(origin, directory, memory, where, slice_.sha256, say, base, LIMITS.archive_bytes)
    if slice_.sha256 is not None:
        check_sha256(place, sha256_once(place, memory), slice_.sha256, f"{where}.sha256", origin)
    return place
