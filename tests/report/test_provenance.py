"""What the report says of its own making."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from kvsweep.report.provenance import kvsweep_version, repository


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_the_version_names_the_commit_and_says_when_files_differ_from_it(checkout: Path) -> None:
    said = kvsweep_version(checkout)
    assert said.startswith("1.2.3 (commit ") and "modified" not in said
    (checkout / "pyproject.toml").write_text('[project]\nversion = "1.2.4"\n')
    assert kvsweep_version(checkout).startswith("1.2.4 (commit ")
    assert kvsweep_version(checkout).endswith(", modified)")


def test_looking_at_a_checkout_writes_nothing_into_it(checkout: Path) -> None:
    """git would bring its notes up to date where a file has another time stamp."""
    os.utime(checkout / "pyproject.toml", (1, 1))
    index = checkout / ".git" / "index"
    before = index.read_bytes()
    assert "modified" not in kvsweep_version(checkout)
    assert index.read_bytes() == before


def test_without_a_checkout_the_version_is_the_number(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    assert kvsweep_version(tmp_path) == "1.2.3"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://example.org/kvsweep.git", "https://example.org/kvsweep.git"),
        ("https://me:secret@example.org/kvsweep.git", "https://example.org/kvsweep.git"),
        ("git@example.org:kvsweep.git", "git@example.org:kvsweep.git"),
        ("/home/me/kvsweep", None),
    ],
)
def test_the_address_is_one_that_others_can_reach(checkout: Path, address: str, said: str | None) -> None:
    subprocess.run(["git", "-C", str(checkout), "remote", "add", "origin", address], check=True)
    assert repository(checkout) == said
