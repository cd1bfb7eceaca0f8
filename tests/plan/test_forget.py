"""Forgetting cells: exactly the ones that are named, and nothing else."""

import contextlib
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from forget_cells import remove_record
from kvsweep.errors import KvsweepError
from kvsweep.plan.forget import parse_selection, select, why_nothing
from kvsweep.study.cells import QualityCell, ThroughputCell
from kvsweep.tables.raw_cells import Outcome, RawCell, find_cells, identity, read_raw_cell
from support import Workplace, measure, run_in_this_process

DEEP = "throughput/fork/qwen/d65536/k-q8_0/v-q4_0"
SHALLOW = "throughput/fork/qwen/d0/k-q8_0/v-q8_0"
SCORED = "quality/mainline/qwen/wiki/c4096/k-q8_0/v-q4_0"


def raw(directory: str, *statuses: str) -> RawCell:
    cell = identity(directory)
    assert cell is not None
    phases = ("prefill", "decode") if isinstance(cell, ThroughputCell) else (None,)
    return RawCell(
        cell, Path(directory), {}, tuple(Outcome(p, s, None) for p, s in zip(phases, statuses, strict=True))
    )


CELLS = [raw(DEEP, "measured", "timeout"), raw(SHALLOW, "measured", "measured"), raw(SCORED, "crashed")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"STATUS": "timeout"}, [DEEP]),  # one phase is enough
        ({"STATUS": "measured"}, [DEEP, SHALLOW]),
        ({"PAIR": "q8_0/q4_0"}, [DEEP, SCORED]),
        ({"PAIR": "q8_0"}, [SHALLOW]),
        ({"PAIR": "q8_0/q8_0"}, [SHALLOW]),
        ({"DEPTH": "64K"}, [DEEP]),
        ({"DEPTH": "65536"}, [DEEP]),
        ({"CONTEXT": "4K"}, [SCORED]),
        ({"ENGINE": "fork", "DEPTH": "0"}, [SHALLOW]),
        ({"MODEL": "qwen"}, [DEEP, SHALLOW, SCORED]),
        ({"KIND": "quality"}, [SCORED]),
        ({"PAIR": "q8_0/q4_0", "KIND": "throughput"}, [DEEP]),
        ({"STATUS": "timeout", "KIND": "quality"}, []),
        ({"STATUS": "crashed", "PAIR": ""}, [SCORED]),  # an empty value asks for nothing
    ],
)
def test_the_cells_that_are_named(asked: dict[str, str], expected: list[str]) -> None:
    assert [str(cell.directory) for cell in select(CELLS, parse_selection(asked))] == expected


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "with at least one of STATUS, PAIR, DEPTH, ROUND, CONTEXT, ENGINE, MODEL, TASK, KIND"),
        ({"PAIR": ""}, "with at least one of"),
        ({"STATSU": "timeout"}, "STATSU: not known here; the nearest valid one is 'STATUS'"),
        ({"STATUS": "timeot"}, "STATUS: 'timeot' is not known; the nearest valid one is 'timeout'"),
        ({"KIND": "speed"}, "KIND: 'speed' is not known; valid here: throughput, quality"),
        ({"DEPTH": "64k"}, "DEPTH: '64k' is not a number of tokens"),
        ({"PAIR": "a/b/c"}, "PAIR: 'a/b/c' is not a pair"),
        ({"DEPTH": "0", "CONTEXT": "4K"}, "DEPTH names throughput cells and CONTEXT quality cells"),
        ({"ROUND": "2", "CONTEXT": "4K"}, "ROUND names throughput cells and CONTEXT quality cells"),
        ({"ROUND": "second"}, "ROUND: 'second' is no round; write a number from 1 up"),
        ({"ROUND": "0"}, "ROUND: '0' is no round"),
    ],
)
def test_what_is_unclear_stops(asked: dict[str, str], message: str) -> None:
    with pytest.raises(KvsweepError, match=message):
        parse_selection(asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"STATUS": "oom"},
            "none of the 3 measured cells has STATUS=oom; valid here: measured, timeout, crashed.",
        ),
        ({"PAIR": "q8_0/q4_1"}, "has PAIR=q8_0/q4_1; the nearest valid one is 'q8_0/q4_0'."),
        ({"DEPTH": "32K"}, "has DEPTH=32K; the nearest is 64K."),
        ({"ENGINE": "main-line"}, "has ENGINE=main-line; the nearest valid one is 'mainline'."),
        ({"STATUS": "crashed", "KIND": "throughput"}, "has all of STATUS=crashed KIND=throughput"),
    ],
)
def test_where_nothing_matches_the_nearest_value_is_named(asked: dict[str, str], message: str) -> None:
    assert message in why_nothing(CELLS, parse_selection(asked))


def test_cells_are_known_by_their_directories() -> None:
    assert isinstance(identity(DEEP), ThroughputCell)
    assert isinstance(identity(SCORED), QualityCell)
    assert str(identity(SCORED)) == "quality q8_0/q4_0 at context 4K (mainline, qwen, wiki)"
    later = DEEP.replace("/d", "/round-12/d")
    cell = identity(later)
    assert isinstance(cell, ThroughputCell) and (cell.round, str(cell.directory)) == (12, later)
    others = ("baseline/fork/qwen/wiki/c4096", "throughput/fork/qwen/d64K/k-q8_0/v-q4_0", "logs/" + DEEP)
    for other in (*others, DEEP.replace("/d", "/round-1/d"), DEEP.replace("/d", "/round-02/d")):
        assert identity(other) is None


