"""A file on a server: its address, what the server says of it, and what a refusal means."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Imported where it is used: it takes long, and most runs fetch nothing.
    import requests


@dataclass(frozen=True)
class Answer:
    """What a server says of a file. ``version`` is its ETag or date, usable to ask whether it is still the same.

    ``sha256`` is what the file must have, None where the server does not say.
    """

    size_bytes: int | None
    version: str | None
    sha256: str | None = None


@dataclass(frozen=True)
class Remote:
    """A file on a server. ``shown`` names it in messages, without secrets."""

    url: str = field(repr=False)
    shown: str

    @property
    def key(self) -> str:
        """A name by which this file's unfinished download is known: a hash, because an address may be a secret."""
        return hashlib.sha256(self.url.encode()).hexdigest()

    @property
    def is_immutable(self) -> bool:
        """Whether the address can never name another content, so that a beginning of it stays one."""
        return False

    def authorization(self) -> Callable[[Any], Any] | None:
        """What requests calls with each new request; None leaves it to ~/.netrc."""
        return None

    def refusal(self, response: requests.Response) -> str:
        """What an error status means, and what to do, as a clause."""
        status = response.status_code
        if status in (404, 410):
            return "there is no such file on the server (404); correct the address"
        if status in (401, 403):
            return f"the server does not give it without permission ({status}); write user and password into ~/.netrc"
        return f"the server refuses it with status {status}"

    def answer(self, response: requests.Response) -> Answer:
        """What the server says of the file. Raise KvsweepError if that is another file than the one that was meant."""
        return plain_answer(response)


def plain_answer(response: requests.Response) -> Answer:
    """What the usual headers say of a file. If the ETag is weak or missing, the date is the version."""
    headers = response.headers
    etag = headers.get("ETag", "")
    version = etag if etag.startswith('"') else headers.get("Last-Modified")
    total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    return Answer(int(total) if total.isdigit() else None, version)
