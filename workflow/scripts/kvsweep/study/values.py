"""The kinds of values that a configuration has: what each accepts, what it means, and its JSON schema.

A value that is not what it should be raises Complaint; ``complaints.read`` makes the sentence of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, PlainValidator, Strict
from pydantic import WithJsonSchema as Schema
from pydantic_core import CoreSchema

from kvsweep.study.complaints import Complaint, expected, nearest, shown
from kvsweep.study.pairs import KNOWN_TYPES
from kvsweep.study.pairs import Pair as CachePair
from kvsweep.study.positions import Positions as ScoredPositions
from kvsweep.units import parse_bytes, parse_count

T = TypeVar("T")


class _LeftOut:
    """Takes the null out of ``T | None``: None is what a key means that is left out, and is never written."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner: CoreSchema = handler(source)["schema"]
        return inner


Optional = Annotated[T | None, _LeftOut()]


def _one_of(*kinds: type, what: str) -> Callable[[object], Any]:
    """Lets values of some kinds through. To Python true is a whole number; to who writes it, it is none."""

    def check(value: object) -> object:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Complaint(expected(what, value))
        return value

    return check


def _matching(pattern: str, what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise Complaint(f"{shown(text)} is not valid here; write {what}")
        return text

    return AfterValidator(check)


# -- numbers ----------------------------------------------------------------------------------------------------------

_is_count = _one_of(int, str, what="a number of tokens such as 8192 or 8K")
_is_text = _one_of(str, what="text")


def _tokens(value: object) -> int:
    return _understood(parse_count, _is_count(value))


def _bytes(value: object) -> int:
    return _understood(parse_bytes, _is_text(value))


def _understood(parse: Callable[[Any], T], value: object) -> T:
    try:
        return parse(value)
    except ValueError as error:
        raise Complaint(str(error)) from None


Natural = Annotated[int, Strict(), Field(ge=0)]
Positive = Annotated[int, Strict(), Field(ge=1)]
# Allows nothing whose seconds or bytes are too many for a float.
Amount = Annotated[float, Strict(), Field(gt=0, le=1e12, allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Tokens = Annotated[int, PlainValidator(_tokens), Schema({"type": ["integer", "string"]})]
Memory = Annotated[int, PlainValidator(_bytes), Schema({"type": "string", "minLength": 1})]

# -- text -------------------------------------------------------------------------------------------------------------

Text = Annotated[str, Field(min_length=1)]
Name = Annotated[
    str,
    _matching("[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, '.', '_' and '-', the first a letter or digit"),
    Schema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}),
]
Variable = Annotated[
    str,
    _matching("[A-Za-z_][A-Za-z0-9_]*", "letters, digits and '_', the first no digit"),
    Schema({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}),
]
Sha256 = Annotated[
    str,
    _matching("[0-9a-f]{64}", "64 hexadecimal digits in lower case"),
    Schema({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
]
Repository = Annotated[
    str,
    _matching("[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?", "a repository's name, OWNER/NAME"),
    Schema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"}),
]
_COMMIT = Schema({"type": "string", "pattern": "^[0-9a-f]{40}$"})


def _full_commit(why: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch("[0-9a-f]{40}", text):
            raise Complaint(
                f"{shown(text)} is not a full commit; write all 40 hexadecimal digits, because {why}"
            )
        return text

    return AfterValidator(check)


Commit = Annotated[str, _full_commit("a branch or a short commit can mean another source tomorrow"), _COMMIT]
Revision = Annotated[str, _full_commit("a branch or a tag can mean another file tomorrow"), _COMMIT]


def _without_secrets(address: str) -> str:
    """The message does not repeat the address: it may hold a password."""
    try:
        parts = urlsplit(address)
        user = parts.username or parts.password
    except ValueError as error:
        raise Complaint(f"not a valid address ({error})") from None
    if user:
        raise Complaint(
            "user name and password would end up in the results; write them into ~/.netrc instead"
        )
    return address


Address = Annotated[
    str,
    _matching(r"https?://[^/?#\s]+/[^\s]*", "an address that starts with http:// or https://"),
    AfterValidator(_without_secrets),
    Schema({"type": "string", "pattern": r"^https?://[^/?#\s]+/[^\s]*$"}),
]


def _inside_a_repository(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts or path.endswith("/"):
        raise Complaint(f"{shown(path)} is no file of a repository; write its path inside it")
    return path


def _inside_an_archive(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise Complaint(f"{shown(path)} leads out of the archive; write a path inside it")
    return path


RepositoryFile = Annotated[Text, AfterValidator(_inside_a_repository)]
Member = Annotated[Text, AfterValidator(_inside_an_archive)]


def _setting(value: object) -> str:
    """What CMake gets."""
    value = _one_of(str, int, bool, what="text, a whole number, true or false")(value)
    return {True: "ON", False: "OFF"}[value] if isinstance(value, bool) else str(value)


def _knob(value: object) -> str:
    """What a program finds in its environment."""
    return str(_one_of(str, int, what="text or a whole number")(value))


Setting = Annotated[str, PlainValidator(_setting), Schema({"type": ["string", "integer", "boolean"]})]
Knob = Annotated[str, PlainValidator(_knob), Schema({"type": ["string", "integer"]})]


def _pair(value: object) -> CachePair:
    pair = _understood(CachePair.parse, _is_text(value))
    for cache_type in (pair.ctk, pair.ctv):
        if cache_type not in KNOWN_TYPES:
            raise Complaint(
                f"{cache_type!r} in {value!r} is not a cache type; {nearest(cache_type, KNOWN_TYPES)}"
            )
    return pair


Pair = Annotated[CachePair, PlainValidator(_pair), Schema({"type": "string"})]

Positions = Annotated[
    ScoredPositions,
    PlainValidator(lambda value: _understood(ScoredPositions.parse, _is_text(value))),
    Schema({"type": "string", "pattern": "^(half|[1-9][0-9]*x[1-9][0-9]*)$"}),
]


def _each_once(items: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))


Each = Annotated[tuple[T, ...], AfterValidator(_each_once)]
Some = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_each_once)]
