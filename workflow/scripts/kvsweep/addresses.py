"""Addresses: what may be secret in one, and how one is shown without it.

A configuration, a manifest and a log are shown to others; a password in an address would be with them.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

# Whose user is part of the address and no secret: ssh asks for its key or password by itself.
_NAMED_USERS = ("ssh", "git+ssh", "ssh+git")
# "scheme://token@", "user:password@", in whatever an address is part of.
_SECRET = re.compile(r"(?:[\w+.-]*://)[^\s'\"/@]*@|[^\s'\"@/=]*:[^\s'\"@]+@")


def has_secret(address: str) -> bool:
    """Whether a user or password stands in an address, also in one that is not well formed."""
    for match in _SECRET.finditer(address):
        scheme, separator, user = match[0].rpartition("@")[0].partition("://")
        if not (separator and scheme in _NAMED_USERS and ":" not in user):
            return True
    return False


def without_secrets(text: str) -> str:
    """A message, in which somebody else may have repeated an address."""
    return _SECRET.sub("...@", text) if has_secret(text) else text


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
