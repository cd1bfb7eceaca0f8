"""What lies beside a file while it is fetched and afterwards, so that it is never fetched twice.

Beside ``NAME`` lie, while it is being fetched, ``.NAME.partial`` and ``.NAME.partial.json``, which says of what the
partial file is the beginning; afterwards ``.NAME.fetched.json``, which says where NAME came from.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import not_writable, partial, read_json, write_json
from kvsweep.inputs.remote import Answer, Remote
from kvsweep.study.neighbours import link_or_copy
from kvsweep.units import format_bytes


@dataclass(frozen=True)
class Fetched:
    """What stands in ``.NAME.fetched.json``."""

    key: str
    shown: str
    size_bytes: int
    version: str | None
    sha256: str | None


def fetched_before(remote: Remote, target: Path) -> Fetched | None:
    """What is known of ``target`` if it was fetched from this very place and is complete."""
    try:
        known = Fetched(**read_json(_record_of(target)))
        return known if known.key == remote.key and size_of(target) == known.size_bytes else None
    except (KvsweepError, TypeError):
        return None


def take_over(remote: Remote, other: Path, target: Path) -> bool:
    """Make ``target`` the file ``other``, and say whether that was done.

    It is done if ``other`` was fetched from this very place and ``target`` is not there yet.
    """
    known = fetched_before(remote, other)
    if known is None or fetched_before(remote, target) is not None:
        return False
    link_or_copy(other, target)
    write_json(_record_of(target), asdict(known))
    return True


def forget(target: Path) -> None:
    """Let the next ``fetch`` fetch it again."""
    _record_of(target).unlink(missing_ok=True)


def begun(remote: Remote, target: Path) -> tuple[int, Answer | None]:
    """How many bytes of the file are there, and what the server said of it.

    0 and None if a download cannot go on from these bytes.
    """
    held = size_of(partial(target))
    with suppress(KvsweepError, TypeError, KeyError, AttributeError):
        state = read_json(_state_of(target))
        if held > 0 and state.pop("key") == remote.key:
            known = Answer(**state)
            if remote.is_immutable or known.version is not None:
                return held, known
    return 0, None


def begin(remote: Remote, target: Path, answer: Answer, held: int) -> None:
    """Write down which file the partial file is the beginning of. If nothing is held, remove an old partial file
    first."""
    if not held:
        try:
            partial(target).unlink(missing_ok=True)
        except OSError as error:
            raise not_writable(partial(target), error) from error
    write_json(_state_of(target), {"key": remote.key, **asdict(answer)})


def finish(remote: Remote, target: Path, answer: Answer) -> Fetched:
    """Put the whole file in its place and write beside it what it is. Raise KvsweepError if that fails."""
    try:
        # A record of what was there before must not speak for the new file.
        forget(target)
        partial(target).replace(target)
        fetched = Fetched(remote.key, remote.shown, size_of(target), answer.version, answer.sha256)
        write_json(_record_of(target), asdict(fetched))
        _state_of(target).unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(target, error) from error
    return fetched


def kept(target: Path) -> str:
    """Words for a message: how many bytes stay for the next attempt. Empty if there are none."""
    held = size_of(partial(target))
    return f"{format_bytes(held)} of it stay, " if held else ""


def size_of(path: Path) -> int:
    """Bytes; 0 for what is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _state_of(target: Path) -> Path:
    return partial(target).with_suffix(".partial.json")


def _record_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.fetched.json")
