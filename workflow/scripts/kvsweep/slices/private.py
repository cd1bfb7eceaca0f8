"""What of a text is nobody else's business, and what stands in its place.

Paths keep their shape and every line its other words, so that an engine's log reads as before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

REMOVED = "REMOVED"
USER, HOST = "user", "host"

HOMES, USERS, HOSTS = "home directories", "user names", "host names"
SECRETS, PLACES, PEOPLE = "tokens and passwords", "places on this machine", "users at hosts"

# Words that engines and systems say for themselves: as a user's or host's name they are replaced in paths and
# addresses, and stay wherever they stand alone.
_COMMON = frozenset(
    "root user users admin administrator ubuntu debian fedora runner build builder test tester main home local "
    "localhost host linux darwin macos apple mac windows llama ggml gguf cpu gpu cuda metal vulkan hip rocm sycl blas "
    "model models token tokens turbo cache type types load loaded mean median max maximum min minimum base text file "
    "files device devices graph nodes splits buffer size context batch perplexity bench server client data results "
    "resources kvsweep final estimate prompt eval time total layer layers tensor tensors default error warning info "
    "true false none null auto flash attn kld ppl same top tmp var opt usr bin lib mnt media work scratch the and "
    "for with not system".split()
)
_SHORTEST = 3

_END = r"(?![A-Za-z0-9_.-])"
_HOME = re.compile(
    r"((?<![\w.-])(?:/var|/usr|/export|/mnt/[a-z]|/private|/System/Volumes/Data|/nfs|/net|/host)?/(?:home|Users)/"
    r"|(?<![\w.-])/(?:run/)?media/|[A-Za-z]:(?:\\{1,4}|/)[Uu]sers(?:\\{1,4}|/)|%2[Ff](?:home|Users)%2[Ff]"
    r"|\\{1,2}/(?:home|Users)\\{1,2}/|\\{1,2}u002[Ff](?:home|Users)\\{1,2}u002[Ff])"
    r"(?!Shared(?![\w.-]))([^/\\\s\"'<>|:;,%()\[\]{}=]+)"
)
_ROOT = re.compile(r"(?<![\w./-])/(?:var/)?root(?=[/\s\"':;,)\]]|$)")
_MAC_TEMPORARY = re.compile(r"(/var/folders/)[\w+]{2}/[\w+-]+")
_OF_A_HOME = re.compile(r"~[A-Za-z_][\w.-]*(?=/)")

_SECRET_NAME = (
    r"(?:token|secret|passw(?:or)?d|pwd|passphrase|(?:api|access|private)[_-]?key|credentials?|signature|(?<![a-z])sig"
    r"|(?<![a-z])auth|session_?id)"
)
# Names that say nothing else, also where there are spaces behind them.
_SURE_NAME = r"(?:secret|passw(?:or)?d|passphrase|(?:api|access|private|secret)[_-]?key|credentials?)"
# Between a name and its value, in an assignment, JSON, a header or an address, with its quotes.
_IS = r"(?:\\?[\"'])?(?:=|%3D|:(?!/)|%3A)\s*(?:\\?[\"'])?"
_VALUE = r"[^\s\"'&;,\\]+"
_SECRETS = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
        REMOVED,
    ),
    (re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*(?:[:=]|%3A)\s*[\"']?)[^\r\n\"']+"), rf"\1{REMOVED}"),
    (re.compile(r"(?i)\b((?:set-)?cookie\s*:\s*)[^\r\n\"']+"), rf"\1{REMOVED}"),
    (re.compile(r"(?i)\b((?:x-)?(?:api-key|auth-token)\s*:\s*)[^\s\"']+"), rf"\1{REMOVED}"),
    (re.compile(r"(?i)\b(bearer(?:\s|\+|%20)+)[A-Za-z0-9._~+/=-]{6,}"), rf"\1{REMOVED}"),
    (
        re.compile(
            r"\b(?:hf_[A-Za-z0-9]{6,}|api_org_[A-Za-z0-9]{6,}|gh[pousr]_[A-Za-z0-9]{6,}|github_pat_\w{6,}"
            r"|gl(?:pat|dt|ptt)-[\w-]{6,}|xox[abeprs]-[\w-]{6,}|sk-[A-Za-z0-9][\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{12,}"
            r"|AIza[\w-]{20,}|npm_[A-Za-z0-9]{10,}|pypi-[\w-]{16,}|dckr_pat_[\w-]{6,}|nvapi-[\w-]{6,}"
            r"|eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*)"
        ),
        REMOVED,
    ),
    (re.compile(r"(://)[^\s'\"/@]+@"), rf"\1{REMOVED}@"),
    (re.compile(r"(?i)(%3A%2F%2F)(?:(?!%2F|%40)[^\s'\"/@&])+%40"), rf"\1{REMOVED}%40"),
    (re.compile(rf"(?i)({_SECRET_NAME}{_IS})(?!\d+(?!\S)){_VALUE}"), rf"\1{REMOVED}"),
    (re.compile(rf"(?i)({_SURE_NAME}\s*{_IS}){_VALUE}"), rf"\1{REMOVED}"),
    # Of a model's tokens a log says "EOS token = 1" and "control token: 1": a variable's name is written otherwise.
    (re.compile(rf"(\b[A-Z0-9]+_(?:TOKEN|KEY|AUTH)\s*{_IS}){_VALUE}"), rf"\1{REMOVED}"),
    (re.compile(rf"(?i)((?<!\S)--?(?:[a-z-]*{_SECRET_NAME}|hft)\s+)[^\s\"']+"), rf"\1{REMOVED}"),
)
_SECRET_KEY = re.compile(rf"(?i)^(?:[\w-]*[_-])?{_SECRET_NAME}$")
_SECRET_OPTION = re.compile(rf"(?i)^--?(?:[a-z-]*{_SECRET_NAME}|hft)$")
_DEVICE = re.compile(r"\b((?:GPU|MIG)-)[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_AT = re.compile(
    r"(?<![\w.+@%-])(?!git@|user@host|REMOVED@)[\w.+-]+(?:@|%40)[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*"
)
_LOCAL = re.compile(r"(?<![\w./-])[A-Za-z0-9][\w-]*\.(?:local|lan|internal)(?![\w.-])")


def _in_all_forms(path: str) -> str:
    """A pattern of a path as it stands, and as a shell, an address and JSON write it."""
    forms = (path, path.replace(" ", "\\ "), quote(path), quote(path, safe=""), path.replace("/", "\\/"))
    return f"(?:{'|'.join(map(re.escape, dict.fromkeys(forms)))})"


def users_in(texts: Iterable[str]) -> set[str]:
    """The names of the users whose home directories are named in the texts."""
    return {match[2] for text in texts for match in _HOME.finditer(text)} - {USER}


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
        self._kept = _COMMON | {word.lower() for word in kept}
        users = sorted({name for name in users if name and name != USER}, key=lambda name: (-len(name), name))
        hosts = sorted({name for name in hosts if name})
        self._hosts = {name: f"{HOST}-{number}" for number, name in enumerate(hosts, start=1)}
        self._rules: list[tuple[str, re.Pattern[str], str]] = []
        for place, shown in sorted((places or {}).items(), key=lambda one: (-len(one[0]), one[0])):
            if len(place) > 1:
                self._add(PLACES, _in_all_forms(place.rstrip("/")) + r"(?![\w-])", shown)
        for home in sorted({home.rstrip("/") for home in homes}, key=lambda home: (-len(home), home)):
            if len(home) > 1:
                self._add(HOMES, _in_all_forms(home) + r"(?![\w-])", f"/home/{USER}")
        self._rules += [(SECRETS, pattern, shown) for pattern, shown in _SECRETS]
        self._rules += [
            (HOMES, _HOME, rf"\1{USER}"),
            (HOMES, _ROOT, f"/home/{USER}"),
            (HOMES, _MAC_TEMPORARY, rf"\1{USER}"),
            (HOMES, _OF_A_HOME, f"~{USER}"),
            (PLACES, _DEVICE, r"\g<1>0"),
        ]
        for name in users:
            self._add(USERS, rf"(?<=[/\\~=(]){re.escape(name)}(?=[/\\):\s\"',;]|$)", USER)
        self._rules.append((PEOPLE, _AT, f"{USER}@{HOST}"))
        for name, shown in self._hosts.items():
            self._add_name(HOSTS, name, shown)
            short = name.partition(".")[0]
            if short not in self._hosts:
                self._add_name(HOSTS, short, shown)
        self._rules.append((HOSTS, _LOCAL, f"{HOST}.local"))
        for name in users:
            self._add_name(USERS, name, USER)

    def _add(self, kind: str, pattern: str, shown: str) -> None:
        self._rules.append((kind, re.compile(pattern), shown))

    def _add_name(self, kind: str, name: str, shown: str) -> None:
        """A name as a word of its own, whatever its capital letters."""
        if len(name) >= _SHORTEST and name.lower() not in self._kept:
            word = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
            self._rules.append((kind, re.compile(word, re.IGNORECASE), shown))

    def text(self, text: str) -> str:
        for kind, pattern, shown in self._rules:
            text = pattern.sub(partial(self._shown, kind, shown), text)
        return text

    def _shown(self, kind: str, shown: str, match: re.Match[str]) -> str:
        found = match.expand(shown)
        if found != match[0]:
            self.replaced[kind] += 1
        return found

    def host(self, name: str) -> str:
        """What stands for a host's name where it is known to be one."""
        if name not in self._hosts:
            return self.text(name)
        self.replaced[HOSTS] += 1
        return self._hosts[name]

    def value(self, value: Any) -> Any:
        """The same of every text of a JSON value; what a key or an option calls a secret goes whatever it is."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(key)): self._of_key(str(key), item) for key, item in value.items()}
            case list() | tuple():
                items = list(value)
                return [
                    self._secret(item)
                    if index and isinstance(item, str) and _names_secret(items[index - 1])
                    else self.value(item)
                    for index, item in enumerate(items)
                ]
        return value

    def _of_key(self, key: str, item: Any) -> Any:
        if isinstance(item, str):
            if _SECRET_KEY.match(key):
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


def _names_secret(before: Any) -> bool:
    return isinstance(before, str) and _SECRET_OPTION.match(before) is not None
