"""The bar of a download: on the terminal of who started Snakemake, and not in the log. The terminal is a pty."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kvsweep.inputs import connection
from kvsweep.inputs.download import fetch
from kvsweep.inputs.remote import Remote
from kvsweep.terminal import TERMINAL, progress_bar
from server import Page, serving
from support import ROOT, STAND_IN


class Screen:
    """A terminal, and all that was written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (25, 80))
        self.path = os.ttyname(self.theirs)
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._ours, 4096):
                self._written += chunk
        except OSError:
            pass  # nobody has the other side open any more

    def close(self) -> str:
        os.close(self.theirs)
        self._reader.join(10)
        os.close(self._ours)
        return self._written.decode()


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    screen = Screen()
    monkeypatch.setenv(TERMINAL, screen.path)
    yield screen


def test_a_bar_counts_bytes_from_where_a_download_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch) as screen:
        with progress_bar("m.gguf", 4 * 1024**3, 1024**3) as bar:
            assert bar is not None
            bar.update(1024**3)
            bar.refresh()
        shown = screen.close()
    assert "kvsweep: m.gguf:  25%" in shown and "1.00G/4.00G" in shown
    assert "kvsweep: m.gguf:  50%" in shown and "2.00G/4.00G" in shown
    assert shown.endswith("\r") and "\n" not in shown  # wiped off, and no line of the screen used up


def test_without_a_length_there_is_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch) as screen:
        with progress_bar("m.gguf", None, 2048):
            pass
        shown = screen.close()
    assert "kvsweep: m.gguf: 2.00k" in shown and "%" not in shown


def test_a_second_bar_is_not_drawn_over_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch) as screen:
        with progress_bar("first", 8, 0), progress_bar("second", 8, 0) as second:
            assert second is None
        with progress_bar("third", 8, 0) as third:
            assert third is not None
        assert "second" not in screen.close()


def test_a_terminal_that_cannot_be_locked_has_a_bar_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_on_macos(*_: object) -> None:
        raise OSError(102, "Operation not supported on socket")

    monkeypatch.setattr(fcntl, "flock", as_on_macos)
    with opened(monkeypatch) as screen:
        with progress_bar("m", 8, 0) as bar:
            assert bar is not None
        assert "kvsweep: m" in screen.close()


def test_no_bar_where_nobody_watches(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for environment in ({}, {TERMINAL: str(tmp_path / "file")}, {TERMINAL: str(tmp_path / "gone")}):
        with progress_bar("m", 8, 0, environment) as bar:
            assert bar is None
    assert not (tmp_path / "file").read_text()


def test_lines_for_the_log_go_on_beside_a_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(connection, "_BESIDE_A_BAR_SECONDS", 0.0)
    said: list[str] = []
    with serving() as server, opened(monkeypatch) as screen:
        server.pages["/m.bin"] = Page(bytes(2**20))
        fetch(Remote(f"{server.address}/m.bin", "m"), tmp_path / "m.bin", "models.m.url", said.append)
        shown = screen.close()
    assert "kvsweep: m.bin:   0%" in shown
    assert said[1].startswith("64 KiB of 1 MiB, ") and len(said) == 1 + 16


@pytest.mark.parametrize("watched", [True, False])
def test_snakemakes_terminal_gets_the_bar_and_the_log_does_not(watched: bool, tmp_path: Path) -> None:
    with serving() as server:
        server.pages["/text.txt"] = Page(b"a text to score\n" * 4096)
        config = {
            "engines": {"e": {"source": {"path": str(STAND_IN)}, "backend": "cpu"}},
            "models": {"m": {"path": str(tmp_path / "m.gguf")}},
            "pairs": ["f16"],
            "corpora": {"c": {"url": f"{server.address}/text.txt"}},
            "quality": {"contexts": [512], "chunks": 4},
        }
        (tmp_path / "study.yaml").write_text(json.dumps(config))
        screen = Screen()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"),
                *("--configfile", tmp_path / "study.yaml", "--directory", tmp_path, "--cores", "1"),
                *("--", "results/corpora/c/corpus.json"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=screen.theirs if watched else subprocess.DEVNULL,
            # Another shell's terminal is nobody's business.
            env={**os.environ, "NO_PROXY": "127.0.0.1", TERMINAL: "/dev/null" if watched else screen.path},
            check=False,
        )
        shown = screen.close()
    assert done.returncode == 0, shown
    assert ("kvsweep: text.txt:   0%|" in shown) is watched
    log = (tmp_path / "results" / "logs" / "corpora" / "c.log").read_text()
    assert "fetching" in log and "%|" not in log
