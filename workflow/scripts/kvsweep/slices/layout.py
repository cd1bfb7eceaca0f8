"""What a slice is made of: its members' names, its manifest, and how large anything in it may be.

Format 3 (format 1 had neither tasks nor the scorer's sums, format 2 no bundles). A slice is a zip archive; its members
lie as they do under ``results/``, those of cells in bundles (``bundles.py``). ``manifest.json`` says the format, the
version of kvsweep, the configuration, engines, models, texts and machine, and of every other member size, sha256 and
the bundle that it lies in. Members are stored or deflated, and there is no other one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.tables.names import MEASURED
from kvsweep.units import format_bytes

FORMAT = 3
MANIFEST, CONFIGURATION = "manifest.json", "config.json"

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
TYPE = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,149}"
_PAIR = rf"k-{TYPE}/v-{TYPE}"
_TABLES = "|".join(MEASURED)
_MEMBER = re.compile(
    rf"{re.escape(MANIFEST)}|{re.escape(CONFIGURATION)}|tables/(?:{_TABLES})\.parquet"
    rf"|engines/{NAME}/build\.json|models/{NAME}/model\.json|corpora/{NAME}/corpus\.json"
    rf"|(?:quality|scorer)/{NAME}/{NAME}/{NAME}/c[1-9][0-9]{{0,9}}/(?:against-{NAME}/)?{_PAIR}/"
    r"(?:run\.json|stdout\.log|stderr\.log)"
    rf"|scorer/{NAME}/{NAME}/{NAME}/c[1-9][0-9]{{0,9}}/(?:against-{NAME}/)?{_PAIR}/sums\.json"
    rf"|tasks/{NAME}/{NAME}/{NAME}/{_PAIR}/(?:run\.json|items\.jsonl|server\.log)"
    rf"|throughput/{NAME}/{NAME}/(?:round-(?:[2-9]|[1-9][0-9]{{1,5}})/)?d(?:0|[1-9][0-9]{{0,9}})/{_PAIR}/(?:run\.json|bench\.jsonl|stderr\.log)"
)
_BUNDLE = re.compile(r"records/[0-9]{4}\.tar\.xz")


class Refused(KvsweepError):
    """A slice that is not read; the message names the member."""


@contextmanager
def refusing(member: str) -> Iterator[None]:
    """Make Refused, which names the member, of a KvsweepError that is the end of a sentence about it."""
    try:
        yield
    except Refused:
        raise
    except KvsweepError as error:
        raise Refused(f"{member}: {error}.") from None


@dataclass(frozen=True)
class Limits:
    """The most that is read of a slice, in bytes and members: far above what a study has."""

    archive_bytes: int = 256 * 2**20
    members: int = 60_000
    directory_bytes: int = 12 * 2**20
    total_bytes: int = 8 * 2**30
    log_bytes: int = 16 * 2**20
    json_bytes: int = 2**20
    manifest_bytes: int = 16 * 2**20
    table_bytes: int = 64 * 2**20
    bundle_bytes: int = 64 * 2**20
    rows: int = 200_000
    reader_bytes: int = 400 * 2**20
    reader_seconds: float = 120.0

    def of(self, name: str) -> int:
        """The most bytes that a member may have."""
        if name == MANIFEST:
            return self.manifest_bytes
        if name.endswith(".parquet"):
            return self.table_bytes
        if is_bundle(name):
            return self.bundle_bytes
        return self.json_bytes if name.endswith(".json") else self.log_bytes


LIMITS = Limits()


def is_member(name: str) -> bool:
    """Whether a slice may have a member of that name: nothing that climbs, starts at a root or hides."""
    return _MEMBER.fullmatch(name) is not None


def is_bundle(name: str) -> bool:
    """Whether it is the name of an archive inside the slice."""
    return _BUNDLE.fullmatch(name) is not None


@dataclass(frozen=True)
class Manifest:
    """``members`` is (size in bytes, sha256) by name, of bundles too; ``within`` the names of the members in each
    bundle; ``said`` all of manifest.json."""

    members: dict[str, tuple[int, str]]
    within: dict[str, list[str]]
    said: dict[str, Any]


def parse_manifest(data: bytes, limits: Limits) -> Manifest:
    """The manifest that these bytes hold. Raises KvsweepError with the end of a sentence."""
    said = parse_json(data)
    if not isinstance(said, dict):
        raise KvsweepError("is no manifest of a slice")
    version = said.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise KvsweepError("does not say its format; it is no manifest of a slice")
    if version > FORMAT:
        by = said.get("kvsweep")
        maker = (
            f"kvsweep {by}"
            if isinstance(by, str) and re.fullmatch(r"[0-9A-Za-z.+(), -]{1,60}", by)
            else "a newer kvsweep"
        )
        raise KvsweepError(
            f"says format {version} ({maker} wrote it), and this kvsweep reads up to {FORMAT}; update kvsweep, or ask "
            f"for a slice of format {FORMAT}"
        )
    listed = said.get("members")
    if not isinstance(listed, dict):
        raise KvsweepError("lists no members")
    if len(listed) > limits.members:
        raise KvsweepError(f"lists more than {limits.members} members, and no slice has so many")
    members, within = {}, dict[str, list[str]]()
    folded: dict[str, str] = {}
    for name, entry in listed.items():
        match entry:
            case {"size_bytes": int(size), "sha256": str(digest)} if (
                size >= 0
                and not isinstance(size, bool)
                and re.fullmatch("[0-9a-f]{64}", digest)
                and (is_member(name) or is_bundle(name))
                and name != MANIFEST
            ):
                members[name] = (size, digest)
            case _:
                raise KvsweepError(
                    f"has an entry {shown(name)} that names no member with size_bytes and sha256"
                )
        if size > limits.of(name):
            raise KvsweepError(
                f"says that {name} has {format_bytes(size)}, and at most {format_bytes(limits.of(name))} are read"
            )
        if (other := folded.setdefault(name.casefold(), name)) != name:
            raise KvsweepError(f"lists {name}, which differs from {other} in capital letters only")
        if "in" in entry:
            bundle = entry["in"]
            if not (isinstance(bundle, str) and is_bundle(bundle) and bundle in listed and is_member(name)):
                raise KvsweepError(
                    f"says that {name} lies in {shown(bundle)}, which is no bundle of the slice"
                )
            within.setdefault(bundle, []).append(name)
    total = sum(size for size, _ in members.values())
    if total > limits.total_bytes:
        raise KvsweepError(f"lists members of more than {format_bytes(limits.total_bytes)}")
    return Manifest(members, within, said)


def parse_json(data: bytes) -> Any:
    """JSON in which no key stands twice and every number is one. Raises KvsweepError with the end of a sentence."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands in it twice")
        return found

    def no_number(text: str) -> Any:
        raise ValueError(f"{text} is no number")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        why = type(error).__name__ if isinstance(error, RecursionError | UnicodeDecodeError) else str(error)
        raise KvsweepError(f"is not valid JSON ({why})") from None


def shown(name: object) -> str:
    """A name of a stranger's, in one line and not too long."""
    text = ascii(str(name)[:200])
    return text if len(text) <= 120 else f"{text[:117]}..."
