"""What is wrong with a configuration, in one sentence: the key, what was found, what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from kvsweep.addresses import without_secrets
from kvsweep.errors import KvsweepError, printable

T = TypeVar("T")
# What is a number to a reader, and text to YAML: '12', 1e3.
_NUMBER = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9]*)?([eE][-+]?[0-9]+)?[KMG]?")


class ConfigError(KvsweepError):
    """The configuration is wrong; the message names the key, what was found and what to do.

    Whatever it repeats of the configuration, it is one line without passwords, and moves no cursor.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(without_secrets(message)))


class Complaint(ValueError):
    """A sentence about a value, without its place and the full stop.

    ``key`` leads from the value that is being checked to the part of it that is wrong.
    """

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key


def expected(what: str, found: object) -> str:
    """The sentence about a value of another kind than ``what``."""
    hint = "; put it in quotes" if what == "text" and not isinstance(found, dict | list | None) else ""
    if isinstance(found, str) and what in ("a number", "a whole number") and _NUMBER.fullmatch(found):
        hint = "; write it in plain digits and without quotes"
    return f"expected {what}, found {shown(found)}{hint}"


def unknown(found: object, valid: Iterable[object]) -> str:
    return f"{shown(found)} is not known; {nearest(str(found), valid)}"


def shown(value: object) -> str:
    """What was found, short enough for a sentence and without a password."""
    if value is None:
        return "nothing"
    try:
        text = without_secrets(repr(value))
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a very large number"
    return text if len(text) <= 80 else f"{text[:77]}..."


def nearest(found: str, valid: Iterable[object]) -> str:
    names = [str(name) for name in valid]
    close = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
    return f"the nearest valid one is {close[0]!r}" if close else f"valid here: {', '.join(names)}"


def read(shape: type[T], value: object, where: str = "") -> T:
    """``value`` as a class of study/shape.py; ``where`` is its key in the configuration.

    Raises ConfigError on the first thing wrong.
    """
    try:
        return cast(T, _adapter(cast(Any, shape)).validate_python(value))
    except ValidationError as error:
        # A list whose items are wrong has too few right ones, but that is not what is wrong with it.
        first = min(
            error.errors(include_url=False),
            key=lambda details: (details["type"] == "too_short", list(map(str, details["loc"]))),
        )
    raise ConfigError(_shortened(_sentence(first, value, where)))


def _shortened(sentence: str) -> str:
    """The sentence in which everything quoted is cut to a length that a person reads."""
    return re.sub(r"('[^']{77})[^']{4,}(?=')", r"\1...", sentence)


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _sentence(error: ErrorDetails, value: object, where: str) -> str:
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    path = [*filter(None, [where]), *_path(value, error["loc"])]
    if kind == "value_error":
        key = getattr(context["error"], "key", "")
        return f"{'.'.join([*path, *filter(None, [key])]) or 'the configuration'}: {context['error']}."
    return (
        f"{'.'.join(path) or 'the configuration'}: {_said(kind, found, context, (error['loc'] or [''])[-1])}."
    )


def _path(value: Any, location: Sequence[object]) -> list[str]:
    """The keys that lead to an error's place, as far as they stand in the configuration.

    pydantic's locations also name the alternative of a union, keys that are missing, and that a key itself is wrong.
    """
    path = []
    if location[-1:] == ("[key]",):
        location = location[:-2]
    for part in location:
        if isinstance(value, Mapping):
            inside = {str(key): item for key, item in value.items()}
            if str(part) not in inside:
                continue
            value = inside[str(part)]
        elif isinstance(value, list | tuple) and isinstance(part, int):
            value = value[part]
        else:
            continue
        path.append(named(part))
    return path


def named(key: object) -> str:
    """A key as it is written in a sentence; in quotes where it would not be seen as one."""
    name = str(key)
    is_plain = 0 < len(name) <= 80 and name.isprintable() and without_secrets(name) == name
    return name if is_plain else shown(name)


def _said(kind: str, found: object, context: Mapping[str, Any], key: object) -> str:
    """The sentence for a mistake that pydantic calls ``kind``. Raises KeyError for a kind that is not known here."""
    match kind:
        case "missing":
            return f"the key {key!r} is missing"
        case "literal_error":
            return unknown(found, re.findall(r"'([^']*)'", context["expected"]))
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}, found {shown(found)}"
        case "greater_than":
            return f"must be more than {context['gt']:g}, found {shown(found)}"
        case "less_than":
            return f"must be less than {context['lt']:g}, found {shown(found)}"
        case "less_than_equal" if isinstance(found, int):
            return f"must be at most {context['le']:g}, found {shown(found)}"
        case "less_than_equal" | "finite_number":
            return f"{shown(found)} is no limit; write an ordinary number"
        case "string_unicode":
            return f"{shown(found)} has half of a character (a surrogate); remove it"
        case "too_short":
            return "is empty; name at least one"
        case "string_too_short":
            return "is empty; write a value"
    return expected(_KINDS[kind], found)


_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping (key: value)",
    "dataclass_type": "a mapping (key: value)",
    "tuple_type": "a list",
}
