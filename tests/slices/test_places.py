"""Where a slice may be: a path, or an address with the sha256 of what is there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.slices.places import bring_slice
from kvsweep.study.complaints import ConfigError
from kvsweep.study.config import parse_slices
from server import Page, serving

SHA256 = "0" * 64


def test_a_path(tmp_path: Path) -> None:
    (one,) = parse_slices({"attic": "slices/a.zip"}).values()
    assert bring_slice("attic", one, tmp_path / "kept", print, tmp_path) == tmp_path / "slices" / "a.zip"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "https://example.org/slice.zip",
            "slices.attic: an address needs the sha256 of what is there; write url and sha256 below the name.",
        ),
        ({"url": "https://example.org/slice.zip"}, "slices.attic: the key 'sha256' is missing."),
        ({"url": "https://example.org/slice.zip", "sha256": "x"}, "slices.attic.sha256"),
        ({"url": "file:///etc/passwd", "sha256": SHA256}, "slices.attic.url"),
        ({"url": "https://me:pw@example.org/slice.zip", "sha256": SHA256}, "slices.attic.url"),
        (7, "slices.attic"),
    ],
)
def test_what_is_no_place(place: object, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_slices({"attic": place})
    assert said in str(raised.value) and "pw@" not in str(raised.value)


def test_an_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    data = b"PK not much of a slice"

    def fetched(path: str, sha256: str) -> Path:
        (one,) = parse_slices({"attic": {"url": server.address + path, "sha256": sha256}}).values()
        return bring_slice("attic", one, tmp_path / path[1:], print, tmp_path)

    right = hashlib.sha256(data).hexdigest()
    with serving() as server:
        server.pages |= {"/slice.zip": Page(data), "/endless.zip": Page(data, length=False)}
        place = fetched("/slice.zip", right)
        assert place == tmp_path / "slice.zip" / "fetched" / "slice.zip" and place.read_bytes() == data
        assert fetched("/slice.zip", right) == place and len(server.requests) == 1
        with pytest.raises(KvsweepError, match=r"slices\.attic\.sha256: .* has "):
            fetched("/slice.zip", SHA256)
        with pytest.raises(KvsweepError, match=r"slices\.attic\.url: .* is of unknown length"):
            fetched("/endless.zip", right)
