"""Reads a YAML file that somebody wrote: nothing in it is executed, and what is wrong is said with file and line.

Limits are checked before anything is made of the file: its size, how deep it is nested, and how many values it has when
its aliases are written out (a few lines of aliases of aliases make billions). What is left fits into an argument of a
program, by which it is handed on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import yaml

from kvsweep.files import not_readable
from kvsweep.study.complaints import ConfigError, shown

MOST_BYTES = 2**16
MOST_LEVELS = 20
MOST_VALUES = 10_000
_TOO_DEEP = f"is nested too deeply; write at most {MOST_LEVELS} levels"
# Snakemake would execute what stands in a file with this key.
_TEMPLATE = "__use_yte__"
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# A configuration is handed on as JSON. YAML sees a date in 2026-01-01; the key where it stands refuses it.
_KINDS = frozenset(
    (*_NUMBERS, _MERGE, *(f"tag:yaml.org,2002:{kind}" for kind in "null bool str timestamp seq map".split()))
)
# To YAML 010 is 8 and 1:30 is 90, which nobody means.
_OF_ANOTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")


def read_yaml(path: Path) -> Any:
    """What stands in a file. Raises ConfigError with one sentence."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise not_readable(path, error) from error
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"{path}: is larger than {MOST_BYTES // 2**10} KiB, the most that is read; shorten it."
        )
    try:
        return parse_yaml(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: is not UTF-8 text; save the file as UTF-8.") from None


def read_configuration(path: Path) -> dict[str, Any]:
    """The mapping in a configuration file. Raises ConfigError as ``read_yaml`` does, and if the file holds no
    mapping."""
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise ConfigError(
            f"{path}: expected a configuration (key: value), found {shown(found)}; examples/demo.yaml is one."
        )
    return found


def parse_yaml(text: str, name: str) -> Any:
    """What a text in YAML says; ``name`` names it in errors. Raises ConfigError."""
    _check_characters(text, name)
    loader = _Loader(text)
    loader.name = name
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        check = _Check(name, loader)
        check.sizes(node, ())
        check.keys(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        problem = " ".join(filter(None, [error.context, error.problem]))
        raise ConfigError(f"{name}{line}: is not valid YAML ({problem}); correct that line.") from None
    except (ValueError, OverflowError):  # of an escape such as "\\UFFFFFFFF"
        raise ConfigError(
            f"{name}, line {loader.line + 1}: names no character by its number; correct it."
        ) from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """A loader that stops reading where values are nested too deeply: each level costs as much as all above it."""

    _levels = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._levels >= MOST_LEVELS:
            raise ConfigError(
                f"{self.name}, line {cast(Any, self).peek_event().start_mark.line + 1}: {_TOO_DEEP}."
            )
        self._levels += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._levels -= 1
        return node


def _check_characters(text: str, name: str) -> None:
    wrong = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        raise ConfigError(f"{name}, line {line}: has the control character {wrong[0]!r}; remove it.")


class _Check:
    """Looks at the nodes of a file before values are made of them."""

    def __init__(self, name: str, loader: yaml.SafeLoader) -> None:
        self.name, self.loader = name, loader
        self.counted: dict[int, int] = {}

    def sizes(self, node: yaml.Node, above: tuple[int, ...]) -> int:
        """How many values a node has with its aliases written out."""
        if id(node) in above:
            raise self.wrong(node, "is part of itself; write it out")
        if id(node) in self.counted:
            return self.counted[id(node)]
        if len(above) >= MOST_LEVELS:
            raise self.wrong(node, _TOO_DEEP)
        inner = (*above, id(node))
        number = 1 + sum(self.sizes(child, inner) for child in _children(node))
        if number > MOST_VALUES:
            raise self.wrong(
                node, f"has more than {MOST_VALUES} values with its aliases written out; write fewer"
            )
        self.counted[id(node)] = number
        return number

    def keys(self, root: yaml.Node) -> None:
        """Raise ConfigError for a key that stands in a mapping twice, and for a value of a kind that is not known."""
        waiting, seen = [root], set()
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            waiting += _children(node)
            self.kind(node)
            if isinstance(node, yaml.ScalarNode) and node.tag != _MERGE:
                self.value(node)
            elif isinstance(node, yaml.MappingNode):
                first: dict[Any, int] = {}
                for key, _ in node.value:
                    if not isinstance(key, yaml.ScalarNode):
                        continue
                    value = "<<" if key.tag == _MERGE else self.value(key)
                    line = key.start_mark.line + 1
                    if value == _TEMPLATE:
                        raise self.wrong(key, "a configuration is no template; remove __use_yte__")
                    if value in first:
                        raise self.wrong(
                            key,
                            f"the key {shown(value)} is there twice, first in line {first[value]}; remove one",
                        )
                    first[value] = line

    def kind(self, node: yaml.Node) -> None:
        if node.tag not in _KINDS:
            raise self.wrong(
                node, f"is of the kind {node.tag!r}, which no value is; remove the mark, or put it in quotes"
            )

    def value(self, node: yaml.ScalarNode) -> Any:
        self.kind(node)
        try:
            value = self.loader.construct_object(node)
        except (
            ValueError,
            LookupError,
            AttributeError,
        ) as error:  # the last two of a kind that it does not look like
            why = f" ({error})" if isinstance(error, ValueError) else ""
            raise self.wrong(node, f"{shown(node.value)} cannot be read{why}; put it in quotes") from None
        if node.tag in _NUMBERS and _OF_ANOTHER_BASE.fullmatch(node.value):
            raise self.wrong(node, f"{node.value} means {value} in YAML; write that, or put it in quotes")
        return value

    def wrong(self, node: yaml.Node, what: str) -> ConfigError:
        return ConfigError(f"{self.name}, line {node.start_mark.line + 1}: {what}.")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
