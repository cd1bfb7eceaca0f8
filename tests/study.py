"""A finished study on stand-in engines, and which jobs the workflow would run after something has changed."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from server import Page, serving
from snakemake.api import SnakemakeApi
from snakemake.logging import logger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    RerunTrigger,
    ResourceSettings,
)
from support import ROOT, STAND_IN, write_model

# An engine that is really fetched with git, configured and built with CMake: scripts that start the stand-in.
CMAKE = """\
cmake_minimum_required(VERSION 3.14)
project(stand_in NONE)
set(STAND_IN_WORD "none" CACHE STRING "a word that becomes a part of the programs")
foreach(name llama-bench llama-perplexity kvsweep-scorer)
  configure_file(${name}.in ${CMAKE_BINARY_DIR}/bin/${name} @ONLY FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  add_custom_target(${name})
endforeach()
"""
PROGRAM = '#!/bin/sh\n# @STAND_IN_WORD@, {release}\nexec "{stand_in}/{name}" "$@"\n'
PROGRAMS = ("llama-bench", "llama-perplexity")

Job = str
# Those of the steps after the measurements are named by their rule alone.
CELL_RULES = {
    "engine": ("engine",),
    "accepted_types": ("engine",),
    "model": ("model",),
    "corpus": ("corpus",),
    "harness": ("task",),
    "baseline": ("engine", "model", "corpus", "n_ctx"),
    "quality_cell": ("engine", "model", "corpus", "n_ctx", "ctk", "ctv"),
    "scorer_cell": ("engine", "model", "corpus", "n_ctx", "ctk", "ctv"),
    "tokens": ("engine", "model", "corpus", "n_ctx", "ctk", "ctv"),
    "task_cell": ("engine", "model", "task", "ctk", "ctv"),
    "throughput_cell": ("engine", "model", "depth", "ctk", "ctv"),
}


def job(rule: str, *values: object) -> Job:
    return " ".join([rule, *map(str, values)])


def write_programs(directory: Path, release: str, suffix: str = "") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        path = directory / f"{name}{suffix}"
        path.write_text(PROGRAM.format(release=release, stand_in=STAND_IN, name=name))
        path.chmod(0o755)


def git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=repository, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def make_repository(path: Path) -> dict[str, str]:
    """Its commits by release."""
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "CMakeLists.txt").write_text(CMAKE)
    commits = {}
    for release in ("first", "second"):
        write_programs(path, release, ".in")
        (path / "kvsweep-scorer.in").write_text("#!/bin/sh\necho '{}'\n")  # what it says of its features
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", release)
        commits[release] = git(path, "rev-parse", "HEAD")
    return commits


@dataclass(frozen=True)
class Place:
    """A directory with a study's inputs, configuration and results, and the checkout of kvsweep that works on it."""

    root: Path
    commits: dict[str, str]
    checkout: Path = ROOT

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def configfile(self) -> Path:
        return self.root / "study.yaml"

    @property
    def configuration(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.configfile.read_text())
        return found

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configfile.write_text(yaml.safe_dump(configuration, sort_keys=False))

    def planned(self, *forced: str) -> set[Job]:
        """The jobs of a dry run; ``forced`` are rules to run anyway."""
        return planned(self.checkout / "Snakefile", self.root, self.configfile, forced)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """The workflow, as a user starts it."""
        return subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--cores", "2"),
                "--snakefile",
                self.checkout / "Snakefile",
                "--configfile",
                self.configfile,
                "--directory",
                self.root,
                *options,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )

    def copy(self, to: Path) -> Place:
        """Inputs included; names in the configuration and in manifests keep leading to the old ones."""
        shutil.copytree(self.root, to, symlinks=True, copy_function=shutil.copy2)
        return Place(to, self.commits, self.checkout)


