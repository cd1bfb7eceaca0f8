"""Takes one text out of a zip or tar archive."""

from __future__ import annotations

import difflib
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from kvsweep.errors import KvsweepError
from kvsweep.files import complete_or_absent, not_readable, not_writable
from kvsweep.units import format_bytes

# What Python raises where a zip archive is damaged; the last one for a compression that it does not know.
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
_DAMAGED = (*DAMAGED_ZIP, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError)


def extract(archive: Path, member: str, target: Path, where: str) -> None:
    """Write the member of the archive to ``target``; nothing of the archive decides where that is.

    ``where`` is the configuration key to name in errors. Raises KvsweepError if the archive is none or is damaged, and
    if it has no such ordinary file.
    """
    if member.startswith("/") or ".." in PurePosixPath(member).parts:
        raise KvsweepError(f"{where}: {member!r} leads out of the archive; write a path inside it.")
    try:
        with _open(archive, member, where) as (content, size_bytes):
            free = shutil.disk_usage(next(p for p in target.absolute().parents if p.exists())).free
            if size_bytes > free:
                raise KvsweepError(
                    f"{where}: {member} needs {format_bytes(size_bytes)} of disk and {format_bytes(free)} are free; "
                    "free some and run again."
                )
            _copy(content, target)
    except _DAMAGED as error:
        raise _damaged(archive, error, where) from error
    except OSError as error:
        if error.errno is None:  # so says bz2 what the others have exceptions of their own for
            raise _damaged(archive, error, where) from error
        raise not_readable(archive, error) from error


@contextmanager
def _open(archive: Path, member: str, where: str) -> Iterator[tuple[IO[bytes], int]]:
    """The member to read, and its size in bytes."""
    try:
        is_zip, is_tar = zipfile.is_zipfile(archive), tarfile.is_tarfile(archive)
    except OSError as error:
        raise not_readable(archive, error) from error
    if is_zip:
        with zipfile.ZipFile(archive) as zipped:
            every = {_plain(info.filename): info for info in zipped.infolist() if not info.is_dir()}
            info = every[_known(member, every, archive, where)]
            if info.flag_bits & 1:
                raise KvsweepError(f"{where}: {member!r} of {archive} is encrypted; unpack it by hand.")
            with zipped.open(info) as content:
                yield content, info.file_size
    elif is_tar:
        with tarfile.open(archive) as tarred:
            # Links are left out: they may lead anywhere.
            found = {_plain(entry.name): entry for entry in tarred if entry.isfile()}
            # A checksum stands behind the last member.
            while tarred.fileobj.read(2**20):
                pass
            entry = found[_known(member, found, archive, where)]
            stream = tarred.extractfile(entry)
            assert stream is not None
            with stream:
                yield stream, entry.size
    else:
        raise KvsweepError(
            f"{where}: {archive} is no zip or tar archive, or a damaged one; "
            "remove member if it is the text itself."
        )


def _damaged(archive: Path, error: Exception, where: str) -> KvsweepError:
    why = str(error) or type(error).__name__
    return KvsweepError(f"{where}: {archive} is damaged or of an unknown kind ({why}); get it again.")


def _known(member: str, names: Mapping[str, object], archive: Path, where: str) -> str:
    wanted = _plain(member)
    if wanted in names:
        return wanted
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    same_name = [name for name in names if name.rpartition("/")[2] == wanted.rpartition("/")[2]]
    if same_name or close:
        hint = f"the nearest one is {(same_name or close)[0]!r}"
    else:
        hint = f"it has {', '.join(list(names)[:5]) or 'no files'}" + (", ..." if len(names) > 5 else "")
    raise KvsweepError(f"{where}: {archive} has no file {member!r}; {hint}.")


def _plain(name: str) -> str:
    return str(PurePosixPath(name))


def _copy(content: IO[bytes], target: Path) -> None:
    with complete_or_absent(target) as beside:
        beside.unlink(missing_ok=True)
        while chunk := content.read(2**20):
            try:
                with beside.open("ab") as file:
                    file.write(chunk)
            except OSError as error:
                raise not_writable(target, error) from error
        beside.touch()  # an empty member
