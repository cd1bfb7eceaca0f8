"""What an engine's output is without what is only for the eye: colours, carriage returns, messages that share a line.

Format of a time stamp and level: ``common/log.cpp`` of llama.cpp, minutes.seconds.milliseconds.microseconds.
"""

from __future__ import annotations

import itertools
import re

STAMP = r"(?:\d+\.\d\d\.\d{3}\.\d{3} )?[A-Z] "
_SECOND_MESSAGE = re.compile(r"(?<!^)(?<![\d.])(?=\d+\.\d\d\.\d{3}\.\d{3} [A-Z] )")
_COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


def plain(text: str) -> str:
    """The text without colours (``--log-colors on``) and carriage returns (a terminal or another system adds them)."""
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    return text.replace("\r\n", "\n") if "\r" in text else text


def messages(start: int, line: str) -> list[tuple[int, str]]:
    """A line as its messages, each with its beginning: one that was not ended can have others behind it."""
    cuts = [0, *(cut.start() for cut in _SECOND_MESSAGE.finditer(line)), len(line)]
    return [(start + a, line[a:b]) for a, b in itertools.pairwise(cuts)]
