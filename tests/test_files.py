"""Files that are complete or absent."""

import errno
import hashlib
import os
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
from kvsweep import files
from kvsweep.errors import KvsweepError

BLOCKED = "a file stands where a directory is needed"


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A path that nobody can write to, not even root: its parent is a file."""
    (tmp_path / "file").write_text(BLOCKED)
    return tmp_path / "file" / "inside.json"


def test_a_file_takes_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.txt"
    with files.complete_or_absent(path) as beside:
        beside.write_text("half")
        assert beside == path.with_name(".result.txt.partial")
        assert not path.exists()
    assert path.read_text() == "half"
    assert not beside.exists()


@pytest.mark.parametrize("named", [None, "the file that is copied"])
def test_a_full_disk_is_said_of_the_file_that_is_written(tmp_path: Path, named: str | None) -> None:
    """Programs that copy name the file that they read."""
    path = tmp_path / "result.txt"
    with (
        pytest.raises(KvsweepError, match=r"result\.txt: cannot be written \(No space left on device\)"),
        files.complete_or_absent(path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", named)
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On which a file that is not there cannot be removed either."""
    read_only = OSError(errno.EROFS, "Read-only file system", str(tmp_path / ".x.partial"))
    for name in ("write_text", "unlink"):
        monkeypatch.setattr(Path, name, mock.Mock(side_effect=read_only))
    with pytest.raises(
        KvsweepError, match=r"x: cannot be written \(Read-only file system\); make it writable\.$"
    ):
        files.write_text(tmp_path / "x", "text")


def test_a_block_that_fails_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.complete_or_absent(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["result.txt"]
    assert path.read_text() == "old"


def test_json_is_written_in_the_order_given_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"b": "ä", "a": [1, None]})
    assert path.read_text(encoding="utf-8").startswith('{\n "b": "ä"')
    assert files.read_json(path) == {"b": "ä", "a": [1, None]}


def test_what_cannot_be_written_is_one_sentence(blocked: Path) -> None:
    for write in (partial(files.write_text, blocked, "text"), partial(files.make_directory, blocked.parent)):
        with pytest.raises(KvsweepError) as caught:
            write()
        assert str(caught.value) == (
            f"{blocked.parent}: cannot be written (File exists); make it writable, or free disk space."
        )


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, blocked: Path) -> None:
    (tmp_path / "latin.json").write_bytes('{"a": "ä"}'.encode("latin-1"))
    (tmp_path / "cut.json").write_text('{"a": ')
    (tmp_path / "directory.json").mkdir()
    for path, sentence in (
        (tmp_path / "none.json", "this file is missing; run the workflow again to make it."),
        (tmp_path / "latin.json", "not valid JSON"),
        (tmp_path / "cut.json", "not valid JSON"),
        (tmp_path / "directory.json", "cannot be read (Is a directory)."),
        (blocked, "cannot be read (Not a directory)."),
    ):
        with pytest.raises(KvsweepError) as caught:
            files.read_json(path)
        assert str(caught.value).startswith(f"{path}: {sentence}")


def test_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"weights")
    assert files.sha256(path) == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(KvsweepError, match=r"none: cannot be read \(No such file or directory\)\."):
        files.sha256(tmp_path / "none")


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    compute = files.sha256

    def counted(path: Path) -> str:
        read.append(path)
        return compute(path)

    monkeypatch.setattr(files, "sha256", counted)
    return read


def test_a_big_file_is_read_again_only_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_reads(monkeypatch)
    path, memory = tmp_path / "model", tmp_path / "new" / "checksum.json"
    path.write_bytes(b"one")
    first = files.sha256_once(path, memory)
    assert files.sha256_once(path, memory) == first == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    os.utime(path, ns=(1, 1))
    assert files.sha256_once(path, memory) == first
    assert len(read) == 2
    path.write_bytes(b"longer")
    assert files.sha256_once(path, memory) == hashlib.sha256(b"longer").hexdigest()
    assert len(read) == 3


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"stamp": 1}', "null"])
def test_a_damaged_memory_only_costs_time(tmp_path: Path, damaged: str) -> None:
    path, memory = tmp_path / "model", tmp_path / "checksum.json"
    path.write_bytes(b"one")
    memory.write_text(damaged)
    assert files.sha256_once(path, memory) == hashlib.sha256(b"one").hexdigest()


def test_a_memory_that_cannot_be_written_does_too(tmp_path: Path, blocked: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"one")
    assert files.sha256_once(path, blocked) == hashlib.sha256(b"one").hexdigest()
    assert blocked.parent.read_text() == BLOCKED


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not apply to root")
def test_a_read_only_directory(tmp_path: Path) -> None:
    path, closed = tmp_path / "model", tmp_path / "closed"
    path.write_bytes(b"one")
    closed.mkdir(mode=0o500)
    assert files.sha256_once(path, closed / "checksum.json") == hashlib.sha256(b"one").hexdigest()
    with pytest.raises(KvsweepError, match="cannot be written \\(Permission denied\\)"):
        files.write_text(closed / "x", "text")


def test_a_directory_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not bind root, so the answer of the system is given here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(KvsweepError, match=r"nothing can be written here; make it writable"):
        files.check_writable(tmp_path)
    files.check_writable(tmp_path / "not-there-yet")
