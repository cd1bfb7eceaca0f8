"""Where an engine's source comes from: git, or a source distribution."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from inputs.packages import sdist, wheel
from kvsweep.engine import source as engine_source
from kvsweep.engine.source import describe, fetch
from kvsweep.errors import KvsweepError
from kvsweep.study.engines import parse_engine

KEY = "engines.e.source"


def git(directory: Path, *arguments: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", "-C", directory, *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, whose llama.cpp tree is in vendor/llama.cpp."""
    path = tmp_path / "upstream"
    tree = path / "vendor" / "llama.cpp"
    tree.mkdir(parents=True)
    git(path, "init", "--quiet")
    for version in ("one", "two"):
        (tree / "CMakeLists.txt").write_text(version)
        git(path, "add", ".")
        git(path, "commit", "--quiet", "--message", version)
    return path


def source(repository: Path, commit: str, tree: str = "vendor/llama.cpp") -> dict[str, str]:
    return {"url": f"file://{repository}", "commit": commit, "tree": tree}


def fetch_git(
    repository: Path, commit: str, to: Path, tree: str = "vendor/llama.cpp"
) -> engine_source.Source:
    return engine_source._fetch_git(source(repository, commit, tree), to, KEY)


@pytest.mark.parametrize(("revision", "content"), [("HEAD", "two"), ("HEAD~1", "one")])
def test_exactly_the_commit(repository: Path, tmp_path: Path, revision: str, content: str) -> None:
    commit = git(repository, "rev-parse", revision)
    found = fetch_git(repository, commit, tmp_path / "to")
    assert found.commit == commit
    assert (found.tree / "CMakeLists.txt").read_text() == content


def test_the_tree_can_be_the_top(repository: Path, tmp_path: Path) -> None:
    (repository / "CMakeLists.txt").write_text("top")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "top")
    found = fetch_git(repository, git(repository, "rev-parse", "HEAD"), tmp_path / "to", tree="")
    assert (found.tree / "CMakeLists.txt").read_text() == "top"


def test_a_commit_that_is_not_there(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(KvsweepError) as caught:
        fetch_git(repository, "0" * 40, tmp_path / "to")
    assert str(caught.value).startswith(f"{KEY}.git: file://{repository} does not give commit {'0' * 40} (")
    assert str(caught.value).endswith("); check both.")
    assert "\n" not in str(caught.value)


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        KvsweepError, match=r"^engines\.e\.source\.git: file://.*/none does not give commit 0{40} \("
    ):
        fetch_git(tmp_path / "none", "0" * 40, tmp_path / "to")


def test_a_tree_that_is_not_there(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(KvsweepError) as caught:
        fetch_git(repository, git(repository, "rev-parse", "HEAD"), tmp_path / "to", tree="llama.cpp")
    assert str(caught.value) == (
        f"{KEY}.git.tree: no CMakeLists.txt in llama.cpp of the source; "
        "name the path of the llama.cpp tree inside it."
    )


def test_inside_a_git_hook_the_other_repository_is_left_alone(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    before = sorted(path.name for path in (other / ".git").iterdir())
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert fetch_git(repository, commit, tmp_path / "to").commit == commit
    assert sorted(path.name for path in (other / ".git").iterdir()) == before


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        KvsweepError, match=r"git is needed to fetch the source and is not installed; install git\."
    ):
        fetch_git(tmp_path, "0" * 40, tmp_path / "to")


# -- a source distribution --------------------------------------------------------------------------------------------

DIGEST = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
OTHER = "42" * 32
PYPI = (
    f'{{"source": {{"pypi": {{"package": "llama-cpp-python", "version": "0.3.36", "sha256": "{DIGEST}"}}}}}}'
)

WRONG_SHA256 = f"""\
Collecting llama-cpp-python==0.3.36 (from -r requirement.txt (line 1))
  Downloading llama_cpp_python-0.3.36.tar.gz (60.9 MB)
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, \
please update the hashes. Otherwise, examine the package contents carefully; someone may have tampered with them.
    llama-cpp-python==0.3.36 from https://example.org/llama_cpp_python-0.3.36.tar.gz (from -r requirement.txt (line 1)):
        Expected sha256 {DIGEST}
             Got        {OTHER}
"""
NO_SUCH_VERSION = """\
ERROR: Could not find a version that satisfies the requirement llama-cpp-python==0.3.36 (from versions: 0.1.1, 0.1.2)
ERROR: No matching distribution found for llama-cpp-python==0.3.36
"""
NO_NETWORK = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError': /simple/x/
ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='pypi.org'): Max retries exceeded
"""


@pytest.fixture
def pip_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Replaces the Python that runs pip by a program that prints this and fails; the answer is its directory."""

    def replace(output: str) -> Path:
        (tmp_path / "said").write_text(output)
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\ncat {tmp_path / 'said'}\nexit 1\n")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        return tmp_path / "source"

    return replace


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            WRONG_SHA256,
            f"{KEY}.pypi.sha256: llama-cpp-python 0.3.36 has sha256 {OTHER}, the configuration says {DIGEST}; "
            "nothing was taken from it.",
        ),
        (
            NO_SUCH_VERSION,
            f"{KEY}.pypi.version: the package index has no llama-cpp-python 0.3.36 for this machine; correct "
            "package or version.",
        ),
        (
            NO_NETWORK,
            f"{KEY}.pypi: the package index does not answer, so llama-cpp-python 0.3.36 cannot be fetched; check the "
            "network, the index and the proxy that pip is told to use, and run again.",
        ),
        ("python: No module named pip\n", f"{KEY}.pypi: pip cannot fetch llama-cpp-python 0.3.36 (python: No module "
         "named pip)."),
        ("", f"{KEY}.pypi: pip cannot fetch llama-cpp-python 0.3.36 (no reason given)."),
    ],
)  # fmt: skip
def test_what_pip_says_is_one_sentence(pip_says: Callable[[str], Path], output: str, sentence: str) -> None:
    directory = pip_says(output)
    with pytest.raises(KvsweepError) as caught:
        fetch(parse_engine("e", PYPI), directory, KEY)
    assert str(caught.value) == sentence
    # Nothing was unpacked, so nothing can be built.
    assert [path.name for path in directory.iterdir()] == ["requirement.txt"]


