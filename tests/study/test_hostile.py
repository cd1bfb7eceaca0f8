"""Nothing that a configuration says is executed: every key gets hostile values, all programs are looked at."""

from __future__ import annotations

import copy
import datetime
import io
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvsweep.engine import build, build_manifest, commands, source
from kvsweep.errors import KvsweepError
from kvsweep.inputs import harness, package_index
from kvsweep.machine.children import GUARD
from kvsweep.measure.tasks import sandbox
from kvsweep.study.config import Study, parse_study
from kvsweep.study.origin import Origin, parse_origin
from kvsweep.study.shape import json_schema
from snakemake_executor_plugin_slurm import Executor
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

COMMIT, DIGEST = "11a241d0db78a68e0a5b99fe6f36de6683100f6a", "a" * 64
BASE: dict[str, Any] = {
    "engines": {"e": {"source": {"path": "bin"}}},
    "models": {"m": {"path": "m.gguf"}},
    "pairs": ["f16"],
    "corpora": {"c": {"path": "c.txt"}},
    "quality": {"contexts": [512], "chunks": 8},
    "throughput": {"depths": [0]},
    "slices": {"s": "slice"},
    "workloads": {"w": {"depth": 0, "prompt_tokens": 1, "generated_tokens": 1}},
}
# Of these a mapping has one; what else it has to have.
ALTERNATIVES: dict[str, Any] = {
    "path": None,
    "url": None,
    "git": {"url": "https://example.org/x", "commit": COMMIT},
    "pypi": {"package": "p", "version": "1", "sha256": DIGEST, "member": "m"},
    "huggingface": {"repo": "o/n", "revision": COMMIT, "file": "m.gguf"},
    "generate": {"seed": 1, "bytes": "128K"},
}
NEEDED: dict[str, Any] = {"nodes": {"cores": 1}, "member": None}


# What a mapping has to have, where it is no mapping of the configuration above: by the names of keys.
EXAMPLES: dict[str, Any] = {
    "contexts": [512], "corpus": "c", "context": 4096, "chunks": 8, "depths": [0], "depth": 0, "prompt_tokens": 1,
    "generated_tokens": 1, "cores": 1, "types": "f16", "name": "x", "arguments": ["-x"], "member": "m", "repo": "o/n",
    "url": "https://example.org/x", "commit": COMMIT, "revision": COMMIT, "sha256": DIGEST, "package": "p",
    "version": "1", "file": "m.gguf", "seed": 1, "bytes": "128K", "source": {"path": "bin"},
}  # fmt: skip
Path_ = tuple[str, ...]
Needed = dict[Path_, dict[str, Any]]


def keys(
    node: dict[str, Any], schema: dict[str, Any], path: Path_ = (), needed: Needed | None = None
) -> Iterator[tuple[Path_, Needed]]:
    """Where a configuration can have a value: ``*`` is a name that somebody chooses, ``[]`` an item of a list.

    With each what the mappings on its way have to have, by their place.
    """
    needed = needed or {}
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    if path and node.get("required"):
        fixed = {key: child["const"] for key, child in node["properties"].items() if "const" in child}
        needed = needed | {path: {key: fixed.get(key) or EXAMPLES[key] for key in node["required"]}}
    inner = [(key, child) for key, child in node.get("properties", {}).items()]
    inner += [("*", child) for child in node.get("patternProperties", {}).values()]
    inner += [("*", child)] if isinstance(child := node.get("additionalProperties"), dict) else []
    inner += [("[]", node["items"])] if "items" in node else []
    yield path, needed
    for key, child in inner:
        yield from keys(child, schema, (*path, key), needed)
    for other in (*node.get("oneOf", ()), *node.get("anyOf", ())):
        yield from keys(other, schema, path, needed)


KEYS = list({str(key): key for key in keys(json_schema(), json_schema()) if key[0]}.values())


