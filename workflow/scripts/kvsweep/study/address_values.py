"""Kinds of values that say where something lies: addresses, paths, places inside an archive or a source."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic import WithJsonSchema as Schema

from kvsweep.addresses import NAMED_USERS, is_login, shown_address
from kvsweep.study.complaints import Complaint, shown
from kvsweep.study.values import CLEAN, NO_SECRETS, Text

# -- addresses --------------------------------------------------------------------------------------------------------


def _web_address(address: str) -> str:
    """The messages do not repeat an address that may hold a password."""
    if not re.fullmatch(r"https?://[^/?#\s@]+/[^\s]*", address):
        if "@" in address:
            raise Complaint(NO_SECRETS)
        raise Complaint(
            f"{shown(shown_address(address))} is not valid here; write an address that starts with http:// or https://"
        )
    return _with_a_host(address)


def _with_a_host(address: str) -> str:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Complaint("is not a valid address; correct its host and port") from None
    if parts.scheme != "file" and (not host or host.startswith("-")):
        raise Complaint(f"{shown(address)} has no host that can be asked; correct it")
    return address


GIT_SCHEMES = ("https", "http", "ssh", "git", "file")


def _git_address(address: str) -> str:
    """An address with a scheme, USER@HOST:PATH, or a path; no option, and no helper that git would start for it."""
    if address.startswith("-"):
        raise Complaint(f"{shown(address)} starts like an option; write an address, or ./ before a path")
    if re.match(r"[A-Za-z0-9+.-]*::", address):
        raise Complaint(f"{shown(address)} names a program to run; write an address or a path")
    scheme, separator, rest = address.partition("://")
    if separator and scheme not in NAMED_USERS and "@" in address:
        raise Complaint(NO_SECRETS)
    user, at, _ = (rest if separator else address).partition("/")[0].partition("@")
    if at and not is_login(user):
        raise Complaint(
            "has a token or password where ssh takes a user's name; write git@, or the name alone, and keep its key "
            "with ssh"
        )
    if separator and scheme not in GIT_SCHEMES:
        raise Complaint(
            f"{shown(address)} is of an unknown kind; write one with {'://, '.join(GIT_SCHEMES)}://"
        )
    if not separator and re.match(r"(?:[^/@:]*@)?(?:[^/:]*:)?-", address):
        raise Complaint(f"{shown(address)} has no host or path that can be asked; correct it")
    if separator and re.search(r"[?#\s]", address):
        raise Complaint(
            "a repository's address has no query, fragment or blank; they would end up in the results"
        )
    return _with_a_host(address) if separator else address


Address = Annotated[
    str,
    CLEAN,
    AfterValidator(_web_address),
    Schema({"type": "string", "pattern": r"^https?://[^/?#\s]+/[^\s]*$"}),
]
GitAddress = Annotated[Text, AfterValidator(_git_address)]


def _no_address(instead: str) -> AfterValidator:
    def check(text: str) -> str:
        if "://" in text:
            raise Complaint(instead)
        return text

    return AfterValidator(check)


# What lies at an address may be another file tomorrow.
SlicePath = Annotated[
    Text, _no_address("an address needs the sha256 of what is there; write url and sha256 below the name")
]
LocalPath = Annotated[Text, _no_address("is an address and no path of a file; write it behind url")]
LocalDirectory = Annotated[Text, _no_address("is an address and no directory; fetch it, or write git")]


def _inside_a_repository(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts or path.endswith("/"):
        raise Complaint(f"{shown(path)} is no file of a repository; write its path inside it")
    return path


def _inside_an_archive(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise Complaint(f"{shown(path)} leads out of the archive; write a path inside it")
    if path.startswith("-"):
        raise Complaint(f"{shown(path)} starts like an option; write ./ before it")
    return path


def _inside_the_source(path: str) -> str:
    if path.startswith(("/", "-")) or ".." in PurePosixPath(path).parts:
        raise Complaint(f"{shown(path)} leads out of the source; write a path inside it")
    return path


Tree = Annotated[str, CLEAN, AfterValidator(_inside_the_source)]
RepositoryFile = Annotated[Text, AfterValidator(_inside_a_repository)]
Member = Annotated[Text, AfterValidator(_inside_an_archive)]
