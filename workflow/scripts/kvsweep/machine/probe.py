"""What other programs and files say of this machine, and the forms in which they say it.

A probe that fails is None or empty, never a stop; so is what does not stand in an answer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Probe = Callable[..., str | None]
# What programs print where there is nothing to tell.
_NOTHING = ("", "N/A", "ERR!", "Unknown Error", "Not Supported", "None")


def output(*command: str, seconds: float = 10) -> str | None:
    """What a command prints; None if there is no such command, it fails or takes more than so many seconds.

    One that ends with an error after a whole answer in JSON has answered: rocm-smi does where it cannot tell one field.
    """
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            # Numbers with a point, words in English.
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    text = done.stdout.strip()
    if done.returncode and not re.search(r"^[\[{].*[\]}]$", text, re.DOTALL | re.MULTILINE):
        return None
    return text or None


def content(path: str) -> str:
    """A small file of the system; empty if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def first(pattern: str, text: str | None) -> str | None:
    """The first group of ``pattern`` at its first match in ``text``; None without a match. ^ and $ match at lines."""
    match = re.search(pattern, text or "", re.MULTILINE)
    return match[1] if match else None


def rows_of(text: str | None, width: int) -> list[list[str | None]]:
    """The rows of nvidia-smi's comma separated values. If a program's name holds commas, the middle field takes
    them."""
    rows = []
    for line in (text or "").splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) > width >= 3:
            over = len(fields) - width
            fields = [fields[0], ",".join(fields[1 : 2 + over]), *fields[2 + over :]]
        if len(fields) == width:
            rows.append([None if field.startswith("[") or field in _NOTHING else field for field in fields])
    return rows


def json_in(text: str | None) -> Any:
    """The longest JSON list or object in what a program printed: sentences can stand before and behind it."""
    decoder, found, longest, position = json.JSONDecoder(), None, 0, 0
    text = text or ""
    while match := re.compile(r"[\[{]").search(text, position):
        try:
            value, position = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            position = match.end()
            continue
        if position - match.start() > longest:
            found, longest = value, position - match.start()
    return found


def said(value: object, *keys: str) -> str | None:
    """What stands in JSON under these keys, as text: the value alone of ``{"value": 196592, "unit": "MB"}``."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        value = value.get("value")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return None if text in _NOTHING else text


def number_in(text: str | None) -> float | None:
    """The number in ``81559`` or ``81559 MiB``."""
    try:
        number = float((text or "").partition(" ")[0])
    except ValueError:
        return None
    return number if abs(number) < 1e18 else None


def mebibytes(text: str | None) -> int | None:
    number = number_in(text)
    return None if number is None else int(number * 2**20)
