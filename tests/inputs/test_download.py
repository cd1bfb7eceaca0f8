"""Files are fetched whole or not at all, and never twice; what can go wrong is one sentence."""

import errno
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.inputs import connection, download
from kvsweep.inputs.connection import Progress
from kvsweep.inputs.download import fetch
from kvsweep.inputs.download_state import Fetched, forget
from kvsweep.inputs.remote import Answer, Remote
from server import Page, Server, serving, sha256
from support import SCRIPTS

CONTENT = bytes(range(256)) * 4096  # 1 MiB
PROSE = b"Sixteen letters. " * 61_681  # 1 MiB of what may be a text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    with serving() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "fetched" / "file.bin"


said: list[str] = []


@pytest.fixture(autouse=True)
def _quiet() -> None:
    said.clear()


def get(server: Server, target: Path, path: str = "/file.bin") -> Fetched:
    address = server.address + path
    return fetch(Remote(address, address.partition("?")[0]), target, "models.m.url", said.append)


def sentence(server: Server, target: Path, path: str = "/file.bin") -> str:
    with pytest.raises(KvsweepError) as caught:
        get(server, target, path)
    assert not target.exists()
    return str(caught.value).replace(server.address, "http://server")


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_is_fetched_once(server: Server, target: Path) -> None:
    server.pages["/file.bin"] = Page(CONTENT, '"one"')
    fetched = get(server, target)
    assert target.read_bytes() == CONTENT
    assert (fetched.size_bytes, fetched.version) == (len(CONTENT), '"one"')
    assert left(target) == [".file.bin.fetched.json", "file.bin"]
    assert get(server, target) == fetched
    assert server.ranges == [None]
    assert [line.replace(server.address, "") for line in said] == ["fetching /file.bin (1 MiB)"]


def test_another_address_is_fetched_and_replaces_the_file(server: Server, target: Path) -> None:
    server.pages |= {"/file.bin": Page(CONTENT), "/other": Page(CONTENT[::-1])}
    get(server, target)
    get(server, target, "/other")
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("damage", ["shorter", "gone", "no record", "forgotten"])
def test_what_is_not_whole_is_fetched_again(server: Server, target: Path, damage: str) -> None:
    server.pages["/file.bin"] = Page(CONTENT, '"one"')
    get(server, target)
    if damage == "shorter":
        os.truncate(target, 100)
    elif damage == "gone":
        target.unlink()
    elif damage == "no record":
        (target.parent / ".file.bin.fetched.json").write_text("{")
    else:
        forget(target)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_an_interrupted_download_goes_on(server: Server, target: Path) -> None:
    server.pages["/file.bin"] = Page(CONTENT, '"one"', cut_after=300_000)
    message = sentence(server, target)
    assert message.startswith(
        "models.m.url: http://server/file.bin cannot be fetched: the connection ended early; "
    )
    assert message.endswith(" KiB of it stay, run again to go on.")
    held = (target.parent / ".file.bin.partial").stat().st_size
    assert 200_000 < held <= 300_000
    server.pages["/file.bin"] = Page(CONTENT, '"one"')
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={held}-"]
    assert server.requests[1].headers["if-range"] == '"one"'
    assert said[-1].endswith(f"(1 MiB) at {held / 1024:.0f} KiB")
    assert left(target) == [".file.bin.fetched.json", "file.bin"]


def test_it_goes_on_by_itself_after_a_pause(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0, 0, 0, 0))
    server.pages["/file.bin"] = Page(CONTENT, '"one"', cut_after=300_000)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 4
    assert said.count("the connection ended early; trying again in 0 s") == 3


