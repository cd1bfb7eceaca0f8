"""Files that are complete or absent, and what stands in them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError

# Where kvsweep is: with its resources, and where relative paths of a configuration start.
CHECKOUT = Path(__file__).parents[3]
# Whatever file such an error names, it is none that was read.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAID_TO_BE_FULL = re.compile("|".join(map(os.strerror, FULL)))
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def partial(path: Path) -> Path:
    """Where a file is written before it takes its name: beside it, so that the rename cannot cross file systems."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A path to write to that becomes ``path`` when the block ends well, and is removed when it does not.

    Raises KvsweepError where the system does not write it, because the disk is full, say.
    """
    make_directory(path.parent)
    beside = partial(path)
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        if error.errno is None or (error.errno not in FULL and error.filename not in (None, str(beside))):
            raise  # of another file, or of what was read
        raise not_writable(path, error) from error
    finally:
        with suppress(OSError):  # what cannot be removed could not be made either
            beside.unlink()


def write_text(path: Path, text: str) -> None:
    with complete_or_absent(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Keys in the order given, so that equal values make equal files."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_memory(path: Path, value: Any) -> None:
    """As ``write_json``, of what is only kept to be quicker or briefer the next time: nobody misses it.

    Programs that work side by side may write it at once, and one of them fails. A read-only results directory is
    reported by what has to write a result.
    """
    with suppress(KvsweepError):
        write_json(path, value)


def read_json(path: Path) -> Any:
    """Raises KvsweepError if the file is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KvsweepError(f"{path}: this file is missing; run the workflow again to make it.") from None
    except OSError as error:
        raise not_readable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise KvsweepError(
            f"{path}: not valid JSON ({error}); remove the file and run the workflow again."
        ) from None


def make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(path, error) from error


def check_writable(directory: Path) -> None:
    """Raise KvsweepError if nothing can be made in ``directory``; one that is not there yet is made later."""
    if directory.exists() and not os.access(directory, os.W_OK | os.X_OK):
        raise KvsweepError(
            f"{directory.resolve()}: nothing can be written here; make it writable, "
            "or choose another directory with --directory."
        )


def not_writable(path: Path, error: OSError) -> KvsweepError:
    # Arrow has words of its own for the system's.
    why = os.strerror(error.errno) if error.errno else error.strerror
    return KvsweepError(f"{path}: cannot be written ({why}); {what_to_do(error.errno)}.")


def what_to_do(number: int | None, wanted: str = "writable") -> str:
    """About a file that the system did not write, or not read, for this reason."""
    if number in FULL:
        return "free disk space"
    return f"make it {wanted}" if number in NOT_ALLOWED else f"make it {wanted}, or free disk space"


def check_room(said: str, place: Path) -> None:
    """Raise KvsweepError if a program that worked in ``place`` said, among much else, that the disk is full."""
    if found := _SAID_TO_BE_FULL.search(said):
        raise KvsweepError(f"{place}: {found[0]}; {make_room()}.")


def make_room() -> str:
    import tempfile  # takes long to import, and this is said rarely

    return f"free disk space, here and in {tempfile.gettempdir()}, and start again"


def not_readable(path: Path, error: OSError) -> KvsweepError:
    act = "; make it readable" if error.errno in NOT_ALLOWED else ""
    return KvsweepError(f"{path}: cannot be read ({error.strerror}){act}.")


def sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise not_readable(path, error) from error


def sha256_once(path: Path, memory: Path, *, remember: bool = True) -> str:
    """The file's sha256, computed again only when its size or time stamp is another than last time.

    ``memory`` is a JSON file that keeps what was computed; a lost or damaged one only costs time. It is not
    written where ``remember`` is false.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise not_readable(path, error) from error
    stamp = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = sha256(path)
    if remember:
        write_memory(memory, {"stamp": stamp, "sha256": digest})
    return digest


def read_manifest(path: Path) -> dict[str, Any] | None:
    """A manifest; None if it is missing or damaged, which is for the job that needs it to say."""
    try:
        found = read_json(path)
    except KvsweepError:
        return None
    return found if isinstance(found, dict) else None


def manifest_identity(path: Path) -> str | None:
    """What a manifest says, apart from where its files lie; None without one."""
    found = read_manifest(path)
    if found is None:
        return None
    said = json.dumps({key: found[key] for key in sorted(found) if key not in ("directory", "path", "parts")})
    return hashlib.sha256(said.encode()).hexdigest()
