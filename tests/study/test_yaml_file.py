"""YAML files that somebody wrote: what is wrong is said with file and line, and no file can do anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.study.complaints import ConfigError
from kvsweep.study.yaml_file import parse_yaml, read_configuration, read_yaml
from support import ROOT, SCRIPTS, run_program


def bomb(levels: int, of: str) -> str:
    """Each line has nine times what the line above has."""
    lines = [f"l0: &l0 {of}"]
    for level in range(1, levels):
        lines.append(f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "f, line 3: the key 'a' is there twice, first in line 1; remove one."),
        ("a: {b: 1, c: 2,\n  b: 3}", "f, line 2: the key 'b' is there twice, first in line 1; remove one."),
        ("chunks: {512: 1, 0x200: 2}", "f, line 1: the key 512 is there twice, first in line 1; remove one."),
        ("- {a: 1}\n- {a: 1, a: 1}", "f, line 2: the key 'a' is there twice, first in line 2; remove one."),
        ("a: 1\nb: c: d", "f, line 2: is not valid YAML (mapping values are not allowed here); correct that line."),
        ("a: [1,\nb: 2", "f, line 2: is not valid YAML (while parsing a flow sequence expected ',' or ']', "
         "but got '<stream end>'); correct that line."),
        ("a:\n\t- b", "f, line 2: is not valid YAML (while scanning for the next token found character '\\t' "
         "that cannot start any token); correct that line."),
        ("a: *b", "f, line 1: is not valid YAML (found undefined alias 'b'); correct that line."),
        ("a: !!python/object/apply:os.system [touch x]", "f, line 1: is of the kind 'tag:yaml.org,2002:python/object/"
         "apply:os.system', which no value is; remove the mark, or put it in quotes."),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "f, line 1: the key '<<' is there twice, first in line 1; remove one."),
        ('a: 1\nb: "\\UFFFFFFFF"', "f, line 2: names no character by its number; correct it."),
        ('a: "\\U00110000"', "f, line 1: names no character by its number; correct it."),
        ("a: !https://me:SECRET@h/x 1", "f, line 1: is of the kind '...@h/x', which no value is; remove the mark, "
         "or put it in quotes."),
        ("a: 1\nb: \x1b[31m", "f, line 2: has the control character '\\x1b'; remove it."),
        ("a: 2026-02-30", "f, line 1: '2026-02-30' cannot be read (day is out of range for month); put it in quotes."),
        ("a: &a [*a]", "f, line 1: is part of itself; write it out."),
        ("__use_yte__: true\n?open('x', 'w'): 1", "f, line 1: a configuration is no template; remove __use_yte__."),
        (bomb(20, "[x, x, x]"), "f, line 5: has more than 10000 values with its aliases written out; write fewer."),
        (bomb(20, "{x: 1}"), "f, line 5: has more than 10000 values with its aliases written out; write fewer."),
        ("a: " + "[" * 25 + "]" * 25, "f, line 1: is nested too deeply; write at most 20 levels."),
        ("a:\n " + "[" * 5000, "f, line 2: is nested too deeply; write at most 20 levels."),
        ("a: 1\nb: 010", "f, line 2: 010 means 8 in YAML; write that, or put it in quotes."),
        ("a: [8, 1:30]", "f, line 1: 1:30 means 90 in YAML; write that, or put it in quotes."),
        ("a: {08_0: 1, 0_10: 2}", "f, line 1: 0_10 means 8 in YAML; write that, or put it in quotes."),
        ("a: 1:30.5", "f, line 1: 1:30.5 means 90.5 in YAML; write that, or put it in quotes."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value) == said


@pytest.mark.parametrize("kind", ["bool", "int", "float", "timestamp"])
@pytest.mark.parametrize("value", ["''", "abc", "https://x", "1:x", "."])
def test_a_kind_that_a_value_does_not_look_like(kind: str, value: str) -> None:
    for text in (f"a: !!{kind} {value}", f"!!{kind} {value}: 1"):
        with pytest.raises(ConfigError, match=r"^f, line 1: .* cannot be read.*; put it in quotes\.$"):
            parse_yaml(text, "f")


@pytest.mark.parametrize(
    "value", ["!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!mine a", "="]
)
def test_values_that_cannot_be_handed_on_as_json(value: str) -> None:
    for text in (f"a: {value}", f"a: [{value}]", f"a: {{b: {value}}}", f"? {value}\n: 1"):
        with pytest.raises(ConfigError, match=r"^f, line 1: is of the kind '.*', which no value is"):
            parse_yaml(text, "f")


def test_a_number_that_python_does_not_write_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"^f, line 1: '9{20,76}\.\.\. cannot be read \(.*\); put it in quotes\.$"
    ):
        parse_yaml(f"a: {'9' * 5000}", "f")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: \xff\n", "{path}, line 2: is not UTF-8 text; save the file as UTF-8."),
        ("a: 1".encode("utf-16"), "{path}, line 1: is not UTF-8 text; save the file as UTF-8."),
        (b"# " + b"x" * 2**16, "{path}: is larger than 64 KiB, the most that is read; shorten it."),
        (b"", "{path}: expected a configuration (key: value), found nothing; examples/demo.yaml is one."),
        (b"- a", "{path}: expected a configuration (key: value), found ['a']; examples/demo.yaml is one."),
        (None, "{path}: there is no such file."),
    ],
)
def test_a_file_that_is_no_configuration(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_configuration(path)
    assert str(caught.value) == said.format(path=path)


def test_merged_keys_may_be_written_again() -> None:
    text = "common: &c {depth: 0, goal: seconds}\nmine: {<<: *c, depth: 8K}\n"
    assert parse_yaml(text, "f")["mine"] == {"depth": "8K", "goal": "seconds"}


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/*.yaml")), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_ships_is_read_as_yaml_reads_it(path: Path) -> None:
    if path.name != "profile.yaml" and not {".venv", ".snakemake", "results"} & set(path.parts):
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_yaml_writes_is_read_back(value: Any) -> None:
    if "__use_yte__" not in str(value):
        assert parse_yaml(yaml.safe_dump(value), "f") == value


@given(st.text(alphabet="ab:-[]{}&*!<#'\"\n \t?|>%@`0123,\x00\xa0\ud800", max_size=40))
def test_any_text_is_read_or_one_sentence(text: str) -> None:
    try:
        parse_yaml(text, "f")
    except ConfigError as error:
        assert "\n" not in str(error) and str(error).endswith(".")


@pytest.mark.parametrize("profile", ["default", "mac", "slurm", "cluster-generic"])
def test_the_profiles_have_a_configuration_read_here_before_snakemake_reads_it(
    profile: str, tmp_path: Path
) -> None:
    hostile = tmp_path / "hostile.yaml"
    hostile.write_text(f"__use_yte__: true\n?open({str(tmp_path / 'mark')!r}, 'w'): 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--workflow-profile", ROOT / "profiles" / profile, "-s", ROOT / "Snakefile",
         "--directory", tmp_path, "--configfile", hostile, "-n"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = f"kvsweep: error: {hostile}, line 1: a configuration is no template; remove __use_yte__.\n"
    assert done.returncode == 1 and done.stderr.endswith(said), done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "mark").exists()


@pytest.mark.parametrize("option", ["--directory", "-d", "--directory="])
@pytest.mark.parametrize("place", ["file", "file/inside", "/proc/none/such"])
def test_a_study_s_directory_that_is_none(option: str, place: str, tmp_path: Path) -> None:
    """Snakemake says nothing of it with --quiet all, as make plan has it."""
    (tmp_path / "file").touch()
    path = str(tmp_path / place)
    given = [option + path] if option.endswith("=") else [option, path]
    done = run_program("check_config.py", *given)
    assert done.returncode == 1 and done.stderr.startswith(f"kvsweep: error: {path}: "), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_target_behind_the_configuration_is_no_second_one() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "check_config.py", "--configfile", "examples/demo.yaml", "measurements"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "kvsweep: error: measurements: there is no such configuration; a target stands behind `--`: "
        "snakemake --configfile examples/demo.yaml -- measurements.\n",
    )  # fmt: skip
