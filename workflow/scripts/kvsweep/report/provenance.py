"""What made the results: the version of kvsweep, where it comes from, Snakemake's version."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def kvsweep_version(base: Path) -> str:
    """``0.1.0``, with the checkout's commit where ``base`` is one: ``0.1.0 (commit 1a2b3c4, modified)``."""
    number = str(tomllib.loads((base / "pyproject.toml").read_text())["project"]["version"])
    commit = _git(base, "rev-parse", "--short", "HEAD")
    if not commit:
        return number
    changed = ", modified" if _git(base, "status", "--porcelain", "--untracked-files=no") else ""
    return f"{number} (commit {commit}{changed})"


def repository(base: Path) -> str | None:
    """The address that the checkout was cloned from, if others can reach it: not a path, no password."""
    address = _git(base, "remote", "get-url", "origin")
    if not address or not re.match(r"(https?|ssh|git)://|[\w.-]+@", address):
        return None
    return re.sub(r"(://)[^/@]*@", r"\1", address)


def snakemake_version() -> str | None:
    try:
        return version("snakemake")
    except PackageNotFoundError:
        return None


def _git(base: Path, *arguments: str) -> str | None:
    """What git says, or None where it is not there or refuses.

    It writes nothing into the checkout: killed, or on a full disk, it would leave a lock there.
    """
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(base), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
