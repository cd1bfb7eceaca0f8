"""Whatever form a private word has, nobody reads it; whatever an engine prints, its numbers stay."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kvsweep.engine.log import parse_engine_log
from kvsweep.slices.private import Private
from kvsweep.slices.spelling import COMMON
from support import TESTS

LOGS = sorted(
    path
    for path in (TESTS / "data").rglob("*")
    if path.is_file()
    and (path.suffix in (".log", ".txt") or path.name == "bench.jsonl")
    and path.stat().st_size < 2**20
)

users = st.text("abcdefghijklmnoprstuvwyzéøß", min_size=4, max_size=10).filter(
    lambda name: not any(name in word for word in COMMON) and not re.fullmatch("[a-f]+", name)
)
hosts = st.builds(
    lambda name, number, end: f"{name}-{number}{end}",
    st.text("ghijklmnoprstuvwyz", min_size=4, max_size=8).filter(
        lambda name: not any(name in word for word in COMMON)
    ),
    st.integers(0, 99),
    st.sampled_from(["", ".example.org", ".cs.uni.example.org"]),
)
secrets = st.text("abcdefghkmnpqrstuvwxyzABCDEFGHJKLMN23456789", min_size=6, max_size=24).filter(
    lambda text: re.search(r"\d", text) and re.search(r"[a-z]", text)
)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def every_byte(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it stands": str,
    "in capitals": lambda name: name.upper() if len(name.upper()) == len(name) else name,
    "in a longer word": lambda name: f"of{name.title()}sModels",
    "with a line below": lambda name: f"x_{name}_2",
    "behind a number": lambda name: f"7{name}8",
    "possessive": lambda name: f"{name.capitalize()}'s",
    "in an address": lambda name: quote(name, safe=""),
    "each byte in an address": every_byte,
    "in JSON": lambda name: json.dumps(name)[1:-1],
    "each letter in JSON": escaped,
    "in JSON in JSON": lambda name: escaped(name).replace("\\", "\\\\"),
}  # fmt: skip
AROUND = (
    "{}",
    "loading {} now",
    "/data/{}/x.gguf",
    "?q=%2F{}%2Fx",
    '{{"x": "{}"}}',
    "a={},",
    "<{}>",
    "C:\\{}\\x",
)


def read(text: str) -> str:
    """What a reader makes of it: decoded as often as it takes."""
    for _ in range(3):
        text = html.unescape(unquote(text)).replace("\\\\", "\\")
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return text.lower()


@settings(deadline=None, max_examples=60)
@given(users, hosts, st.sampled_from(sorted(SPELLINGS)), st.sampled_from(AROUND))
def test_names_in_every_spelling(user: str, host: str, how: str, around: str) -> None:
    assume(user not in host and host not in user)
    private = Private(users=[user], hosts=[host])
    for name, words in ((user, [user]), (host, [host, host.partition(".")[0]])):
        found = read(private.text(around.format(SPELLINGS[how](name))))
        assert not [word for word in words if word in found], found


SECRETS = (
    "--password {}", "-p {}", "sshpass -p {} ssh x", "sshpass -p{} ssh x", "mysql -u ann -p{}",
    "Authorization: Bearer {}",
    '{{"Authorization": "Bearer {}"}}', "curl -u ann:{} https://x.org", "curl --user ann:{} x", "--api-key '{}'",
    "password is {}", "Password {}", "password:\n{}", "--password \\\n  {}", "machine x login ann password {}",
    "PGPASSWORD={} psql",
    "https://ann:{}@x.org/x", "https%3A%2F%2Fann%3A{}%40x.org", "hf_token: {}", "{{'api_key': '{}'}}",
    "?access_token={}&x",
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(secrets, st.sampled_from(SECRETS))
def test_secrets_in_every_form(secret: str, form: str) -> None:
    assert secret.lower() not in read(Private().text(f"before\n{form.format(secret)}\nbehind 7"))


def test_secrets_of_an_argument_list() -> None:
    private = Private()
    assert private.value(["x", "-p", "hunter2", "-m", "y"]) == ["x", "-p", "REMOVED", "-m", "y"]
    for numbers in ("512", "512,1024", "0-4096+512", "64*2"):
        assert private.value(["llama-bench", "-p", numbers]) == ["llama-bench", "-p", numbers]
        assert private.text(f"llama-bench -p {numbers} -n 32") == f"llama-bench -p {numbers} -n 32"


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIGdvb2Qta2V5LW9mLW5vYm9keS1hdC1hbGw"


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        (f"ssh-ed25519 {KEY} ann@attic", KEY),
        (f"ssh-ed25519 {KEY} annslaptop", "annslaptop"),
        ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= x", "AAAAE2"),
        (f"key {KEY}", KEY),
        ("SHA256:uNiVztksCsDhcc0u9e8BrrJXHvLnXPpjQcLTtvUZ1Zk (ED25519)", "uNiVz"),
        ("listening on 192.168.1.17:8080", "192.168"),
        ("http://10.1.2.3/x", "10.1.2.3"),
        ("172.16.0.9", "172.16"),
        ("connected to 203.0.113.9", "203.0"),
        ("http://203.0.113.9:8080", "203.0"),
        ("ssh 203.0.113.9:22", "203.0"),
        ("?h=http%3A%2F%2F192.168.1.17%2Fx", "192.168"),
        ("fe80::1c2b:3aff:fe4d:5e6f%en0", "fe80"),
        ("addr 2001:db8::8a2e:370:7334", "2001:db8"),
        ("fd12:3456:789a:1:2:3:4:5", "fd12"),
        ("ether 3c:22:fb:9a:01:7d", "3c:22"),
        ("3C-22-FB-9A-01-7D", "3C-22"),
        ("ann.lee+x@mail.example.org", "ann.lee"),
        ("Ann Lee <ann@example.org>", "ann@"),
        ("ann\\u0040example.org", "ann\\"),
        ("mail ann&#64;example.org", "ann&"),
        ("Hardware UUID: 564D1A2B-3C4D-5E6F-7A8B-9C0D1E2F3A4B", "564D1A2B"),
        ("Serial Number (system): C02XK0ABJGH5", "C02XK"),
        ("serial=1324419012345", "13244"),
        ('"IOPlatformSerialNumber" = "C02XKABCJGHV"', "C02XK"),
        ("machine-id: 9c4f1e0b7d6a4c3f8e2d1b0a99887766", "9c4f1"),
        ("/dev/disk/by-id/nvme-Samsung_SSD_980_S64DNX0R123456", "S64DN"),
        (r"C:\Users\x7q\m.gguf", "x7q"),
        (r"c:\users\Ann Lee\m.gguf", "Lee"),
        (r"\\attic\C$\Users\x7q\m", "x7q"),
        (r"\\?\C:\Users\x7q\m", "x7q"),
        ("/mnt/c/Users/x7q/m", "x7q"),
        ("/c/Users/x7q/m", "x7q"),
        ("/cygdrive/c/Users/x7q/m", "x7q"),
        ("/Users/x7q/m", "x7q"),
        ("/Users/Ann Lee/m", "Lee"),
        ("/var/home/x7q/m", "x7q"),
        ("/home1/x7q/m", "x7q"),
        ("/gpfs/projects/home/x7q/m", "x7q"),
        ("/users/x7q/m", "x7q"),
        ("file://localhost/Users/x7q/m", "x7q"),
        ("C%3A%5CUsers%5Cx7q%5Cm", "x7q"),
        ("/home/Ann%20Lee/m", "Lee"),
        ("\\u002fhome\\u002fx7q\\u002fm", "x7q"),
    ],
)
def test_machines_and_people(text: str, gone: str) -> None:
    found = Private().text(text)
    assert gone not in found, found
    assert Private().text(found) == found


@pytest.mark.parametrize(
    "text",
    [
        "CUDA Version 12.8.0.1, driver version 10.1.2.3", "compiler 15.0.0.15000309", "127.0.0.1:8080", "0.0.0.0",
        "2026-11-28 12:34:56", "00:12:34:56", "0.00.123.456 I llama", "tg128@d512 | 1.26", "std::vector<float>::at",
        "git@github.com", "sha256 3fdeadbeefcafe", "/usr/share/home", "pp512 ± 0.12",
        "ggml_cuda_init: found 1 CUDA devices",
        "The password of Koko is 73035.", "mkdir -p 7", "serial: false", "10-20-30-40-50-60", "-p 512,1024 -n 16",
        "q8_0:f16:1:2:3:4",
    ],
)  # fmt: skip
def test_what_is_not_private_stays(text: str) -> None:
    assert Private(users=["1000", "a17", "dade", "ann"], hosts=["3060", "node"]).text(text) == text


FULL_OF_NAMES = Private(
    users=[
        "cuda",
        "max",
        "ann",
        "will",
        "gemma",
        "1000",
        "512",
        "cafe",
        "bea",
        "e10",
        "ada",
        "lay",
        "tens",
        "kens",
    ],
    hosts=["metal", "node", "vm", "gpu-1", "q8_0", "f16", "10", "load"],
)
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_recorded_logs_say_the_same(path: Path) -> None:
    """Also where users and hosts have names that logs are full of."""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = FULL_OF_NAMES.text(text)
    assert parse_engine_log(found) == parse_engine_log(text)
    before, after = text.splitlines(), found.splitlines()
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if old != new:
            # A path, an address or a device's number; never a number that was measured.
            assert re.search(r"[/\\@]|UUID|uuid|GPU-", old), (old, new)
            assert NUMBER.findall(re.sub(r"\S*[/\\@]\S*", "", old)) == NUMBER.findall(
                re.sub(r"\S*[/\\@]\S*", "", new)
            )
