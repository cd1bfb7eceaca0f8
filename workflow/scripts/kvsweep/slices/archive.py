"""Opens a slice that a stranger made: every member is checked before anybody reads it.

Nothing is unpacked. What is refused is said in one sentence that names the member.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kvsweep.files import not_readable
from kvsweep.inputs.archive import DAMAGED_ZIP
from kvsweep.slices.bundles import unpack
from kvsweep.slices.layout import (
    LIMITS,
    MANIFEST,
    Limits,
    Manifest,
    Refused,
    is_bundle,
    is_member,
    parse_json,
    parse_manifest,
    refusing,
    shown,
)
from kvsweep.tables.names import MEASURED
from kvsweep.units import format_bytes

_END, _END_BYTES = b"PK\x05\x06", 22
_LARGE = b"PK\x06\x07"  # of archives with more than a slice has
_ENCRYPTED = 0x1 | 0x40 | 0x2000
# What reads a slice goes through its cells twice at most, and has one bundle at a time.
_MOST_TIMES = 16
# A stranger's archive may be damaged in ways that no broken download is.
_DAMAGED = (*DAMAGED_ZIP, struct.error, ValueError, RuntimeError)


@dataclass(frozen=True)
class Contents:
    """The members of a slice that are there, by name. ``manifest`` is None in a directory without one."""

    names: tuple[str, ...]
    manifest: Manifest | None
    _read: Callable[[str], bytes]

    def read(self, name: str) -> bytes:
        """All of a member, which is what the manifest says of it. Raises Refused."""
        data = self._read(name)
        if self.manifest is not None and name != MANIFEST:
            size, digest = self.manifest.members[name]
            if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
                raise Refused(
                    f"{name}: is not what the manifest says of it (size or sha256); get the slice again."
                )
        return data

    def read_json(self, name: str) -> dict[str, Any]:
        """The member ``name`` as a JSON object. Raise Refused, with the name, if it is none."""
        with refusing(name):
            found = parse_json(self.read(name))
        if not isinstance(found, dict):
            raise Refused(f"{name}: is no JSON object.")
        return found


@contextmanager
def open_slice(place: Path, limits: Limits = LIMITS) -> Iterator[Contents]:
    """The contents of an archive or of a directory. Raises Refused."""
    if place.is_dir():
        yield _of_directory(place, limits)
        return
    try:
        with place.open("rb") as file:
            yield read_archive(file, limits)
    except OSError as error:
        if error.errno is None:
            raise
        raise Refused(f"cannot be read ({error.strerror}).") from error


def read_archive(file: IO[bytes], limits: Limits = LIMITS) -> Contents:
    """The contents of the zip archive in ``file``. Raises Refused."""
    _check_directory(file, limits)
    try:
        archive = zipfile.ZipFile(file)
        entries = _checked(archive.infolist(), limits)
    except _DAMAGED as error:
        raise Refused(f"it is no slice: a damaged zip archive ({_why(error)}); get it again.") from None

    def read(name: str) -> bytes:
        entry = entries[name]
        try:
            with archive.open(entry) as stream:
                data = stream.read(entry.file_size + 1)
        except (*_DAMAGED, OSError, MemoryError) as error:
            raise Refused(f"{name}: is damaged ({_why(error)}); get the slice again.") from None
        if len(data) != entry.file_size:
            raise Refused(f"{name}: is not as long as the archive says; get the slice again.")
        return data

    if MANIFEST not in entries:
        raise Refused(f"{MANIFEST}: is missing, so this is no slice; ask for a file that make slice wrote.")
    return _contents({name: entry.file_size for name, entry in entries.items()}, read, limits)


def _check_directory(file: IO[bytes], limits: Limits) -> None:
    """Look at the end of the archive, before Python reads as many members as it says there are."""
    size = file.seek(0, os.SEEK_END)
    if size > limits.archive_bytes:
        raise Refused(
            f"it has {format_bytes(size)}, and a slice has at most {format_bytes(limits.archive_bytes)}."
        )
    tail_bytes = min(size, _END_BYTES + 20)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    end = tail[-_END_BYTES:]
    if len(end) < _END_BYTES or not end.startswith(_END):
        raise Refused("it is no zip archive, or has something behind its end; get it again.")
    if tail[:4] == _LARGE:
        raise Refused("it is an archive of more members or bytes than a slice has.")
    disk, start_disk, here, total, directory, offset, comment = struct.unpack("<4xHHHHIIH", end)
    if disk or start_disk or here != total or comment or offset + directory + _END_BYTES != size:
        raise Refused("it is a zip archive with something before or behind its members; get it again.")
    if total > limits.members or directory > limits.directory_bytes:
        raise Refused(f"it has more than {limits.members} members, and no slice has so many.")


def _checked(infos: Iterable[zipfile.ZipInfo], limits: Limits) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}
    total = 0
    for info in infos:
        # As it stands in the archive: Python cuts a name at a null character.
        name = getattr(info, "orig_filename", info.filename)
        if not (is_member(name) or is_bundle(name)):
            raise Refused(f"{shown(name)}: no slice has a member of that name.")
        if name in entries:
            raise Refused(f"{name}: is in the archive twice.")
        if (other := folded.setdefault(name.casefold(), name)) != name:
            raise Refused(f"{name}: differs from {other} in capital letters only.")
        if info.flag_bits & _ENCRYPTED:
            raise Refused(f"{name}: is encrypted; ask for the slice as make slice wrote it.")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.is_dir():
            raise Refused(f"{name}: is a link or no file.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"{name}: is compressed in a way that slices are not.")
        _check_size(name, info.file_size, limits)
        entries[name] = info
        total += info.file_size
        if total > limits.total_bytes:
            raise Refused(f"{name}: with it the members have more than {format_bytes(limits.total_bytes)}.")
    return entries


def _of_directory(place: Path, limits: Limits) -> Contents:
    """The contents of an unpacked slice, a results directory, or a directory that holds tables alone."""
    found: dict[str, Path] = {}
    tables = [place / f"{name}.parquet" for name in MEASURED]
    for path in [path for path in tables if path.is_file()] or _members_in(place):
        name = path.relative_to(place).as_posix()
        name = f"tables/{name}" if path in tables else name
        if path.is_symlink() or not path.is_file():
            raise Refused(f"{name}: is a link or no file.")
        _check_size(name, path.stat().st_size, limits)
        found[name] = path
        if len(found) > limits.members:
            raise Refused(f"it has more than {limits.members} members, and no slice has so many.")

    def read(name: str) -> bytes:
        try:
            with found[name].open("rb") as file:
                # Python sets aside as much memory as it is asked for. A file that grows meanwhile is seen.
                return file.read(min(limits.of(name), found[name].stat().st_size) + 1)
        except OSError as error:
            raise not_readable(found[name], error) from error

    return _contents({name: path.stat().st_size for name, path in found.items()}, read, limits)


def _members_in(place: Path) -> Iterator[Path]:
    """The files that a slice may have, and nothing else of what lies there."""
    for folder, names, files in os.walk(place, followlinks=False):
        names.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if is_member(member := path.relative_to(place).as_posix()) or is_bundle(member):
                yield path


def _contents(sizes: Mapping[str, int], read: Callable[[str], bytes], limits: Limits) -> Contents:
    """The contents that files of these sizes (bytes) hold. If there is a manifest, it says what lies in bundles."""
    if MANIFEST not in sizes:
        return Contents(tuple(sorted(name for name in sizes if is_member(name))), None, read)
    with refusing(MANIFEST):
        manifest = parse_manifest(read(MANIFEST), limits)
    _check_listed(manifest, sizes)
    files = Contents((), manifest, read)
    bundles = _Bundles(files, limits)
    names = {MANIFEST, *filter(is_member, manifest.members)}
    return Contents(
        tuple(sorted(names)), manifest, lambda name: read(name) if name in sizes else bundles.read(name)
    )


class _Bundles:
    """Reads members out of bundles and holds one bundle at a time.

    A reader that takes cells in their order reads each bundle once or twice.
    """

    def __init__(self, files: Contents, limits: Limits) -> None:
        assert files.manifest is not None
        self._files, self._manifest, self._limits = files, files.manifest, limits
        self._of = {name: bundle for bundle, names in files.manifest.within.items() for name in names}
        self._name, self._held = "", dict[str, bytes]()
        self._times: Counter[str] = Counter()

    def read(self, name: str) -> bytes:
        if (bundle := self._of[name]) != self._name:
            self._times[bundle] += 1
            if self._times[bundle] > _MOST_TIMES:
                raise Refused(f"{bundle}: does not hold cells in their order; ask for what make slice wrote.")
            sizes = {member: self._manifest.members[member][0] for member in self._manifest.within[bundle]}
            self._name, self._held = "", {}
            with refusing(bundle):
                self._held = unpack(self._files.read(bundle), sizes, self._limits.bundle_bytes)
            self._name = bundle
        return self._held[name]


def _check_size(name: str, size: int, limits: Limits) -> None:
    if size > limits.of(name):
        raise Refused(
            f"{name}: has {format_bytes(size)}, and at most {format_bytes(limits.of(name))} are read."
        )


def _check_listed(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    bundled = {name for names in manifest.within.values() for name in names}
    for name in sizes:
        if name != MANIFEST and name not in manifest.members:
            raise Refused(f"{name}: is not in the manifest.")
    for name, (size, _) in manifest.members.items():
        if name not in sizes and name in bundled:
            continue
        if name not in sizes:
            raise Refused(f"{name}: is in the manifest and missing in the slice; get it again.")
        if size != sizes[name]:
            raise Refused(f"{name}: has {sizes[name]} bytes, the manifest says {size}; get the slice again.")


def _why(error: BaseException) -> str:
    # Its text may repeat a name of a stranger's.
    return type(error).__name__
