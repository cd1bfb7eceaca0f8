"""Records decide what is measured, always: whatever happens to files and to Snakemake's notes, no engine starts again.

Every case does something to a finished study, runs it again, and counts the engines that were started.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from support import ROOT, STAND_IN, write_model

CELLS = 5  # a baseline, two cells of quality, two of throughput


@dataclass(frozen=True)
class Place:
    """A directory in which the study is run, and the file in which each engine leaves a character when it starts."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def notes(self) -> Path:
        return self.root / ".snakemake"

    @property
    def starts(self) -> int:
        count = self.root / "starts"
        return count.stat().st_size if count.exists() else 0

    def start(self, *options: str, study: str = "study.yaml", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake", "--cores", "2"),
                "--snakefile",
                ROOT / "Snakefile",
                "--directory",
                self.root,
                "--configfile",
                self.root / study,
                *options,
                "--",
                "measurements",
            ],
            env=os.environ | {"STAND_IN_COUNT": str(self.root / "starts")} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def make(self, **environment: str) -> subprocess.Popen[str]:
        """``make run``, without a look at what is installed."""
        return subprocess.Popen(
            [
                *("make", "--directory", ROOT, "--assume-old", "setup", f"BIN={Path(sys.executable).parent}"),
                *("run", f"CONFIG={self.root / 'study.yaml'}", f"STUDY={self.root}"),
            ],
            env=os.environ | {"STAND_IN_COUNT": str(self.root / "starts")} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str, study: str = "study.yaml") -> str:
        process = self.start(*options, study=study)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    def wait_for_engine(self, starts: int) -> None:
        end = time.monotonic() + 120
        while self.starts < starts:
            assert time.monotonic() < end, "no engine was started"
            time.sleep(0.1)


def write_study(place: Path, name: str, inputs: Path, **throughput: int) -> None:
    study = {
        "engines": {"stand-in": {"source": {"path": str(STAND_IN)}, "backend": "cpu"}},
        "models": {"tiny": {"path": str(inputs / "tiny.gguf")}},
        "corpora": {"text": {"path": str(inputs / "text.txt")}},
        "pairs": ["f16", "q8_0"],
        "quality": {"contexts": [1024], "chunks": 8},
        "throughput": {"depths": [0], "prompt": 64, "generate": 16, "repetitions": 3} | throughput,
    }
    (place / name).write_text(yaml.safe_dump(study))


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Place:
    inputs = tmp_path_factory.mktemp("inputs")
    write_model(inputs / "tiny.gguf")
    (inputs / "text.txt").write_text("All work and no play makes Jack a dull boy. " * 300)
    place = Place(tmp_path_factory.mktemp("records"))
    write_study(place.root, "study.yaml", inputs)
    write_study(place.root, "other.yaml", inputs, repetitions=2)
    place.run()
    assert place.starts == CELLS
    return place


@pytest.fixture
def place(finished_study: Place, tmp_path: Path) -> Place:
    """A copy with its time stamps. Engines are counted from here on."""
    shutil.copytree(finished_study.root, tmp_path / "study", symlinks=True)
    place = Place(tmp_path / "study")
    (place.root / "starts").unlink()
    return place


def measured(place: Place) -> dict[str, bytes]:
    """The records of all cells and baselines."""
    return {
        str(path.relative_to(place.results)): path.read_bytes()
        for path in place.results.rglob("run.json")
        if ".finished" not in path.parts
    }


# -- what may happen --------------------------------------------------------------------------------------------------


def nothing(place: Place) -> None:
    pass


def notes_are_gone(place: Place) -> None:
    shutil.rmtree(place.notes)


def touched(place: Place) -> None:
    for path in place.results.rglob("*"):
        os.utime(path)


def time_stamps_scrambled(place: Place) -> None:
    """By a backup, an archive, a clock that was wrong: also into the future."""
    chance = random.Random(1)
    for path in sorted(place.results.rglob("*")):
        stamp = time.time() + chance.uniform(-1e8, 1e6)
        os.utime(path, (stamp, stamp))


def notes_of_another_configuration(place: Place) -> None:
    notes = [path for path in (place.notes / "metadata").rglob("*") if path.is_file()]
    assert len(notes) > CELLS
    for path in notes:
        note = json.loads(path.read_text())
        more = {"params": ["'other'"], "input": ["other"], "code": "other", "shellcmd": "other"}
        path.write_text(json.dumps(note | more))


def notes_of_running_jobs(place: Place) -> None:
    """As when Snakemake is killed in the tenth of a second after a cell's end, for all cells at once."""
    for record in measured(place):
        for path in (place.results / record).parent.iterdir():
            name = b64encode(str(path.relative_to(place.root)).encode()).decode()
            (place.notes / "incomplete" / name).touch()