def with_value(path: Path_, value: object, needed: Needed | None = None) -> dict[str, Any]:
    """A configuration that is right but for this value."""
    config = copy.deepcopy(BASE)
    place: Any = config
    section = path[0]
    key: Any
    for number, key in enumerate(path):
        last = number == len(path) - 1
        if isinstance(place, dict):
            for other, example in (needed or {}).get(path[:number], {}).items():
                place.setdefault(other, copy.deepcopy(example))
        following = None if last else path[number + 1]
        if isinstance(place, list):
            if last:
                place[:] = [value]
                return config
            place[:] = [[] if following == "[]" else {}]
            place = place[0]
            continue
        if key == "*":
            key = 512 if section == "quality" else next(iter(place), "NAME")
        if key in ALTERNATIVES and isinstance(place, dict) and set(place) & set(ALTERNATIVES):
            for other in ALTERNATIVES:
                place.pop(other, None)
        if last:
            place[key] = value
            return config
        default: Any = [] if following == "[]" else {}
        wanted = ALTERNATIVES.get(key) if key in ALTERNATIVES else NEEDED.get(key)
        if key == "pypi" and section == "engines":
            wanted = {"package": "p", "version": "1", "sha256": DIGEST}
        if isinstance(wanted, dict) and following != "[]":
            default = dict(wanted)
        if key not in place or not isinstance(place[key], type(default)):
            place[key] = default
        place = place[key]
    return config


MARK = "MARK"
TOKEN = "ghp_SECRETSECRETSECRETSECRETSECRETSECRET"
HOSTILE = [
    "--upload-pack=touch MARK", "-uMARK", "--MARK", "-c", "-", "--", "-ocProxyCommand=touch MARK",
    "ext::sh -c 'touch MARK'", "fd::17/MARK", "file::/MARK", "ext::MARK", "transport::MARK",
    "ssh://-oProxyCommand=touchMARK/x", "-oProxyCommand=MARK:x", "x@-oProxyCommand=MARK:y", "javascript:MARK",
    "$(touch MARK)", "`touch MARK`", "; touch MARK", "| touch MARK", "& touch MARK", "MARK\nSECOND: 1", "MARK\0",
    "MARK\x1b[31m", "MARK\ud800", "MARK\u202e", "'MARK", '"MARK', "MARK\\", "{MARK}", "{MARK!r}", "%MARK%",
    "../../MARK", "/MARK/..", "~/MARK", '{"url": "https://example.org/MARK"}', '{"path": "MARK"}', "MARK" * 2000,
    "https://me:MARK@example.org/x", "https://MARK@example.org/x", "http://me:MARK@[::1", "https:/me:MARK@x/y",
    "git+ssh://x:MARK@example.org/x", "socks5://me:MARK@proxy:1080", "me:MARK@example.org", "ssh://me:MARK@host/x",
    "p --find-links=https://example.org/MARK", "1.0 --MARK", "1.0\n--find-links https://example.org/MARK",
    "p[MARK] @ x",
]  # fmt: skip
SECRETS = [text for text in HOSTILE if ("MARK@" in text and "@example.org/x" in text) or "MARK@proxy" in text]


class Recorder:
    """In the place of every program: nothing is started, and what would have been is kept."""

    started: list[tuple[list[str], dict[str, str]]]

    def __init__(self, arguments: list[str], **options: Any) -> None:
        assert not options.get("shell"), "a shell would read the arguments again"
        assert not isinstance(arguments, str)
        type(self).started.append(([str(argument) for argument in arguments], dict(options.get("env") or {})))
        if (
            "--requirement" in arguments
        ):  # pip reads options from it, too: one line, of one package and its hash
            requirement = Path(arguments[arguments.index("--requirement") + 1]).read_text()
            assert re.fullmatch(r"[\w.-]+==[\w.!+-]+ --hash=sha256:[0-9a-f]{64}\n", requirement, re.A)
        # No process has this number, so that ending its group ends nobody.
        self.returncode, self.args, self.pid = 0, arguments, 2**31 - 1
        self.stdin, self.stdout, self.stderr = io.FileIO(os.devnull, "w"), iter(()), iter(())

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None: ...

    def communicate(self, *_: object, **__: object) -> tuple[str, str]:
        return COMMIT, ""

    def poll(self) -> int:
        return 0

    def wait(self, *_: object, **__: object) -> int:
        return 0


