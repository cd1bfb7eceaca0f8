"""Somebody else's harness, made ready: its packages in an environment of their own, its scripts and its exercises."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import CHECKOUT, check_room, make_directory, sha256, write_text
from kvsweep.inputs.git_tree import fetch_commit
from kvsweep.inputs.package_index import run_pip
from kvsweep.program import last_line
from kvsweep.study.neighbours import neighbours

REQUIREMENTS = CHECKOUT / "requirements" / "harness.txt"
# aider 0.86 asks for them.
_PYTHONS = ((3, 10), (3, 13))


def packages(directory: Path, base: Path, tell: Callable[[str], None]) -> Path:
    """The Python of an environment that has what ``requirements/harness.txt`` pins.

    It is made unless this study or one beside it has such an environment. Raises KvsweepError.
    """
    pinned = f"packages-{sha256(REQUIREMENTS)[:16]}"
    results = directory.parent
    for place in (results, *neighbours(results, base)):
        if (place / directory.name / pinned / "complete").is_file():
            return (place / directory.name / pinned).resolve() / "bin" / "python"
    if not _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]:
        raise KvsweepError(
            f"the harness runs on Python 3.10 to 3.12, and this is {sys.version_info[0]}.{sys.version_info[1]}; "
            "make kvsweep's environment with one of them (make PYTHON=python3.12), or use docker or podman."
        )
    environment = directory / pinned
    shutil.rmtree(environment, ignore_errors=True)
    tell("installing the packages of the harness: 123 packages, 850 MB, some minutes")
    _run(sys.executable, "-m", "venv", str(environment))
    python = environment / "bin" / "python"
    options = ["--disable-pip-version-check", "--no-input", "--quiet", "--require-hashes"]
    _run(str(python), "-m", "pip", "install", *options, "-r", str(REQUIREMENTS))
    write_text(environment / "complete", "")
    return environment.resolve() / "bin" / "python"


def _run(*command: str) -> None:
    done = run_pip(*command)
    if done.returncode != 0:
        check_room(done.stdout, Path(command[-1]) if "venv" in command else Path(command[0]).parents[1])
        said = last_line(done.stdout) or "no reason given"
        raise KvsweepError(f"the packages of the harness cannot be installed ({said}).")


def tree(url: str, commit: str, directory: Path, where: str, base: Path, only: str | None) -> Path:
    """The directory with the files of a commit. They are fetched once. Raises KvsweepError."""
    place = directory / commit[:12]
    if not place.is_dir():
        beside = directory / f".{commit[:12]}"
        shutil.rmtree(beside, ignore_errors=True)
        make_directory(beside)
        fetch_commit(url, commit, beside, where, base, only)
        beside.rename(place)
    return place.absolute()