def test_pip_is_told_the_sha256(pip_says: Callable[[str], Path]) -> None:
    directory = pip_says(NO_NETWORK)
    with pytest.raises(KvsweepError):
        fetch(parse_engine("e", PYPI), directory, KEY)
    assert (directory / "requirement.txt").read_text() == f"llama-cpp-python==0.3.36 --hash=sha256:{DIGEST}\n"


def test_another_archive_than_was_asked_for_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should pip let one through."""
    directory = tmp_path / "source"
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho other > {directory}/llama_cpp_python-0.3.36.tar.gz\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(KvsweepError, match=r"llama-cpp-python 0\.3\.36: pip brought no file with the sha256"):
        fetch(parse_engine("e", PYPI), directory, KEY)


def fetch_archive(
    monkeypatch: pytest.MonkeyPatch, archive: Path, digest: str, to: Path, tree: str = "vendor/llama.cpp"
) -> engine_source.Source:
    """The source that is unpacked of ``archive``, which a pip brings."""
    python = archive.parent / "python"
    python.write_text(f"#!/bin/sh\ncp '{archive}' '{to}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    asked = {"package": "engine", "version": "1.0", "sha256": digest, "tree": tree}
    return fetch(parse_engine("e", json.dumps({"source": {"pypi": asked}})), to, KEY)


IN_A_PACKAGE = {"vendor/llama.cpp/CMakeLists.txt": b"project(p)", "setup.py": b"", "vendor/other.txt": b""}


def test_of_a_source_distribution_the_tree_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sdist(tmp_path, "engine", "1.0", IN_A_PACKAGE)
    archive, to = tmp_path / "engine" / "engine-1.0.tar.gz", tmp_path / "to"
    found = fetch_archive(monkeypatch, archive, digest, to)
    assert found == engine_source.Source(to / "engine-1.0" / "vendor" / "llama.cpp", None)
    files = sorted(
        str(path.relative_to(to / "engine-1.0")) for path in (to / "engine-1.0").rglob("*") if path.is_file()
    )
    assert files == ["vendor/llama.cpp/CMakeLists.txt"] and not (to / archive.name).exists()


@pytest.mark.parametrize(
    ("kind", "tree", "sentence"),
    [
        (
            "wheel",
            "",
            "pypi.sha256: engine-1.0-py3-none-any.whl is no source distribution (.tar.gz); name the",
        ),
        (
            "sdist",
            "vendor",
            "pypi.tree: no CMakeLists.txt in vendor of the source; name the path of the llama.cpp",
        ),
        ("cut", "", "pypi: engine-1.0.tar.gz cannot be unpacked ("),
    ],
)
def test_an_archive_of_which_nothing_can_be_built(
    kind: str, tree: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = (wheel if kind == "wheel" else sdist)(tmp_path, "engine", "1.0", IN_A_PACKAGE)
    (archive,) = (path for path in (tmp_path / "engine").iterdir() if path.name != "index.html")
    if kind == "cut":
        archive.write_bytes(archive.read_bytes()[:-40])
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(KvsweepError) as caught:
        fetch_archive(monkeypatch, archive, digest, tmp_path / "to", tree)
    assert str(caught.value).startswith(f"{KEY}.{sentence}")


def test_a_tree_that_is_a_link_out_of_the_source_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "out").symlink_to(tmp_path)
    (tmp_path / "CMakeLists.txt").write_text("not of this source")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "a link")
    with pytest.raises(KvsweepError, match=r"tree: out leads out of the source by a link"):
        fetch_git(repository, git(repository, "rev-parse", "HEAD"), tmp_path / "to", tree="out")


def test_a_source_in_words() -> None:
    assert describe(parse_engine("e", PYPI)) == (
        f"source distribution llama-cpp-python 0.3.36 (sha256 {DIGEST})"
    )
    commit = "11a241d0db78a68e0a5b99fe6f36de6683100f6a"
    by_git = f'{{"source": {{"git": {{"url": "https://example.org/x", "commit": "{commit}"}}}}}}'
    assert describe(parse_engine("e", by_git)) == f"https://example.org/x at {commit}"
    assert describe(parse_engine("e", '{"source": {"path": "build/bin"}}')) == "build/bin"