def programs_of(study: Study, directory: Path) -> list[tuple[list[str], dict[str, str]]]:
    """The arguments and environment of all programs that a run of the study would start."""
    Recorder.started = []
    with mock.patch.object(subprocess, "Popen", Recorder):
        for engine in study.engines.values():
            with pytest.raises(KvsweepError):  # the recorder brings no source
                if engine.source_kind == "path":
                    ready = Path("/b", engine.source["path"])
                    build_manifest.manifest(
                        engine, ready, backend="cpu", commit=None, options={}, compiler=None
                    )
                source.fetch(engine, directory / "source", "engines.e.source")
            options = build.cmake_options("cpu", {}, engine.cmake)
            tree = Path("/source", engine.source.get("tree", ""))
            build.build(tree, Path("/build"), options, engine.programs, 1, directory / "log", lambda _: None)
            build_manifest.run_for_text(Path("/bin/llama-bench"), engine.env, "--help")
            for model in study.models.values():
                for pair in engine.pairs:
                    request = commands.BenchRequest(0, 1, 1, 1)
                    model_path = str(Path("/base", model.origin.path or "m"))
                    Recorder(commands.bench(Path("/bin/llama-bench"), model_path, pair, request))
            origins = [thing.origin for thing in study.models.values()]
            origins += [thing.origin for thing in study.corpora.values() if thing.origin]
            for task in study.tasks.values():
                if task.harness is not None:
                    needed = json.loads(task.harness)
                    kind = "docker" if needed["sandbox"] == "auto" else needed["sandbox"]
                    box = sandbox.Sandbox(kind, "docker", needed["image"])
                    sandbox._problem(*box)
                    places = sandbox.Places(*(Path("/x/bin/python"),) * 4)
                    Recorder(sandbox.command(box, places, "name"))
                    for name in ("aider", "polyglot"):
                        url = needed[name]
                        harness.tree(url, COMMIT, directory / name, name, directory, name)
            for package in [one for origin in origins for one in origin.pypi or ()]:
                with pytest.raises(KvsweepError, match="pip brought no file"):
                    package_index.fetch(
                        package.package, package.version, package.sha256, directory / "p", "where"
                    )
    return Recorder.started


class Resources(dict[str, Any]):
    """As Snakemake hands them to an executor: also by attribute."""

    __getattr__ = dict.__getitem__


def submitted(study: Study) -> Iterator[str]:
    """The line that Snakemake's Slurm plugin would give to a shell, for the nodes of each engine."""
    for engine in study.engines.values():
        if engine.nodes is None:
            continue
        asked = {
            "slurm_partition": engine.nodes.partition,
            "constraint": engine.nodes.constraint,
            "gres": engine.nodes.gres,
        }
        job = mock.Mock(threads=1, resources=Resources({k: v or "" for k, v in asked.items()}))
        partition = Executor.get_partition_arg(mock.Mock(_partitions=None, _fallback_partition=""), job)
        names = ("run_uuid", "slurm_logfile", "comment_str", "account", "workdir")
        call = get_submit_command(job, dict.fromkeys(names, "x") | {"account": "", "partition": partition})
        yield call + set_gres_string(job)


def is_fenced(arguments: list[str], index: int) -> bool:
    """Whether an argument can be nothing but a value: it does not look like an option, or comes after ``--``."""
    argument = arguments[index]
    if arguments[0] == "git":
        is_last = "--" in arguments[:index] or arguments[3:5] == ["config", "remote.origin.url"]
        return is_last and not argument.startswith("-") and "::" not in argument.split("/")[0]
    return argument.startswith(("-DNAME=", "/")) or not argument.startswith("-")


@settings(deadline=None, max_examples=int(os.environ.get("KVSWEEP_PROPERTY_CASES", "200")))
@given(st.sampled_from(KEYS), st.sampled_from(HOSTILE), st.sampled_from(["", "x", "./", "/x/"]))
def test_no_value_becomes_an_option_a_command_or_a_secret_told(
    tmp_path_factory: pytest.TempPathFactory, key: tuple[Path_, Needed], value: str, before: str
) -> None:
    path, needed = key
    try:
        study = parse_study(with_value(path, before + value, needed))
    except KvsweepError as error:
        said = str(error)
        assert "\n" not in said and said.endswith(".") and said.isprintable()
        assert not any(secret in said for secret in SECRETS) and ":MARK@" not in said
        return
    # What is accepted can be written and shown.
    assert not any(character in before + value for character in "\n\0\x1b\ud800\u202e")
    assert ":MARK@" not in repr(study)
    for arguments, environment in programs_of(study, tmp_path_factory.mktemp("run")):
        if arguments == GUARD:
            continue  # always the same, though "-c" may be a value, too
        for index, argument in enumerate(arguments):
            if MARK in argument or argument == before + value:
                assert is_fenced(arguments, index), arguments
        if arguments[0] == "git":
            assert environment["GIT_ALLOW_PROTOCOL"] == "https:http:ssh:git:file"


