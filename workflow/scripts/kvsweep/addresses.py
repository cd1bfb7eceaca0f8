"""Addresses: what may be secret in one, and how one is shown without it.

A configuration, a manifest and a log are shown to others; a password in an address would be with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

# Whose user is part of the address and no secret: ssh asks for its key or password by itself.
NAMED_USERS = ("ssh", "git+ssh", "ssh+git")
# "scheme://token@", "user:password@", in whatever an address is part of. Tried at the beginning of a word only: a text
# without blanks may be long, and would be read again from each of its characters.
_SECRET = re.compile(r"(?<![\w+.-])[\w+.-]*://[^\s'\"/@]*@|(?<![^\s'\"@/=])[^\s'\"@/=]*:[^\s'\"@]+@")
# What services give out as passwords, wherever it stands; and what stands behind the word Bearer.
_TOKEN = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|ptt)-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|xox[abeprs]-[\w-]{10,}|sk-[\w-]{20,}|AIza[\w-]{30,}|npm_[A-Za-z0-9]{30,}"
    r"|pypi-[\w-]{40,}|dckr_pat_[\w-]{20,}|nvapi-[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*"
    r"|(?i:bearer)\s+[\w.~+/=-]{6,})"
)
# These are asked of a configuration alone, and compiled when they are: each cell would wait for it.
# How such a token begins, and words that stand for one: no login has such a name.
_OF_A_TOKEN = (
    r"(?:gh[pousr]_|github_pat_|gl(?:pat|dt|ptt)-|hf_|xox[a-z]-|sk-|npm_|pypi-|dckr_pat_|nvapi-)"
    r"|AKIA[0-9A-Z]{8}|ASIA[0-9A-Z]{8}|AIza[\w-]{8}|eyJ[\w-]{8}"
    r"|(?i:.*(?:(?:token|secret|passw(?:or)?d)s?[\d._-]*$|oauth))"
)
_LOGIN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}"
# What is drawn by chance: digits or capitals in many places, or digits among letters of hexadecimal numbers.
_DRAWN = (
    r"(?:\d+\D+){2}\d|(?:.*[a-z][A-Z]){4}|(?=.*[A-Z])(?=.*[a-z])(?=.*\d)[A-Za-z\d]{16}"
    r"|(?i:(?=.*\d.*[a-f]|.*[a-f].*\d)[\da-f]{12}|\d{13})"
)
# Of a variable, an option or a parameter, by its words.
_SECRET_NAME = (
    r"(?:^|_)(?:\w*secrets?|pass(?:word|wd|phrase)?|credentials?|auth|authorization|bearer|cookies?|jwt|pat"
    r"|(?:api|access|private|secret|ssh|ssl|signing|deploy|account|auth)_?key)(?:_|$)"
    r"|(?:^|_)token(?:_file)?$"
)
# In a query, whose names are the server's own: token=, X-Amz-Signature=, sig=, api_key=.
_IN_A_QUERY = re.compile(
    r"(?i)([?&;#](?:[\w.-]*(?:token|secret|passw|signature|credential|api[_-]?key|access[_-]?key|auth|jwt|session"
    r"|bearer|cookie)[\w.-]*|sig|key|pwd|pass|pw)=)[^&;#\s'\"]+"
)


def has_secret(address: str) -> bool:
    """Whether a user, password or token stands in an address, also in one that is not well formed."""
    if _TOKEN.search(address) or _IN_A_QUERY.search(address):
        return True
    for match in _SECRET.finditer(address):
        scheme, separator, user = match[0].rpartition("@")[0].partition("://")
        if not (separator and scheme in NAMED_USERS and ":" not in user):
            return True
    return False


def names_a_secret(name: str) -> bool:
    """Whether a variable or an option is called as one that holds a password: HF_TOKEN, --api-key. K of a cache is no
    key."""
    return re.search(_SECRET_NAME, re.sub(r"[-.]", "_", name.lstrip("-")).lower()) is not None


def is_login(user: str) -> bool:
    """Whether what stands before the @ of a repository's address can be a user's name and is no token."""
    return all((re.fullmatch(_LOGIN, user), not re.match(_OF_A_TOKEN, user), not re.search(_DRAWN, user)))


def without_secrets(text: str) -> str:
    """A message, in which somebody else may have repeated an address."""
    return (
        _IN_A_QUERY.sub(r"\1...", _TOKEN.sub("...", _SECRET.sub("...@", text))) if has_secret(text) else text
    )


def without_proxies(text: str, environment: Mapping[str, str]) -> str:
    """A message, in which a program may have repeated a part of what the user's proxies are asked with.

    A proxy that is not well formed is torn where the program thinks that its host begins, so each piece of user and
    password is left out by itself.
    """
    for name, proxy in environment.items():
        if name.lower().endswith("_proxy"):
            user = (proxy.partition("://")[2] or proxy).rpartition("@")[0]
            for piece in sorted({user, unquote(user), *re.split(r"[:/@?#\s]+", user)}, key=len, reverse=True):
                text = text.replace(piece, "...") if len(piece) > 2 else text
    return text


def shown_address(address: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return without_secrets(address)
    if not parts.netloc:
        return without_secrets(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "..." if parts.query else "", ""))
