"""Replaces what of a text is nobody else's business.

Paths keep their shape and every line its other words, so that an engine's log reads as before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from kvsweep.slices.forms import (
    BEFORE_NAMES,
    HOME,
    HOMES,
    HOST,
    HOSTS,
    LOCAL,
    NUMBERS,
    PERSON,
    PLACES,
    REMOVED,
    SECRET_KEY,
    SECRET_OPTION,
    SECRETS,
    USER,
    USERS,
    Rule,
    goes_on,
)
from kvsweep.slices.spelling import letters_of, name_patterns, path_pattern

# Logs of one engine have most lines in common, but for the time before them: what stands for each is found once.
_STAMP = re.compile(r"\d+\.\d\d\.\d{3}\.\d{3} [A-Z] ")
_MOST_LINES = 200_000


def users_in(lines: Iterable[str]) -> set[str]:
    """The names of the users whose home directories are named in the lines."""
    named = (line for line in lines if any(word in line for word in ("home", "sers", "media")))
    return {match[2] for line in named for match in HOME.finditer(line)} - {USER}


class Private:
    """Replaces what is private; ``replaced`` counts what was, by kind.

    ``places`` are directories and what stands for each; ``kept`` are words that stay, because the study's own names
    are made of them.
    """

    def __init__(
        self,
        users: Iterable[str] = (),
        hosts: Iterable[str] = (),
        homes: Iterable[str] = (),
        places: Mapping[str, str] | None = None,
        kept: Iterable[str] = (),
    ) -> None:
        self.replaced: Counter[str] = Counter()
        self._lines: dict[str, tuple[str, Counter[str]]] = {}
        kept = list(kept)
        users = sorted({name for name in users if name and name != USER}, key=_longest)
        self._hosts = {
            name: f"{HOST}-{number}" for number, name in enumerate(sorted({*hosts} - {""}), start=1)
        }
        self._rules: list[Rule] = []
        for place, shown in sorted((places or {}).items(), key=lambda one: _longest(one[0])):
            if len(place) > 1:
                self._add(PLACES, path_pattern(place.rstrip("/")) + r"(?![\w-])", shown)
        for home in sorted({home.rstrip("/") for home in homes}, key=_longest):
            if len(home) > 1:
                self._add(HOMES, path_pattern(home) + r"(?![\w-])", f"/home/{USER}")
        self._rules += BEFORE_NAMES
        for name in users:
            self._add(USERS, rf"(?<=[/\\~]){letters_of(name)}(?=[/\\):\s\"',;]|$)", USER)
            self._add(USERS, rf"(?i)(?<=\buser=){letters_of(name)}(?!\w)", USER)
        self._rules.append(PERSON)
        for name, shown in self._hosts.items():
            short, _, domain = name.partition(".")
            for part in (name, short):
                self._rules += [(HOSTS, pattern, shown) for pattern in name_patterns(part, kept)]
            if "." in domain:
                self._add(
                    HOSTS, rf"(?i)(?<![\w-])(?:[\w-]+\.)?{letters_of(domain)}(?![\w-])", f"{HOST}.local"
                )
        self._rules.append(LOCAL)
        for name in users:
            self._rules += [(USERS, pattern, USER) for pattern in name_patterns(name, kept)]

    def _add(self, kind: str, pattern: str, shown: str) -> None:
        self._rules.append((kind, re.compile(pattern), shown))

    def text(self, text: str) -> str:
        parts = []
        for line in _lines(text):
            stamp = _STAMP.match(line)
            if stamp is not None:
                parts.append(stamp[0])
                line = line[stamp.end() :]
            if line not in self._lines:
                if len(self._lines) >= _MOST_LINES:
                    self._lines.clear()
                self._lines[line] = self._of_line(line)
            shown, replaced = self._lines[line]
            self.replaced.update(replaced)
            parts.append(shown)
        return "".join(parts)

    def _of_line(self, line: str) -> tuple[str, Counter[str]]:
        replaced: Counter[str] = Counter()
        for kind, pattern, shown in self._rules:
            line = pattern.sub(partial(_shown, replaced, kind, shown), line)
        return line, replaced

    def host(self, name: str) -> str:
        """What stands for a host's name where it is known to be one."""
        if name not in self._hosts:
            return self.text(name)
        self.replaced[HOSTS] += 1
        return self._hosts[name]

    def value(self, value: Any) -> Any:
        """The JSON value with every text replaced. The value of a key or option that is called a secret is always
        replaced."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(key)): self._of_key(str(key), item) for key, item in value.items()}
            case list() | tuple():
                items = list(value)
                return [
                    self._secret(item)
                    if index and isinstance(item, str) and _is_secret(items[index - 1], item)
                    else self.value(item)
                    for index, item in enumerate(items)
                ]
        return value

    def _of_key(self, key: str, item: Any) -> Any:
        if isinstance(item, str):
            if SECRET_KEY.match(key):
                return self._secret(item)
            if key == "host":
                return self.host(item)
        if key == "hosts" and isinstance(item, list):
            return [self.host(one) if isinstance(one, str) else self.value(one) for one in item]
        return self.value(item)

    def _secret(self, text: str) -> str:
        if text and text != REMOVED:
            self.replaced[SECRETS] += 1
            return REMOVED
        return text


def _lines(text: str) -> Iterator[str]:
    """The lines of a text with their ends. Lines that hold a secret only together are given as one."""
    waiting, inside = "", False
    for line in text.splitlines(keepends=True):
        waiting += line
        inside = inside or ("-----BEGIN" in line and "PRIVATE KEY" in line)
        if inside and "-----END" in line:
            inside = False
        if not inside and not goes_on(line):
            yield waiting
            waiting = ""
    if waiting:
        yield waiting


def _shown(replaced: Counter[str], kind: str, shown: str, match: re.Match[str]) -> str:
    found = match.expand(shown)
    if found != match[0]:
        replaced[kind] += 1
    return found


def _longest(text: str) -> tuple[int, str]:
    return -len(text), text


def _is_secret(before: Any, item: str) -> bool:
    """Whether ``before`` is an option that is called a secret, so that ``item`` is one. llama.cpp's own ``-p`` takes
    numbers."""
    if not isinstance(before, str):
        return False
    return SECRET_OPTION.match(before) is not None or (before == "-p" and re.fullmatch(NUMBERS, item) is None)