def test_every_key_gets_its_value() -> None:
    """Of a wrong kind, as YAML makes it of 2026-11-28, it is complained of at its own place.

    So no hostile value above is refused for anything else in the configuration.
    """
    for path, needed in KEYS:
        with pytest.raises(KvsweepError) as raised:
            parse_study(with_value(path, datetime.date(2026, 11, 28), needed))
        where = ".".join(part for part in path if part not in ("*", "[]"))
        said = re.sub(r"\.(?:e|m|c|s|w|NAME|512|\d+)(?=[.:])", "", str(raised.value).partition(" ")[0])
        assert said == f"{where}:" and "2026" in str(raised.value)


@pytest.mark.parametrize("value", ["x" * 3000, TOKEN, *SECRETS, "https://h/x?token=SECRET"])
def test_no_key_takes_a_secret_or_repeats_what_is_long(value: str) -> None:
    for path, needed in KEYS:
        try:
            parse_study(with_value(path, value, needed))
        except KvsweepError as error:
            said = str(error)
            assert len(said) < 600 and "SECRET" not in said and not any(one in said for one in SECRETS)
        else:
            assert value == "x" * 3000, path


@pytest.mark.parametrize(
    "place", [(), ("limits",), ("engines", "e"), ("models", "m"), ("quality",), ("workloads", "w")]
)
@pytest.mark.parametrize(
    "key", ["\x1b[31mx", "\u202ex", "a\nb", "\u200b", "", "\u00a0", "x" * 3000, "https://me:MARK@h", 1, None]
)
def test_a_hostile_key_moves_no_cursor(place: tuple[str, ...], key: object) -> None:
    config = copy.deepcopy(BASE)
    inner: Any = config
    for step in place:
        inner = inner.setdefault(step, {})
    inner[key] = 1
    with pytest.raises(KvsweepError) as raised:
        parse_study(config)
    said = str(raised.value)
    assert said.isprintable() and len(said) < 500 and "MARK" not in said and ": unknown key; " in said
    assert not said.startswith((" ", ":"))


PASSWORDS = [
    "me:SEC RET", "me:SEC'RET", 'me:SEC"RET', "me:SEC/RET", "me:SEC?RET", "me:SEC#RET", "me:SE%40CRET", ":SECRET",
    "SECRET", "SECRET:", "SECRET:x-oauth-basic", "me:SEC@RET",
]  # fmt: skip
GIVEN_AWAY = [
    *(f"{scheme}://{user}@example.org/x" for user in PASSWORDS for scheme in ("https", "HTTPS", "http")),
    f"https://example.org/{TOKEN}/x", f"https://example.org/x?token={TOKEN}", "https://example.org:SECRET/x",
    *(f"https://example.org/x{before}{name}=SECRET" for before in ("?", "?a=1&", "#", ";")
      for name in ("token", "X-Amz-Signature", "X-Amz-Security-Token", "sig", "api_key", "AWSAccessKeyId", "key")),
    "https://me:SECRET＠example.org/x", "https:/me:SECRET@example.org/x", "https://example.org\\@SECRET/x",
]  # fmt: skip


@pytest.mark.parametrize("address", GIVEN_AWAY)
@pytest.mark.parametrize(
    "path",
    [
        ("models", "m", "url"),
        ("corpora", "c", "url"),
        ("slices", "s", "url"),
        ("engines", "e", "source", "git", "url"),
    ],
)
def test_no_address_gives_a_password_away(path: tuple[str, ...], address: str) -> None:
    place, value = (path[:2], {"url": address, "sha256": DIGEST}) if path[0] == "slices" else (path, address)
    with pytest.raises(KvsweepError) as raised:
        parse_study(with_value(place, value))
    said = str(raised.value)
    assert "SEC" not in said and "RET" not in said and said.startswith(".".join(path))


@pytest.mark.parametrize(
    "address",
    ["https://example.org/x?token=SECRET", "https://example.org/x#SECRET", "git://me:SECRET@h/x", "ssh://me:SECRET@h/x",
     "me:SECRET@h:x", f"{TOKEN}@github.com:o/r", f"ssh://{TOKEN}@h/x", "file://me:SECRET@h/x"],
)  # fmt: skip
def test_nor_does_that_of_a_repository(address: str) -> None:
    with pytest.raises(KvsweepError) as raised:
        parse_study(with_value(("engines", "e", "source", "git", "url"), address))
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    "user",
    [TOKEN, "ghp_short", "github_pat_x", "glpat-x", "hf_x", "sk-x", "xoxb-1-a", "npm_x", "pypi-x", "oauth2",
     "x-access-token", "0123456789abcdef" * 2, "a1b2c3d4e5f6", "A" * 33, "%67hp_x", "eyJhbGciOiJIUzI1NiJ9.e.s",
     "my-secret", "my_token", "deadbeef00112233", "k3j9x0q2m4", "QWxhZGRpbjpvcGVuIHNlc2FtZQ", "AKIAIOSFODNN7EXAMPLE",
     "Zm9vYmFyYmF6cXV4MTIz", "4111111111111111", "wJalrXUtnFEMIK7MDENGbPxRfiCYEX"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["{}@github.com:o/r", "ssh://{}@h/x", "git+ssh://{}@h/x"])
