"""A commit of a git repository, as files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from kvsweep.addresses import shown_address, without_secrets
from kvsweep.errors import KvsweepError
from kvsweep.files import check_room, make_directory
from kvsweep.machine.children import run_to_its_end
from kvsweep.program import last_line
from kvsweep.study.address_values import GIT_SCHEMES

_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")


def fetch_commit(
    url: str, commit: str, directory: Path, where: str, base: Path, only: str | None = None
) -> None:
    """Put the files of a commit into ``directory``. With ``only``, fetch just the folder of that name where the server
    can.

    ``where`` is the configuration key to name in errors, ``base`` where a relative path to a repository starts. Raises
    KvsweepError.
    """
    if shutil.which("git") is None:
        raise KvsweepError(f"{where}: git is needed to fetch the source and is not installed; install git.")
    path = Path(base, Path(url).expanduser()).absolute()
    address = str(path) if ":" not in url or path.is_dir() else url
    make_directory(directory)
    run_git(directory, "init", "--quiet")
    part = []
    if only is not None:
        # What is left out is fetched from a place with a name when it is asked for.
        run_git(directory, "config", "remote.origin.url", address)
        run_git(directory, "sparse-checkout", "set", only)
        part, address = ["--filter=blob:none"], "origin"
    done = run_git(directory, "fetch", "--depth", "1", *part, "--", address, commit, check=False)
    if done.returncode != 0:
        said = last_line(done.stderr) or "git said nothing"
        raise KvsweepError(
            f"{where}: {shown_address(url)} does not give commit {commit} ({without_secrets(said)}); check both."
        )
    run_git(directory, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
    found = run_git(directory, "rev-parse", "HEAD").stdout.strip()
    if found != commit:
        raise KvsweepError(
            f"{where}.commit: asked for {commit}, the source gave {found}; write a full commit."
        )


def run_git(directory: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run git in ``directory`` so that it asks nobody. With ``check``, raise KvsweepError if it fails."""
    # Set where kvsweep runs inside a git hook, they would name another repository.
    inherited = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    environment = {
        **inherited,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": str(directory.parent),
        # Of an address that slipped through, and of one that a server sends on to: no helper is started for it.
        "GIT_ALLOW_PROTOCOL": ":".join(GIT_SCHEMES),
    }
    done = run_to_its_end(["git", "-C", str(directory), *arguments], environment)
    if done.returncode != 0:
        check_room(done.stderr, directory)
    if check and done.returncode != 0:
        said = last_line(done.stderr) or "no reason given"
        raise KvsweepError(f"git {arguments[0]} failed in {directory}: {said}")
    return done