class _Jobs(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.jobs: set[Job] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(getattr(record, "event", None), "value", None) == "job_info":
            rule, wildcards = record.rule_name, dict(record.wildcards or {})  # type: ignore[attr-defined]
            wildcards.pop("root", None)  # the tables of what was measured, or of the published numbers
            # Neither the first round nor an engine's own f16 has a name.
            later = wildcards.pop("round", "") or wildcards.pop("against", "")
            wildcards.pop("against", None)
            names = CELL_RULES.get(rule, ())
            assert set(names) == set(wildcards), f"{rule}: wildcards {set(wildcards)}"
            self.jobs.add(job(rule, *(wildcards[name] for name in names), *filter(None, [later.rstrip("/")])))


def planned(snakefile: Path, directory: Path, configfile: Path, forced: Iterable[str] = ()) -> set[Job]:
    """The jobs of a dry run under the profile that Snakemake would load by itself."""
    profile = yaml.safe_load((snakefile.parent / "profiles" / "default" / "profile.yaml").read_text())
    triggers = RerunTrigger.parse_choices_set(profile["rerun-triggers"])
    jobs, here, path = _Jobs(), Path.cwd(), list(sys.path)
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "kvsweep"}
    for name in modules:
        del sys.modules[name]
    try:
        with (
            mock.patch.dict(os.environ),
            SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api,
        ):
            # Not before: Snakemake takes all handlers away when it starts.
            logger.addHandler(jobs)
            dag = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[configfile]),
                snakefile=snakefile,
                workdir=directory,
            ).dag(
                dag_settings=DAGSettings(
                    rerun_triggers=triggers,
                    force_incomplete=profile["rerun-incomplete"],
                    forcerun=frozenset(forced),
                )
            )
            dag.execute_workflow(executor="dryrun")
    finally:
        logger.removeHandler(jobs)
        os.chdir(here)
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] == "kvsweep"]:
            del sys.modules[name]
        sys.modules.update(modules)
    return jobs.jobs - {"all"}


def make_finished(root: Path) -> Place:
    """Two engines, two models and three texts, measured by the real workflow.

    ``built`` is built from a git repository and measures quality and throughput; ``ready`` is a directory of programs
    and measures throughput of one pair at one depth.
    """
    root.mkdir(exist_ok=True)
    commits = make_repository(root / "repository")
    write_programs(root / "ready", "first")
    local = write_model(root / "local.gguf")
    fetched = write_model(root / "fetched.gguf").read_bytes() + b"\\0"
    with zipfile.ZipFile(root / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "All work and no play makes Jack a dull boy. " * 100)
        archive.writestr("b.txt", "All play and no work makes Jack a mere toy. " * 100)
    place = Place(root, commits)
    with serving() as server:
        server.pages["/models/fetched.gguf"] = Page(fetched)
        place.configure(
            {
                "engines": {
                    "built": {
                        "source": {"git": {"url": str(root / "repository"), "commit": commits["first"]}},
                        "backend": "cpu",
                        "cmake": {"STAND_IN_WORD": "one"},
                        "env": {"TURBO_EXAMPLE": 1},
                    },
                    "ready": {
                        "source": {"path": str(root / "ready")},
                        "backend": "cpu",
                        "pairs": ["f16"],
                        "depths": [0],
                        "contexts": [],
                    },
                },
                "models": {
                    "local": {"path": str(local)},
                    "fetched": {"url": f"{server.address}/models/fetched.gguf"},
                },
                "corpora": {
                    "generated": {"generate": {"seed": 1, "bytes": "8K"}},
                    # A relative path starts at the checkout.
                    "file": {"path": "README.md"},
                    "member": {"path": str(root / "texts.zip"), "member": "a.txt"},
                },
                "pairs": ["f16", "q8_0"],
                "quality": {"contexts": [1024], "chunks": 8},
                "throughput": {"depths": [0, 512], "prompt": 64, "generate": 16, "repetitions": 2},
            }
        )
        done = place.run("--quiet", "all")
        assert done.returncode == 0, done.stdout + done.stderr
    return place


def changed(configuration: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A configuration with another value, or for None without one, under a dotted path."""
    found = copy.deepcopy(configuration)
    *parents, last = path.split(".")
    inner: Any = found
    for name in parents:
        inner = inner.setdefault(name, {})
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return found
