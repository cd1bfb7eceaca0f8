"""Fetches one file over HTTP, however often it is interrupted: complete or absent (``download_state``)."""

from __future__ import annotations

import errno
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import getproxies

from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, not_writable, partial
from kvsweep.inputs.connection import BAD_CERTIFICATE, Progress, reason_of
from kvsweep.inputs.download_state import Fetched, begin, begun, fetched_before, finish, kept, size_of
from kvsweep.inputs.remote import Answer, Remote
from kvsweep.terminal import progress_bar
from kvsweep.units import format_bytes, format_duration

if TYPE_CHECKING:
    # Imported where it is used: it takes long, and most runs fetch nothing.
    import requests

# Before each new attempt after a network error; one that brought something starts the list again.
PAUSES_SECONDS: Sequence[float] = (1, 4, 15, 60)
_LONGEST_PAUSE_SECONDS = 600.0
_WORTH_BYTES = 2**20
_CHUNK_BYTES = 64 * 1024
_CONNECT_SECONDS, _READ_SECONDS = 20, 60
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)


class _Transient(Exception):
    """Something that may be over soon. ``wait_seconds`` is what the server asks for."""

    def __init__(self, reason: str, wait_seconds: float = 0) -> None:
        super().__init__(reason)
        self.reason, self.wait_seconds = reason, wait_seconds


def fetch(
    remote: Remote,
    target: Path,
    where: str,
    say: Callable[[str], None],
    check: Callable[[Answer], None] = lambda _: None,
) -> Fetched:
    """Make ``target`` the remote file; one that was fetched before from there is left as it is.

    ``where`` is the configuration key to name in errors. ``check`` sees what the server says before anything is
    fetched, and may refuse it. Raises KvsweepError, and leaves what there is for the next attempt.
    """
    known = fetched_before(remote, target)
    if known is not None:
        return known
    make_directory(target.parent)
    try:
        return finish(remote, target, _with_patience(remote, target, where, say, check))
    except KeyboardInterrupt:
        say(f"stopped while {remote.shown} was being fetched; {kept(target)}run again to go on")
        raise


def _with_patience(
    remote: Remote, target: Path, where: str, say: Callable[[str], None], check: Callable[[Answer], None]
) -> Answer:
    failures, got = 0, size_of(partial(target))
    while True:
        try:
            return _transfer(remote, target, where, say, check)
        except _Transient as error:
            now = size_of(partial(target))
            if now - got >= _WORTH_BYTES:
                failures = 0
            got = now
            if failures >= len(PAUSES_SECONDS):
                raise KvsweepError(
                    f"{where}: {remote.shown} cannot be fetched: {error.reason}; {kept(target)}run again to go on."
                ) from None
            pause = min(max(PAUSES_SECONDS[failures], error.wait_seconds), _LONGEST_PAUSE_SECONDS)
            failures += 1
            say(f"{error.reason}; trying again in {format_duration(pause)}")
        time.sleep(pause)


# -- one attempt ------------------------------------------------------------------------------------------------------


def _transfer(
    remote: Remote, target: Path, where: str, say: Callable[[str], None], check: Callable[[Answer], None]
) -> Answer:
    """Fetch the rest of the partial file. Raises _Transient if another attempt may succeed."""
    import requests

    beside = partial(target)
    held, known = begun(remote, target)
    if known is not None and held == known.size_bytes:
        return known
    try:
        with requests.Session() as session:
            response = _ask(session, remote, held, known)
            _check_status(response, remote, held, where)
            if held and known is not None and not _continues(response, remote, held, known):
                same = response.status_code == 200 and remote.answer(response).version == known.version
                why = "the server does not continue a file" if same else "the file on the server has changed"
                say(f"starting again from the beginning: {why}")
                if response.status_code != 200:
                    response.close()
                    response = _ask(session, remote, 0, None)
                    _check_status(response, remote, 0, where)
                held = 0
            with response:
                answer = remote.answer(response)
                if held and known is not None:
                    answer = known
                else:
                    check(answer)
                _check_room(target, answer, held, where)
                size = "" if answer.size_bytes is None else f" ({format_bytes(answer.size_bytes)})"
                at = f" at {format_bytes(held)}" if held else ""
                say(f"{'going on with' if held else 'fetching'} {remote.shown}{size}{at}")
                begin(remote, target, answer, held)
                with progress_bar(target.name, answer.size_bytes, held) as bar:
                    _write(response, beside, held, answer, Progress(answer.size_bytes, held, say, bar))
    except requests.exceptions.RequestException as error:
        raise _meaning(error, remote, where) from None
    got = size_of(beside)
    if answer.size_bytes is None:
        say("the server did not say how long the file is; give its sha256 to be sure that it is whole")
    elif got > answer.size_bytes:
        beside.unlink()
        raise _Transient(f"the server sent {got} bytes of a file of {answer.size_bytes}")
    elif got < answer.size_bytes:
        raise _Transient("the connection ended early")
    return answer


