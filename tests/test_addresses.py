"""What is secret in an address, or in the proxies of the user's shell, is not said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kvsweep.addresses import without_proxies, without_secrets
from kvsweep.engine import source
from kvsweep.errors import KvsweepError
from kvsweep.inputs import download, package_index
from kvsweep.inputs.remote import Remote
from kvsweep.program import say


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("http://me:SECRET@proxy:3128", "cannot connect to http://me:SECRET@proxy:3128"),
        ("me:SECRET@proxy", "Failed to parse: me:SECRET@proxy"),
        ("http://me:SEC%52ET/WORD@proxy", "Unsupported proxy syntax in 'me:SEC%52ET'"),
        ("http://me:SECRET@WORD@proxy", "no host SECRET@WORD@proxy"),
        ("http://SECRET@proxy", "user SECRET refused"),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_user_and_password_of_a_proxy_are_left_out(name: str, proxy: str, message: str) -> None:
    said = without_proxies(message, {name: proxy})
    assert "SEC" not in said and "WORD" not in said and "..." in said


def test_what_has_no_password_stays() -> None:
    environment = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost", "X": "a:b@c"}
    assert without_proxies("localhost a:b proxy:3128", environment) == "localhost a:b proxy:3128"


@pytest.mark.parametrize("text", ["x", "a:", "a.", "://"])
def test_a_long_text_is_looked_through_in_no_time(text: str) -> None:
    """Where each character begins a word, 3,000 times ``a:`` take three minutes."""
    started = time.process_time()
    assert without_secrets(text * 2000) == text * 2000
    assert without_secrets(f"{text * 2000} https://me:SECRET@host/x").endswith(" ...@host/x")
    assert time.process_time() - started < 1


@pytest.mark.parametrize("proxy", ["http://me:SECRET@127.0.0.1:9", "http://me:SECRET/SECRET@127.0.0.1:9"])
@pytest.mark.parametrize("program", ["requests", "git", "pip"])
def test_nothing_that_is_fetched_tells_the_proxy_s_password(
    program: str,
    proxy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    with pytest.raises(KvsweepError) as raised:
        if program == "requests":
            remote = Remote("https://model.invalid/x", "https://model.invalid/x")
            download.fetch(remote, tmp_path / "x", "models.m.url", say)
        elif program == "git":
            asked = {"url": "https://engine.invalid/x", "commit": "0" * 40}
            source._fetch_git(asked, tmp_path / "git", "engines.e.source")
        else:
            package_index.fetch("abc", "1.0", "a" * 64, tmp_path / "pip", "models.m.pypi")
    say(str(raised.value))
    said = capfd.readouterr().err
    assert "SECRET" not in said and said.count("\n") == 1
    assert "Exception:" not in said and "no abc 1.0" not in said
    written = [path for path in tmp_path.rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()]
    assert written == []
