"""Brings an engine's source here: a git commit, or a source distribution from a package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from kvsweep.addresses import shown_address, without_secrets
from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, not_writable
from kvsweep.inputs import package_index
from kvsweep.study.config import Engine
from kvsweep.study.values import GIT_SCHEMES

_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")


@dataclass(frozen=True)
class Source:
    """A llama.cpp tree on disk; ``commit`` is None where it was not fetched by one."""

    tree: Path
    commit: str | None


def fetch(engine: Engine, directory: Path, where: str, base: Path = Path()) -> Source:
    """Put the source of ``engine`` into ``directory`` and verify that it is what the configuration says.

    ``where`` is the configuration key to name in errors, ``base`` where a relative path to a repository starts. Raises
    KvsweepError.
    """
    if engine.source_kind == "git":
        url = engine.source["url"]
        path = Path(base, Path(url).expanduser()).absolute()
        local = {"url": str(path)} if ":" not in url or path.is_dir() else {}
        return _fetch_git(engine.source | local, directory, where)
    return _fetch_pypi(engine.source, directory, where)


def describe(engine: Engine) -> str:
    """Where the source comes from, in one line for tables and messages."""
    source = engine.source
    if engine.source_kind == "git":
        return f"{shown_address(source['url'])} at {source['commit']}"
    if engine.source_kind == "pypi":
        return f"source distribution {source['package']} {source['version']} (sha256 {source['sha256']})"
    return source["path"]


def _fetch_git(source: dict[str, str], directory: Path, where: str) -> Source:
    if shutil.which("git") is None:
        raise KvsweepError(
            f"{where}.git: git is needed to fetch the source and is not installed; install git."
        )
    commit, url = source["commit"], source["url"]
    make_directory(directory)
    _git(directory, "init", "--quiet")
    done = _git(directory, "fetch", "--depth", "1", "--", url, commit, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or "git said nothing").splitlines()[-1]
        raise KvsweepError(
            f"{where}.git: {shown_address(url)} does not give commit {commit} ({without_secrets(said)}); check both."
        )
    _git(directory, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
    found = _git(directory, "rev-parse", "HEAD").stdout.strip()
    if found != commit:
        raise KvsweepError(
            f"{where}.git.commit: asked for {commit}, the source gave {found}; write a full commit."
        )
    return Source(_tree(directory, source, f"{where}.git"), commit)


def _git(directory: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    # Set where kvsweep runs inside a git hook, they would name another repository.
    inherited = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    environment = {
        **inherited,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": str(directory.parent),
        # Of an address that slipped through, and of one that a server sends on to: no helper is started for it.
        "GIT_ALLOW_PROTOCOL": ":".join(GIT_SCHEMES),
    }
    done = subprocess.run(
        ["git", "-C", str(directory), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
    )
    if check and done.returncode != 0:
        said = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise KvsweepError(f"git {arguments[0]} failed in {directory}: {said}")
    return done


def _fetch_pypi(source: dict[str, str], directory: Path, where: str) -> Source:
    package, version = source["package"], source["version"]
    archive = package_index.fetch(package, version, source["sha256"], directory, f"{where}.pypi")
    if not archive.name.endswith((".tar.gz", ".tgz")):
        raise KvsweepError(
            f"{where}.pypi.sha256: {archive.name} is no source distribution (.tar.gz); name the sha256 of that one."
        )
    try:
        with tarfile.open(archive) as tar:
            root = tar.getnames()[0].split("/")[0]
            wanted = "/".join((root, source.get("tree", ""))).rstrip("/")
            members = (m for m in tar if m.name == wanted or m.name.startswith(wanted + "/"))
            tar.extractall(directory, members=members, filter="data")
    except (tarfile.TarError, EOFError, IndexError, zlib.error) as error:
        raise KvsweepError(f"{where}.pypi: {archive.name} cannot be unpacked ({error}).") from error
    except OSError as error:
        raise not_writable(directory, error) from error
    archive.unlink()
    return Source(_tree(directory / root, source, f"{where}.pypi"), None)


def _tree(root: Path, source: dict[str, str], where: str) -> Path:
    tree = root / source.get("tree", "")
    if not tree.resolve().is_relative_to(root.resolve()):
        raise KvsweepError(f"{where}.tree: {source['tree']} leads out of the source by a link.")
    if not (tree / "CMakeLists.txt").is_file():
        raise KvsweepError(
            f"{where}.tree: no CMakeLists.txt in {source.get('tree') or 'the top'} of the source; "
            "name the path of the llama.cpp tree inside it."
        )
    return tree
