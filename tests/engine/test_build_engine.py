"""What of an engine is built again: a program more, a build that was stopped; the compiler itself is a stand-in."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from build_engine import build_from_source, built_with_less
from kvsweep.engine import build as engine_build
from kvsweep.engine import source as engine_source
from kvsweep.errors import KvsweepError
from kvsweep.study.engines import Engine, parse_engine
from kvsweep.study.programs import MEASURING, SERVER
from support import STAND_IN

SOURCE = {"git": {"url": "https://example.org/llama.cpp", "commit": "c" * 40}}
ENGINE = parse_engine("e", json.dumps({"source": SOURCE, "backend": "cpu"}))
WITH_SERVER = dataclasses.replace(ENGINE, programs=(*ENGINE.programs, SERVER))


class Builds:
    """What was fetched and built; ``stops`` is whether the next build is stopped."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.built: list[Sequence[str]] = []
        self.scorers, self.stops = 0, False

    def fetch(self, engine: Engine, directory: Path, _where: str, _base: Path) -> engine_source.Source:
        directory.mkdir(parents=True)
        self.fetched.append(engine.source["commit"])
        return engine_source.Source(directory, engine.source["commit"])

    def build(self, _tree: Path, to: Path, _options: object, programs: Sequence[str], *_: object) -> None:
        if self.stops:
            raise KvsweepError("stopped")
        self.built.append(programs)
        (to / "bin").mkdir(parents=True)
        (to / "CMakeCache.txt").write_text("")
        for name in programs:
            shutil.copy2(STAND_IN / name, to / "bin" / name)

    def scorer(self, *_: object) -> str:
        self.scorers += 1
        return "llama.h has no such function"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    found = Builds()
    monkeypatch.setattr(engine_source, "fetch", found.fetch)
    monkeypatch.setattr(engine_build, "build", found.build)
    monkeypatch.setattr(engine_build, "build_scorer", found.scorer)
    monkeypatch.setattr(engine_build, "check_compiler", lambda: None)
    return found


def make(engine: Engine, directory: Path, before: dict[str, object] | None = None) -> dict[str, Any]:
    made = build_from_source(engine, directory, 1, before, directory)
    (directory / "build.json").write_text(json.dumps(made))
    return made


@pytest.fixture
def directory(tmp_path: Path, builds: Builds) -> Path:
    """Of an engine that was built."""
    (tmp_path / "e").mkdir()
    make(ENGINE, tmp_path / "e")
    assert builds.built == [ENGINE.programs]
    return tmp_path / "e"


def test_a_program_more_is_built_alone_and_the_others_stay(directory: Path, builds: Builds) -> None:
    first = json.loads((directory / "build.json").read_text())
    assert first["programs"] == list(ENGINE.programs) and not (directory / "work").exists()
    assert first["scorer"] == {"missing": "llama.h has no such function"}
    kept = {path.name: path.stat().st_ino for path in (directory / "bin").iterdir()}
    before = built_with_less(WITH_SERVER, directory / "build.json")
    assert before == first
    second = make(WITH_SERVER, directory, before)
    assert builds.built == [ENGINE.programs, (SERVER,)] and builds.scorers == 1
    assert second["programs"] == list(WITH_SERVER.programs) and second["scorer"] == first["scorer"]
    assert second["files"].items() > first["files"].items() and second["definition"] == first["definition"]
    now = {path.name: path.stat().st_ino for path in (directory / "bin").iterdir()}
    assert now.keys() - kept.keys() == {SERVER} and now.items() >= kept.items()
    assert built_with_less(WITH_SERVER, directory / "build.json") is None


def test_a_build_from_before_there_was_a_scorer_gets_one(directory: Path, builds: Builds) -> None:
    path = directory / "build.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "scorer"}))
    made = make(ENGINE, directory, built_with_less(ENGINE, path))
    assert builds.built == [ENGINE.programs, ()] and builds.scorers == 2
    assert made["scorer"] == {"missing": "llama.h has no such function"}


@pytest.mark.parametrize("kind", ["whole", "damaged", "gone", "another engine", "moved", "no manifest"])
def test_what_is_not_whole_or_another_engine_is_built_anew(kind: str, directory: Path) -> None:
    engine, path = WITH_SERVER, directory / "build.json"
    program = directory / "bin" / MEASURING[0]
    if kind == "damaged":
        program.write_text("damaged")
    elif kind == "gone":
        program.unlink()
    elif kind == "another engine":
        engine = dataclasses.replace(engine, cmake={"GGML_NATIVE": "OFF"})
    elif kind == "moved":
        path = Path(shutil.copytree(directory, directory.parent / "other")) / "build.json"
    elif kind == "no manifest":
        path.unlink()
    assert (built_with_less(engine, path) is not None) == (kind == "whole")


def test_a_stopped_build_goes_on_with_what_was_fetched(tmp_path: Path, builds: Builds) -> None:
    (tmp_path / "e").mkdir()
    builds.stops = True
    for _ in range(2):
        with pytest.raises(KvsweepError, match="stopped"):
            make(ENGINE, tmp_path / "e")
    assert builds.fetched == ["c" * 40]
    other = dataclasses.replace(ENGINE, source={**ENGINE.source, "commit": "d" * 40})
    builds.stops = False
    assert make(other, tmp_path / "e")["commit"] == "d" * 40
    assert builds.fetched == ["c" * 40, "d" * 40]
