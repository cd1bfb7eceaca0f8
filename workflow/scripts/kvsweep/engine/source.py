"""Brings an engine's source here: a git commit, or a source distribution from a package index."""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from kvsweep.addresses import shown_address
from kvsweep.errors import KvsweepError
from kvsweep.files import not_writable
from kvsweep.inputs import package_index
from kvsweep.inputs.git_tree import fetch_commit
from kvsweep.study.engines import Engine


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
        return _fetch_git(engine.source, directory, where, base)
    return _fetch_pypi(engine.source, directory, where)


def describe(engine: Engine) -> str:
    """Where the source comes from, in one line for tables and messages."""
    source = engine.source
    if engine.source_kind == "git":
        return f"{shown_address(source['url'])} at {source['commit']}"
    if engine.source_kind == "pypi":
        return f"source distribution {source['package']} {source['version']} (sha256 {source['sha256']})"
    return source["path"]


def _fetch_git(source: dict[str, str], directory: Path, where: str, base: Path = Path()) -> Source:
    fetch_commit(source["url"], source["commit"], directory, f"{where}.git", base)
    return Source(_tree(directory, source, f"{where}.git"), source["commit"])


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
