"""What a slice is made of: its members' names, its manifest, and how large anything in it may be.

Format 2 (format 1 had neither tasks nor the scorer's sums). A slice is a zip archive; its members lie as they do under
``results/``. ``manifest.json`` says the format, the version of kvsweep, the configuration, engines, models, texts and
machine, and size and sha256 of every other member. Members are stored or deflated, and there is no other one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.tables.names import MEASURED

FORMAT = 2
MANIFEST, CONFIGURATION = "manifest.json", "config.json"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_TYPE = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,149}"
_PAIR = rf"k-{_TYPE}/v-{_TYPE}"
_TABLES = "|".join(MEASURED)
_MEMBER = re.compile(
    rf"{re.escape(MANIFEST)}|{re.escape(CONFIGURATION)}|tables/(?:{_TABLES})\.parquet"
    rf"|engines/{_NAME}/build\.json|models/{_NAME}/model\.json|corpora/{_NAME}/corpus\.json"
    rf"|(?:quality|scorer)/{_NAME}/{_NAME}/{_NAME}/c[1-9][0-9]{{0,9}}/(?:against-{_NAME}/)?{_PAIR}/"
    r"(?:run\.json|stdout\.log|stderr\.log)"
    rf"|scorer/{_NAME}/{_NAME}/{_NAME}/c[1-9][0-9]{{0,9}}/(?:against-{_NAME}/)?{_PAIR}/sums\.json"
    rf"|tasks/{_NAME}/{_NAME}/{_NAME}/{_PAIR}/(?:run\.json|items\.jsonl|server\.log)"
    rf"|throughput/{_NAME}/{_NAME}/(?:round-(?:[2-9]|[1-9][0-9]{{1,5}})/)?d(?:0|[1-9][0-9]{{0,9}})/{_PAIR}/(?:run\.json|bench\.jsonl|stderr\.log)"
)


class Refused(KvsweepError):
    """A slice that is not read; the message names the member."""


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
    rows: int = 200_000
    reader_bytes: int = 400 * 2**20
    reader_seconds: float = 120.0

    def of(self, name: str) -> int:
        """The most bytes of a member."""
        if name == MANIFEST:
            return self.manifest_bytes
        if name.endswith(".parquet"):
            return self.table_bytes
        return self.json_bytes if name.endswith(".json") else self.log_bytes


LIMITS = Limits()


def is_member(name: str) -> bool:
    """Whether a slice may have a member of that name: nothing that climbs, starts at a root or hides."""
    return _MEMBER.fullmatch(name) is not None


@dataclass(frozen=True)
class Manifest:
    """``members`` is (size in bytes, sha256) by name; ``said`` all of manifest.json."""

    members: dict[str, tuple[int, str]]
    said: dict[str, Any]


def parse_manifest(data: bytes) -> Manifest:
    """Raises KvsweepError with the end of a sentence."""
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
    members = {}
    for name, entry in listed.items():
        match entry:
            case {"size_bytes": int(size), "sha256": str(digest)} if (
                size >= 0 and re.fullmatch("[0-9a-f]{64}", digest) and is_member(name) and name != MANIFEST
            ):
                members[name] = (size, digest)
            case _:
                raise KvsweepError(
                    f"has an entry {shown(name)} that names no member with size_bytes and sha256"
                )
    return Manifest(members, said)


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