def _meaning(error: requests.exceptions.RequestException, remote: Remote, where: str) -> Exception:
    """What an error of requests means: _Transient where it may be over soon, else KvsweepError."""
    from requests import exceptions

    of_address = (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema)
    if isinstance(error, (*of_address, exceptions.TooManyRedirects)):
        return KvsweepError(
            f"{where}: {remote.shown} cannot be fetched ({type(error).__name__}); correct "
            f"{'the proxy in HTTPS_PROXY, or ' if getproxies().keys() - {'no'} else ''}the address."
        )
    reason = reason_of(error)
    if reason == BAD_CERTIFICATE:
        return KvsweepError(
            f"{where}: {remote.shown} cannot be fetched: {reason}; check the address, and the certificates and the "
            "clock of this machine."
        )
    return _Transient(reason)


def _ask(session: requests.Session, remote: Remote, held: int, known: Answer | None) -> requests.Response:
    headers = {"Accept-Encoding": "identity", "User-Agent": "kvsweep"}
    if held:
        headers["Range"] = f"bytes={held}-"
        if known is not None and known.version is not None and not remote.is_immutable:
            headers["If-Range"] = known.version
    return session.get(
        remote.url,
        headers=headers,
        auth=remote.authorization(),
        stream=True,
        timeout=(_CONNECT_SECONDS, _READ_SECONDS),
    )


def _continues(response: requests.Response, remote: Remote, held: int, known: Answer) -> bool:
    """Whether the response is the rest of what is held."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or match is None or int(match[1]) != held:
        return False
    if known.size_bytes is not None and match[2] not in ("*", str(known.size_bytes)):
        return False
    # Some servers do not know If-Range and give the rest of another file.
    version = remote.answer(response).version
    return remote.is_immutable or version is None or version == known.version


def _check_status(response: requests.Response, remote: Remote, held: int, where: str) -> None:
    # Asked for the rest of a file, a server answers 206 with it, or 416 where there is none.
    if response.status_code == 200 or (held and response.status_code in (206, 416)):
        return
    if response.status_code in _TRANSIENT_STATUS:
        wait = response.headers.get("Retry-After", "")
        raise _Transient(
            f"the server is not ready (status {response.status_code})", float(wait) if wait.isdigit() else 0
        )
    raise KvsweepError(f"{where}: {remote.shown}: {remote.refusal(response)}.")


def _check_room(target: Path, answer: Answer, held: int, where: str) -> None:
    free = shutil.disk_usage(target.parent).free
    if answer.size_bytes is not None and answer.size_bytes - held > free:
        raise KvsweepError(
            f"{where}: {target.name} needs {format_bytes(answer.size_bytes - held)} of disk in {target.parent} and "
            f"{format_bytes(free)} are free; free some and run again."
        )


def _write(response: requests.Response, beside: Path, held: int, answer: Answer, progress: Progress) -> None:
    import urllib3

    try:
        with beside.open("r+b" if held else "wb") as file:
            file.seek(held)
            # As it is stored: some servers call a .gz file a compressed one of another name.
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                file.write(chunk)
                progress.more(len(chunk))
    except urllib3.exceptions.HTTPError as error:
        raise _Transient(reason_of(error)) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = "" if answer.size_bytes is None else f" of {format_bytes(answer.size_bytes)}"
            raise KvsweepError(
                f"{beside}: no space left on the disk after {format_bytes(size_of(beside))}{size}; free some and run "
                "again to go on."
            ) from None
        raise not_writable(beside, error) from error