@pytest.mark.parametrize("path", [("engines", "e", "source", "git", "url"), ("tasks", "p")])
def test_no_user_of_ssh_is_a_token(path: tuple[str, ...], form: str, user: str) -> None:
    address = form.format(user)
    value: Any = address if path[-1] == "url" else {"kind": "aider-polyglot", "aider": address}
    with pytest.raises(KvsweepError) as raised:
        parse_study(with_value(path, value))
    assert user not in str(raised.value)


LOGINS = [
    "git", "me", "org-1234", "Jane.Doe", "svc_build", "u01", "user12345", "s1234567", "ab123456", "20241234", "asiago",
    "secretary", "tokenizer", "JanVanDerBerg", "npm-builds", "m2.max-2024", "r2d2", "facade1",
]  # fmt: skip


@pytest.mark.parametrize("owner", [*LOGINS, "org-20240101", "a1b2c3d4e5f6"])
def test_an_owner_of_a_repository_is_no_login(owner: str) -> None:
    for address in (f"https://github.com/{owner}/llama.cpp", f"git@github.com:{owner}/llama.cpp"):
        assert parse_study(with_value(("engines", "e", "source", "git", "url"), address)).engines


@pytest.mark.parametrize("user", LOGINS)
def test_a_user_of_ssh_has_a_name(user: str) -> None:
    for address in (f"{user}@github.com:o/r", f"ssh://{user}@h/x"):
        assert parse_study(with_value(("engines", "e", "source", "git", "url"), address)).engines


SECRET_NAMES = [
    "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "api_key", "DB_PASSWORD", "AWS_ACCESS_KEY_ID", "GH_PAT",
    "SSH_PASSPHRASE", "APIKEY", "MY_SECRETS", "AUTHORIZATION", "COOKIE", "PASSWORD_FILE",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("key", ["env", "cmake"])
def test_a_secret_is_no_part_of_an_engine(key: str, name: str) -> None:
    with pytest.raises(KvsweepError, match=rf"^engines\.e\.{key}\.{name}: looks like a secret"):
        parse_study(with_value(("engines", "e", key), {name: "x"}))


@pytest.mark.parametrize(
    "arguments",
    [
        *([f"--{name.lower().replace('_', '-')}", "SECRET"] for name in SECRET_NAMES),
        *([f"--x_{name}=SECRET"] for name in SECRET_NAMES),
        ["--header", "Authorization: Basic SECRET"], ["--header", "x: bearer SECRET"], ["--x", TOKEN],
        ["--url", "https://me:SECRET@h/x"], ["--url", "https://h/x?jwt=SECRET"], ["--url=https://h/x?token=SECRET"],
        ["--rpc", "me:SECRET@h:1"], ["-hft", "SECRET"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [("engines", "e", "arguments"), ("pairs",)])
def test_a_secret_is_no_argument(path: tuple[str, ...], arguments: list[str]) -> None:
    value: Any = arguments
    if path == ("pairs",):
        value = ["f16", {"types": "q8_0", "name": "x", "arguments": {"llama-bench": arguments}}]
    with pytest.raises(KvsweepError) as raised:
        parse_study(with_value(path, value))
    assert "SECRET" not in str(raised.value).replace("MY_SECRETS", "").replace("AWS_SECRET", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--kv-tail-tokens", 128],
        ["--rpc", "10.0.0.1:50052"],
        ["--turbo-key", "q8_0"],
        ["--key-bits", 4],
        ["-nkvo", 0],
    ],
)
def test_an_ordinary_argument_is_none(arguments: list[str]) -> None:
    assert parse_study(with_value(("engines", "e", "arguments"), arguments)).engines["e"].arguments.bench


@pytest.mark.parametrize(
    "place",
    [*(("quality", key) for key in ("chunks", "method", "positions")), ("engines", "e", "arguments"),
     *(("engines", "e", key) for key in ("env", "cmake")), ("tasks",), ("slices",), ("models",), ("workloads",)],
)  # fmt: skip
@pytest.mark.parametrize(
    "key",
    ["\x1b[31mx", "\u202ex", "a\nb", "\u200b", "", "x" * 3000, "https://me:MARK@h", TOKEN, None, 1.5, ("a",)],
)
def test_nor_does_a_hostile_name_or_context(place: Path_, key: object) -> None:
    config = copy.deepcopy(BASE)
    inner: Any = config
    for step in place:
        inner[step] = inner[step] if isinstance(inner.get(step), dict) else {}
        inner = inner[step]
    inner[key] = {"method": "scorer", "positions": "half", "models": {"path": "x"}}.get(place[-1], 1)
    with pytest.raises(KvsweepError) as raised:
        parse_study(config)
    said = str(raised.value)
    assert said.isprintable() and len(said) < 500 and said.endswith(".")
    assert "MARK" not in said and "SECRET" not in said


@pytest.mark.parametrize("section", ["models", "corpora", "engines"])
def test_a_token_is_no_name(section: str) -> None:
    config = with_value((section, TOKEN), next(iter(BASE[section].values())))
    with pytest.raises(KvsweepError) as raised:
        parse_study(config)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "git@example.org:o/r.git",
        "ssh://git@example.org/x",
        "https://example.org/o/r.git",
        "../llama.cpp",
        "/src/x",
    ],
)
def test_ordinary_repositories(url: str) -> None:
    study = parse_study(with_value(("engines", "e", "source", "git", "url"), url))
    assert study.engines["e"].source["url"] == url