def test_an_attempt_that_brought_something_gives_new_patience(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0,))
    monkeypatch.setattr(download, "_WORTH_BYTES", 100_000)
    server.pages["/file.bin"] = Page(CONTENT, '"one"', cut_after=200_000)
    get(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_not_ready_is_asked_again(
    server: Server, target: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download, "PAUSES_SECONDS", (1, 4))
    monkeypatch.setattr(time, "sleep", pauses.append)
    busy = Page(status=status, headers={"Retry-After": "7"})
    server.pages["/file.bin"] = [Page(status=status), busy, Page(CONTENT)]
    get(server, target)
    assert pauses == [1, 7]
    assert said[0] == f"the server is not ready (status {status}); trying again in 1 s"


def test_a_busy_server_costs_nothing_of_what_is_there(server: Server, target: Path) -> None:
    server.pages["/file.bin"] = Page(CONTENT, '"one"', cut_after=300_000)
    sentence(server, target)
    held = (target.parent / ".file.bin.partial").stat().st_size
    server.pages["/file.bin"] = Page(status=503)
    assert "the server is not ready (status 503); " in sentence(server, target)
    assert (target.parent / ".file.bin.partial").stat().st_size == held


def test_a_killed_download_goes_on(server: Server, tmp_path: Path) -> None:
    stalled = threading.Event()
    server.pages["/text.txt"] = Page(PROSE, '"one"', cut_after=500_000, stall=stalled)
    manifest = tmp_path / "corpora" / "c" / "corpus.json"
    command = [
        *(sys.executable, str(SCRIPTS / "make_corpus.py"), "--name", "c", "--corpus-json", str(manifest)),
        *("--path", json.dumps({"url": f"{server.address}/text.txt"})),
    ]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    partial = manifest.parent / "fetched" / ".text.txt.partial"
    assert running.stderr is not None and "fetching" in running.stderr.readline()
    while not partial.exists() or partial.stat().st_size < 400_000:
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.communicate()
    stalled.set()
    server.pages["/text.txt"] = Page(PROSE, '"one"')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert server.continued_at() >= 400_000
    made = json.loads(manifest.read_text())
    assert made["sha256"] == sha256(PROSE)
    assert made["source"] == {"url": f"{server.address}/text.txt"}


def test_a_stop_by_the_user_says_what_stays(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    server.pages["/file.bin"] = Page(CONTENT, '"one"')
    monkeypatch.setattr(Progress, "more", stop)
    with pytest.raises(KeyboardInterrupt):
        get(server, target)
    assert said[-1].replace(server.address, "") == (
        "stopped while /file.bin was being fetched; 64 KiB of it stay, run again to go on"
    )


def test_a_whole_file_that_has_no_name_yet_is_not_fetched_again(server: Server, target: Path) -> None:
    server.pages["/file.bin"] = Page(CONTENT, '"one"', cut_after=300_000)
    sentence(server, target)
    (target.parent / ".file.bin.partial").write_bytes(CONTENT)
    get(server, target)
    assert len(server.requests) == 1
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("later", "why"),
    [
        # It does not know ranges.
        (Page(CONTENT, '"one"', ranges=False), "the server does not continue a file"),
        # Another file is there now; the second server does not know If-Range, the third sees a shorter one.
        (Page(CONTENT, '"two"'), "the file on the server has changed"),
        (Page(CONTENT, '"two"', if_range=False), "the file on the server has changed"),
        (Page(CONTENT[:1000], '"two"', if_range=False), "the file on the server has changed"),
        (Page(CONTENT[:900_000], '"one"'), "the file on the server has changed"),
    ],
)
def test_it_starts_again_where_it_cannot_go_on(server: Server, target: Path, later: Page, why: str) -> None:
    server.pages["/file.bin"] = Page(CONTENT[::-1], '"one"', cut_after=300_000)
    sentence(server, target)
    server.pages["/file.bin"] = later
    get(server, target)
    assert target.read_bytes() == later.content
    assert f"starting again from the beginning: {why}" in said


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_nothing_is_glued_together_where_the_server_names_no_version(
    server: Server, target: Path, etag: str | None
) -> None:
    server.pages["/file.bin"] = Page(CONTENT[::-1], etag, cut_after=300_000)
    sentence(server, target)
    server.pages["/file.bin"] = Page(CONTENT, etag)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_date_is_a_version_too(server: Server, target: Path) -> None:
    date = {"Last-Modified": "Mon, 23 Nov 2026 12:00:00 GMT"}
    server.pages["/file.bin"] = Page(CONTENT, cut_after=300_000, headers=date)
    sentence(server, target)
    server.pages["/file.bin"] = Page(CONTENT, if_range=False, headers=date)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[1].headers["if-range"] == date["Last-Modified"]


def test_a_server_that_does_not_say_the_length(server: Server, target: Path) -> None:
    server.pages["/file.bin"] = Page(CONTENT, length=False)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert (
        said[-1] == "the server did not say how long the file is; give its sha256 to be sure that it is whole"
    )


def test_a_compressed_file_stays_compressed(server: Server, target: Path) -> None:
    content = gzip.compress(CONTENT)
    server.pages["/file.bin"] = Page(content, headers={"Content-Encoding": "x-gzip"})
    get(server, target)
    assert target.read_bytes() == content


def test_a_redirect(server: Server, target: Path) -> None:
    server.pages |= {"/file.bin": Page(status=302, headers={"Location": "/there"}), "/there": Page(CONTENT)}
    get(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "clause"),
    [
        (404, "there is no such file on the server (404); correct the address."),
        (403, "the server does not give it without permission (403); write user and password into ~/.netrc."),
        (418, "the server refuses it with status 418."),
        (416, "the server refuses it with status 416."),
    ],
)
def test_a_server_that_refuses(server: Server, target: Path, status: int, clause: str) -> None:
    server.pages["/file.bin"] = Page(status=status)
    assert sentence(server, target) == f"models.m.url: http://server/file.bin: {clause}"
    assert len(server.requests) == 1


