"""What a user writes behind make's targets reaches the programs as it was written, whatever is in it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest
from kvsweep.program import names_of, take_names
from support import ROOT, run_make

HOSTILE = [
    "studies/mine",
    "/tmp/a b/c  d",
    "-lead",
    "it's",
    'a "b" c',
    "a$b$(shell touch MARK)${PATH}",
    "`touch MARK`;touch MARK",
    "größe/é",
    "a\\b\\",
    "a=b,c",
    "%#x",
]


IN_A_STUDY = ("run", "plan", "demo", "paper", "published", "study")
CONFIGURED = ("run", "plan", "published")
OF_RESULTS = ("status", "forget", "rename", "slice", "export")
NAMED = ("forget", "rename", "slice")


def told(*targets: str, **variables: str) -> str:
    """The commands that make would give to a shell."""
    done = run_make(
        *("--dry-run", "--assume-old", "setup", *targets), *(f"{key}={v}" for key, v in variables.items())
    )
    assert done.returncode == 0, done.stderr
    assert not (ROOT / "MARK").exists()
    return done.stdout


@pytest.mark.parametrize("name", HOSTILE)
def test_a_study_a_configuration_and_a_slice_may_have_any_name(name: str) -> None:
    said = told(*IN_A_STUDY, *OF_RESULTS, STUDY=name, CONFIG=f"{name}.yaml", SLICE=name)
    words = shlex.split(said)
    assert words.count(f"--directory={name}") == len(IN_A_STUDY)
    assert words.count(f"--configfile={name}.yaml") == len(CONFIGURED)
    assert words.count(f"--results={name}/results") == len(OF_RESULTS)
    assert words.count(f"--slice={name}") == 1
    quoted = f"{name}/results".replace("'", "'\\''")
    assert said.count(f"$(cd -- '{quoted}' && pwd)") == len(IN_A_STUDY) - 1
    assert shlex.split(told("check-slice", FILE=name))[-1] == name


@pytest.mark.parametrize("name", HOSTILE)
def test_so_may_what_is_forgotten_or_renamed(name: str) -> None:
    words = shlex.split(told(*NAMED, STUDY=name, MODEL=f"{name}:new"))
    parser = argparse.ArgumentParser()
    take_names(parser, "NAME=value", "")
    given = [word for word in words if word.startswith("--made-with=")]
    assert len(given) == len(NAMED)
    for word in given:
        assert names_of(parser.parse_args([word]), "") == {"MODEL": f"{name}:new"}


def test_a_shell_that_leaves_the_home_directory_to_others_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zsh, of a Mac, hands STUDY=~/x over as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"--directory={tmp_path}/x" in shlex.split(told("run", STUDY="~/x"))
    assert "--directory=a~/x" in shlex.split(told("run", STUDY="a~/x"))
