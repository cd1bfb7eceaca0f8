"""How a name may be spelled where it should not be read: in capital letters, encoded, inside a longer word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

from kvsweep.files import CHECKOUT

_LINES = (CHECKOUT / "resources" / "common-words.txt").read_text(encoding="utf-8").splitlines()
COMMON = frozenset(word for line in _LINES if not line.startswith("#") for word in line.split())
# As many letters of a name are not found in a word by chance, where no engine says such a word.
_LONG, _SHORTEST = 4, 3
_LETTERS = re.compile(r"[^\W\d_]")
_START = r"(?:(?<![^\W_])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u00[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2}))"
_END = r"(?![^\W_])"


def path_pattern(path: str) -> str:
    """A path as it stands, and as a shell, an address and JSON write it."""
    forms = (path, path.replace(" ", "\\ "), quote(path), quote(path, safe=""), path.replace("/", "\\/"))
    return f"(?:{'|'.join(map(re.escape, dict.fromkeys(forms)))})"


def letters_of(name: str) -> str:
    """A name, each character of it as it stands or as an address or JSON encodes it."""
    forms = dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)))
    return f"(?:{'|'.join(''.join(map(_letter, form)) for form in forms)})"


def name_patterns(name: str, kept: Iterable[str]) -> list[re.Pattern[str]]:
    """Patterns that find a name as a word of its own, and inside a longer word that cannot be another one.

    Empty for a name that engines print themselves, and for one that may be a number: paths and addresses tell these.
    """
    lower, words = name.lower(), COMMON | {word.lower() for word in kept}
    if lower in words or len(_LETTERS.findall(name)) < _SHORTEST:
        return []
    spelled = letters_of(name)
    # Of letters and digits of a checksum, or part of a word that is said anyway, only where it stands alone.
    if re.fullmatch("[0-9a-f]+", lower) or any(lower in word for word in words):
        return [re.compile(_START + spelled + _END, re.IGNORECASE)]
    if len(_LETTERS.findall(name)) >= _LONG:
        return [re.compile(spelled, re.IGNORECASE)]
    title = re.escape(name[:1].upper() + name[1:].lower())
    return [
        re.compile(rf"{_START}{spelled}(?=s?{_END}|\d)|(?<=\d){spelled}{_END}", re.IGNORECASE),
        # AnnsMac, myAnn2
        re.compile(rf"(?<![A-Z]){title}(?![a-rt-z])"),
    ]


def _letter(character: str) -> str:
    encoded = [f"%{byte:02X}" for byte in character.encode()]
    forms = [re.escape(character), "".join(encoded)]
    if ord(character) < 0x10000:
        forms.append(rf"\\{{1,4}}u{ord(character):04x}")
    if ord(character) < 0x100:
        forms.append(rf"\\{{1,4}}x{ord(character):02x}")
    return f"(?:{'|'.join(forms)})"