def test_a_redirect_without_end(server: Server, target: Path) -> None:
    server.pages["/file.bin"] = Page(status=302, headers={"Location": "/file.bin"})
    assert sentence(server, target) == (
        "models.m.url: http://server/file.bin cannot be fetched (TooManyRedirects); correct the address."
    )


def test_nobody_listens(server: Server, target: Path) -> None:
    server.close()
    assert sentence(server, target) == (
        "models.m.url: http://server/file.bin cannot be fetched: connection refused; run again to go on."
    )


def test_an_unknown_server(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(KvsweepError) as caught:
        fetch(Remote("http://nowhere.example/f", "nowhere"), target, "models.m.url", said.append)
    assert str(caught.value) == (
        "models.m.url: nowhere cannot be fetched: the server's name is not known here; is this machine on the "
        "network?; run again to go on."
    )


def test_what_may_be_secret_in_an_address_is_nowhere(server: Server, target: Path) -> None:
    server.pages["/file.bin"] = Page(CONTENT, '"one"', cut_after=300_000)
    message = sentence(server, target, "/file.bin?signature=SECRET")
    server.pages["/file.bin"] = Page(CONTENT, '"one"')
    get(server, target, "/file.bin?signature=SECRET")
    kept = "".join(path.read_text() for path in target.parent.glob(".*.json"))
    assert "SECRET" not in message + "".join(said) + kept
    assert server.requests[0].path == "/file.bin?signature=SECRET"


def test_a_full_disk_is_noticed_before(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1000))
    server.pages["/file.bin"] = Page(CONTENT)
    assert sentence(server, target) == (
        f"models.m.url: file.bin needs 1 MiB of disk in {target.parent} and 1000 B are free; free some and run again."
    )
    assert left(target) == []


def test_a_disk_that_fills_up(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server.pages["/file.bin"] = Page(CONTENT)
    monkeypatch.setattr(Progress, "more", full)
    assert sentence(server, target).endswith(
        ".file.bin.partial: no space left on the disk after 64 KiB of 1 MiB; free some and run again to go on."
    )


def test_a_directory_that_cannot_be_written(server: Server, target: Path) -> None:
    target.parent.mkdir()
    (target.parent / ".file.bin.partial").mkdir()
    server.pages["/file.bin"] = Page(CONTENT)
    assert sentence(server, target).endswith(
        ".file.bin.partial: cannot be written (Is a directory); make it writable, or free disk space."
    )


def test_progress_is_said_now_and_then(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PROGRESS_SECONDS", 0.0)
    server.pages["/file.bin"] = Page(CONTENT)
    get(server, target)
    assert said[1].startswith("64 KiB of 1 MiB, ") and said[1].endswith(" left")


def test_what_the_server_says_can_be_refused_before_anything_is_fetched(server: Server, target: Path) -> None:
    def refuse(answer: Answer) -> None:
        raise KvsweepError(f"not {answer.size_bytes}.")

    server.pages["/file.bin"] = Page(CONTENT)
    with pytest.raises(KvsweepError, match=r"not 1048576\."):
        fetch(Remote(f"{server.address}/file.bin", "it"), target, "models.m.url", said.append, refuse)
    assert left(target) == []