# -- with records of the stand-in engine ------------------------------------------------------------------------------


def forget(place: Workplace, *names: str) -> subprocess.CompletedProcess[str]:
    with contextlib.redirect_stdout(io.StringIO()) as listed:
        done = run_in_this_process("forget_cells", ["--results", place.results, *names])
    return subprocess.CompletedProcess([], done.returncode, listed.getvalue(), done.stderr)


def files(place: Workplace) -> set[str]:
    return {str(p.relative_to(place.results)) for p in place.results.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def _measured(_prepared: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("measured"))
    shutil.copytree(_prepared.results, place.results)
    for command, environment in (
        (place.quality_command("f16/f16"), {}),
        (place.throughput_command("f16/f16"), {}),
        (place.throughput_command("q8_0/q8_0"), {"STAND_IN": "oom"}),
        (place.throughput_command("q8_0/q4_0", cell_hours=0.0001), {"STAND_IN": "hang"}),
    ):
        done = measure(command, environment)
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def measured(_measured: Workplace, tmp_path: Path) -> Workplace:
    """A control, a measured throughput cell, and two that ran out of memory and time."""
    shutil.copytree(_measured.results, tmp_path / "results")
    return Workplace(tmp_path)


def test_exactly_the_named_cells_are_removed(measured: Workplace) -> None:
    before = files(measured)
    done = forget(measured, "STATUS=timeout")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("k-q8_0/v-q4_0: timeout (not finished after the limit of 0 s)\n")
    gone = before - files(measured)
    directory = "throughput/stand-in/tiny/d0/k-q8_0/v-q4_0"
    record = {f"{directory}/{name}" for name in ("run.json", "bench.jsonl", "stderr.log")}
    assert record <= gone
    assert all(name.startswith(f"{directory}/") for name in gone)
    assert not (measured.results / directory).exists()
    assert measured.throughput("q8_0/q8_0").is_dir()
    assert files(measured) == before - gone


def test_a_dry_run_only_lists(measured: Workplace) -> None:
    before = files(measured)
    done = forget(measured, "STATUS=oom", "DRY=1")
    assert done.returncode == 0
    assert "k-q8_0/v-q8_0: oom (the engine could not allocate memory)" in done.stdout
    assert "1 cell would be forgotten" in done.stderr
    assert files(measured) == before


def test_baselines_manifests_and_other_files_stay(measured: Workplace) -> None:
    (measured.results / "throughput" / "notes.txt").write_text("mine")
    before = {name for name in files(measured) if not name.startswith(("throughput/stand-in", "quality/"))}
    assert forget(measured, "MODEL=tiny").returncode == 0
    assert files(measured) == before


@pytest.mark.parametrize(
    "names", [["STATUS=crashed"], ["DEPTH=4K"], ["STATUS"], [], ["DRYRUN=1", "STATUS=oom"]]
)
def test_nothing_is_removed_where_nothing_was_named(measured: Workplace, names: list[str]) -> None:
    before = files(measured)
    done = forget(measured, *names)
    assert done.returncode == 1
    assert done.stderr.startswith("kvsweep: error: ")
    assert "Traceback" not in done.stderr
    assert files(measured) == before


def test_what_make_is_told_beside_the_names_does_not_matter(measured: Workplace) -> None:
    assert forget(measured, "PYTHON=python3.12", "STATUS=oom", "DRY=0").returncode == 0
    assert not measured.throughput("q8_0/q8_0").exists()


def test_a_damaged_record_can_be_named(measured: Workplace) -> None:
    (measured.throughput("f16/f16") / "bench.jsonl").write_text("{}")
    (measured.quality("f16/f16") / "run.json").write_text('{"kind": "quality"}')
    assert [read_raw_cell(*found).status for found in find_cells(measured.results)].count("damaged") == 2
    assert forget(measured, "STATUS=damaged").returncode == 0
    assert not measured.throughput("f16/f16").exists()
    assert not measured.quality("f16/f16").exists()


def test_a_record_in_the_directory_of_another_cell_is_damaged(measured: Workplace) -> None:
    other = measured.throughput("f16/f16", depth=512)
    other.parent.mkdir(parents=True)
    measured.throughput("f16/f16").rename(other)
    (found,) = [read_raw_cell(*found) for found in find_cells(measured.results) if found[1] == other]
    assert (found.status, "says depth 0, its path says 512" in str(found.reason)) == ("damaged", True)


def test_an_interrupted_removal_leaves_no_half_cell(
    measured: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """run.json goes first: without it the cell is to be measured again, whatever else is there."""
    directory, unlink = measured.throughput("f16/f16"), Path.unlink

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if path.name != "run.json":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove_record(directory, measured.results)
    assert sorted(path.name for path in directory.iterdir()) == ["bench.jsonl", "stderr.log"]
