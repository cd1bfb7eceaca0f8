"""Numbers as people write and read them."""

from __future__ import annotations

import re

_COUNT = re.compile(r"([0-9]+)([KM]?)")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([MG])(?:i?B)?")
_FACTOR = {"": 1, "K": 1024, "M": 1024 * 1024}


def parse_count(value: int | str) -> int:
    """Tokens from ``8192``, ``"8192"``, ``"8K"`` (8192) or ``"1M"`` (1048576).

    Raises ValueError for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not a number of tokens")
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{value} is negative")
        return value
    match = _COUNT.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a number of tokens such as 8192, 8K or 1M")
    return int(match[1]) * _FACTOR[match[2]]


def parse_bytes(text: str) -> int:
    """Bytes from ``24G`` or ``512M``, binary: 1024 x 1024 x 1024 or 1024 x 1024 of them. Raises ValueError else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size of memory such as 24G or 512M")
    return round(float(match[1]) * {"M": 2**20, "G": 2**30}[match[2]])


def format_count(tokens: int) -> str:
    """The short form of a number of tokens: ``8K``, ``1M``, ``512``."""
    for suffix, factor in (("M", _FACTOR["M"]), ("K", _FACTOR["K"])):
        if tokens and tokens % factor == 0:
            return f"{tokens // factor}{suffix}"
    return str(tokens)


def plural(n: int, thing: str) -> str:
    """``1 cell``, ``1,050 cells``."""
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def format_bytes(size_bytes: float) -> str:
    """Bytes with a binary unit and three significant digits: ``5.00 GiB``."""
    size, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(size) >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    unit = units[0]
    return f"{size:.0f} {unit}" if unit == "B" or abs(size) >= 100 else f"{size:.3g} {unit}"


def format_duration(seconds: float) -> str:
    """A duration for a progress line: ``8 s``, ``3 min 20 s``, ``7 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
