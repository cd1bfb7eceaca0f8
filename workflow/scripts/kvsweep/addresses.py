"""Addresses: what may be secret in one, and how one is shown without it.

A configuration, a manifest and a log are shown to others; a password in an address would be with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

# Whose user is part of the address and no secret: ssh asks for its key or password by itself.
NAMED_USERS = ("ssh", "git+ssh", "ssh+git")
# "scheme://token@", "user:password@", in whatever an address is part of.
_SECRET = re.compile(r"(?:[\w+.-]*://)[^\s'\"/@]*@|[^\s'\"@/=]*:[^\s'\"@]+@")
# What GitHub, GitLab, Hugging Face and AWS give out as passwords, wherever it stands.
_TOKEN = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|ptt)-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16})"
)
# In a query, whose names are the server's own: token=, X-Amz-Signature=, sig=, api_key=.
_IN_A_QUERY = re.compile(
    r"(?i)([?&;#](?:[\w.-]*(?:token|secret|passw|signature|credential|api[_-]?key|access[_-]?key|auth)[\w.-]*"
    r"|sig|key|pwd)=)[^&;#\s'\"]+"
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
