"""Forms in which programs answer: comma separated values, and JSON among sentences. What is not there is None."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# What programs print where there is nothing to tell.
_NOTHING = ("", "N/A", "ERR!", "Unknown Error", "Not Supported", "None")


def rows_of(text: str | None, width: int) -> list[list[str | None]]:
    """Lines of nvidia-smi's comma separated values. A program's name may hold a comma: the middle takes the rest."""
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