def second_names_lost(place: Place) -> None:
    """On a file system without hard links there are none."""
    notes_of_running_jobs(place)
    for directory in list(place.results.rglob(".finished")):
        shutil.rmtree(directory)


def outputs_removed(place: Place) -> None:
    """By a Snakemake that could not book a finished cell, and was killed."""
    notes_of_running_jobs(place)
    for record in measured(place):
        if "baseline" not in record:
            for path in (place.results / record).parent.iterdir():
                if path.is_file():
                    path.unlink()


def moved_away_and_back(place: Place) -> None:
    """Another configuration was measured meanwhile, in the same place."""
    place.results.rename(place.root / "attic")
    place.run(study="other.yaml")
    shutil.rmtree(place.results)
    (place.root / "attic").rename(place.results)


def moved_away_and_back_after_a_kill(place: Place) -> None:
    """Meanwhile another run was killed in the middle of a cell."""
    place.results.rename(place.root / "attic")
    process = place.start(STAND_IN="hang")
    place.wait_for_engine(1)
    process.kill()
    process.communicate()
    time.sleep(2)  # the runner notices
    shutil.rmtree(place.results)
    (place.root / "attic").rename(place.results)
    place.run("--unlock")


@pytest.mark.parametrize(
    "happens",
    [
        nothing,
        notes_are_gone,
        touched,
        time_stamps_scrambled,
        notes_of_another_configuration,
        notes_of_running_jobs,
        second_names_lost,
        outputs_removed,
        moved_away_and_back,
        moved_away_and_back_after_a_kill,
    ],
)
def test_no_engine_is_started_again(place: Place, happens: Callable[[Place], None]) -> None:
    before = measured(place)
    happens(place)
    (place.root / "starts").unlink(missing_ok=True)
    said = place.run()
    assert (place.starts, measured(place)) == (0, before), said


def test_a_copy_elsewhere_is_as_finished_as_the_original(place: Place, tmp_path: Path) -> None:
    """Copied by a program that keeps neither time stamps nor hard links."""
    copy = Place(tmp_path / "elsewhere")
    copy.root.mkdir()
    shutil.copytree(place.results, copy.results, copy_function=shutil.copyfile)
    shutil.copyfile(place.root / "study.yaml", copy.root / "study.yaml")
    said = copy.run()
    assert (copy.starts, measured(copy)) == (0, measured(place)), said


@pytest.mark.parametrize(
    "options",
    [
        ("--rerun-triggers", "mtime", "params", "input", "code", "software-env"),
        ("--workflow-profile", "none", "--rerun-incomplete"),
    ],
)
def test_whatever_snakemake_is_told_to_look_at(place: Place, options: tuple[str, ...]) -> None:
    notes_of_another_configuration(place)
    notes_of_running_jobs(place)
    said = place.run(*options)
    assert place.starts == 0, said


def test_what_has_to_be_measured_again_is_measured_again(place: Place) -> None:
    """The other side: a changed request, and what the user forces."""
    place.run(study="other.yaml")
    assert place.starts == 2
    place.run("--forcerun", "quality_cell", study="other.yaml")
    assert place.starts == 4
    cell = place.results / "throughput" / "stand-in" / "tiny" / "d0" / "k-f16" / "v-f16"
    shutil.rmtree(cell)
    place.run(study="other.yaml")
    assert place.starts == 5


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "signum"),
    [(Place.start, signal.SIGTERM), (Place.start, signal.SIGHUP), (Place.make, signal.SIGTERM)],
    ids=["SIGTERM to Snakemake", "SIGHUP to Snakemake", "SIGTERM to make"],
)
def test_a_signal_to_one_process_ends_the_run_at_once_and_loses_nothing(
    place: Place, start: Callable[..., subprocess.Popen[str]], signum: signal.Signals
) -> None:
    """As a scheduler, a shutdown or a closed terminal sends it; the engine would run for an hour."""
    finished = measured(place)
    cell = place.results / "throughput" / "stand-in" / "tiny" / "d0" / "k-q8_0" / "v-q8_0"
    shutil.rmtree(cell)
    process = start(place, STAND_IN="hang")
    place.wait_for_engine(1)
    sent_at = time.monotonic()
    process.send_signal(signum)
    said, _ = process.communicate(timeout=60)
    assert time.monotonic() - sent_at < 30, said
    assert process.returncode != 0, said
    assert "kvsweep: stopped; what is finished stays, and the same command goes on from here" in said
    assert engines_of(place) == []
    # Nothing is locked, nothing lost: the same command measures the one cell and no other.
    place.run()
    assert place.starts == 2
    assert {name: record for name, record in measured(place).items() if "d0/k-q8_0" not in name} == {
        name: record for name, record in finished.items() if "d0/k-q8_0" not in name
    }


def engines_of(place: Place) -> list[int]:
    """Engines that still run for a place: they know its count file."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("STAND_IN_COUNT") == str(place.root / "starts"):
                found.append(process.pid)
    return found