@pytest.mark.parametrize(
    "url",
    ["--upload-pack=touch {mark}", "ext::sh -c touch% {mark}", "fd::{mark}", "-c core.sshCommand={mark}"],
)
def test_git_itself_starts_nothing_for_an_address(url: str, tmp_path: Path) -> None:
    """Should one slip through what checks it."""
    mark = tmp_path / "mark"
    with pytest.raises(KvsweepError):
        source._fetch_git(
            {"url": url.format(mark=mark), "commit": "0" * 40}, tmp_path / "to", "engines.e.source"
        )
    assert not mark.exists()


def test_a_path_that_looks_like_a_definition_is_a_path() -> None:
    """As the rules hand it over: a path that begins with a brace as its definition."""
    path = '{"url": "https://me:MARK@example.org/x"}'
    assert parse_origin(Origin(path=path).definition()) == Origin(path=path)


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "GGML_BACKEND_PATH"])
def test_no_variable_makes_an_engine_run_another_file(name: str) -> None:
    config = with_value(("engines", "*", "env", "*"), "1")
    config["engines"]["e"]["env"] = {name: "/tmp/other.so"}
    with pytest.raises(KvsweepError, match=rf"^engines\.e\.env\.{name}: makes programs run code"):
        parse_study(config)


def shell_words(line: str) -> list[str]:
    """As a shell takes them, operators such as ``;`` and ``|`` as words of their own."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


NODES = ("partition", "constraint", "gres")


@settings(deadline=None, max_examples=int(os.environ.get("KVSWEEP_PROPERTY_CASES", "200")))
@given(
    st.sampled_from(NODES),
    st.sampled_from(HOSTILE) | st.text("a1:,&|()[]*=+-_.; $`'\"<>\n\\#!{}~", max_size=12),
    st.sampled_from(["", "gpu", "gpu:1"]),
)
def test_what_is_said_of_nodes_is_one_word_of_slurm_s_command(key: str, value: str, before: str) -> None:
    config = with_value(("engines", "*", "nodes", key), before + value)
    try:
        study = parse_study(config)
    except KvsweepError:
        return
    (call,) = submitted(study)
    # With a GPU the plugin names no number of tasks.
    other = config["engines"]["e"]["nodes"][key] = "gpux" if "gpu" in before + value else "x"
    (harmless,) = submitted(parse_study(config))
    words, same = shell_words(call), shell_words(harmless)
    assert len(words) == len(same)
    for word, without in zip(words, same, strict=True):
        assert word in (without, without.removesuffix(other) + before + value)


@pytest.mark.parametrize("gres", ["gpu", "gpu:1", "gpu:a100:2", "shard:4", "gpu:nvidia_h100_80gb.mig:1"])
def test_a_device_that_slurm_s_plugin_takes(gres: str) -> None:
    (call,) = submitted(parse_study(with_value(("engines", "*", "nodes", "gres"), gres)))
    assert shlex.split(call)[-1] == f"--gres={gres}"
