"""What there is to say of a transfer over the network: how far it is, and why it broke."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kvsweep.units import format_bytes, format_duration

if TYPE_CHECKING:
    from tqdm import tqdm

BAD_CERTIFICATE = "the server's certificate is not accepted"
# By what stands in the name of an exception.
_REASONS = {
    "NameResolution": "the server's name is not known here; is this machine on the network?",
    "Timeout": "the server does not answer in time",
    "Certificate": BAD_CERTIFICATE,
    "Proxy": "the proxy does not let it through",
}
_PROGRESS_SECONDS = 15.0
_BESIDE_A_BAR_SECONDS = 60.0


class Progress:
    """Says from time to time how far a transfer is, how fast it is, and how long the rest takes.

    Where a progress bar is shown it says so less often, for the log.
    """

    def __init__(
        self,
        total_bytes: int | None,
        held_bytes: int,
        say: Callable[[str], None],
        bar: tqdm[None] | None = None,
    ) -> None:
        self._total, self._held, self._say, self._bar = total_bytes, held_bytes, say, bar
        self._pause_seconds = _PROGRESS_SECONDS if bar is None else _BESIDE_A_BAR_SECONDS
        self._got = 0
        self._start = self._said_at = time.monotonic()

    def more(self, n_bytes: int) -> None:
        self._got += n_bytes
        if self._bar is not None:
            self._bar.update(n_bytes)
        now = time.monotonic()
        if now - self._said_at < self._pause_seconds:
            return
        self._said_at = now
        rate = self._got / (now - self._start)
        here = self._held + self._got
        line = f"{format_bytes(here)}, {format_bytes(rate)}/s"
        if self._total is not None:
            left = format_duration((self._total - here) / rate)
            line = f"{format_bytes(here)} of {format_bytes(self._total)}, {format_bytes(rate)}/s, about {left} left"
        if self._bar is not None:
            self._bar.clear()  # the line takes its place; the bar comes back below it
        self._say(line)


def reason_of(error: BaseException) -> str:
    """What is wrong with the connection, in the system's own words. The exception's text would repeat the address."""
    seen: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        item = todo.pop()
        if isinstance(item, BaseException) and item not in seen:
            seen.append(item)
            todo += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    names = " ".join(type(item).__name__ for item in seen)
    if any("Certificate" in str(item) for item in seen):
        names += " Certificate"
    for part, reason in _REASONS.items():
        if part in names:
            return reason
    said = [item.strerror for item in seen if isinstance(item, OSError) and isinstance(item.strerror, str)]
    if said:
        return said[0][0].lower() + said[0][1:]
    ended = "IncompleteRead" in names or "ChunkedEncoding" in names
    return "the connection ended early" if ended else "the connection failed"
