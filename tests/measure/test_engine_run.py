"""One cell from start to record."""

import hashlib
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.machine.conditions import Conditions
from kvsweep.machine.description import Machine
from kvsweep.machine.other_work import OtherWork
from kvsweep.measure import engine_run, second_names, verified
from kvsweep.measure.engine_run import Subject, keep, keep_skipped, killed_for_memory, run_engine
from kvsweep.measure.process import ProcessRecord
from kvsweep.measure.record import read_recorded
from kvsweep.measure.takeover import Claim
from support import Workplace, run_json

GIB = 2**30


def ended(signal: str | None = None, ended_by: str | None = None, peak: int = GIB) -> ProcessRecord:
    return ProcessRecord(
        "2026-11-23T14:51:20.123+00:00", 1.0, 0.0, 1.0, peak, None if signal else 0, signal, ended_by, ()
    )


@pytest.mark.parametrize(
    ("record", "counted", "memory", "killed"),
    [
        (ended("SIGKILL"), True, 16 * GIB, True),
        (ended("SIGKILL"), False, 16 * GIB, False),
        (ended("SIGSEGV"), True, 16 * GIB, False),
        (ended(), True, 16 * GIB, False),
        # The runner itself killed it.
        (ended("SIGKILL", "time limit"), True, 16 * GIB, False),
        # A system that does not count: it filled the memory, or it did not.
        (ended("SIGKILL", peak=12 * GIB), None, 16 * GIB, True),
        (ended("SIGKILL", peak=8 * GIB), None, 16 * GIB, False),
        (ended("SIGKILL", peak=12 * GIB), None, None, False),
    ],
)
def test_killed_for_want_of_memory(
    record: ProcessRecord, counted: bool | None, memory: int | None, killed: bool
) -> None:
    assert killed_for_memory(record, counted, memory) is killed


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    build_json = tmp_path / "build.json"
    build_json.write_text("{}")
    return Subject(
        directory=tmp_path / "cell",
        build_json=build_json,
        build={"engine": "e", "directory": "/engine", "environment": {"TURBO_X": "0"}, "files": {}},
        model={"model": "m", "sha256": "cd34"},
        machine=Machine("bench", "host", "cpu", 2, 16 * GIB, "Linux"),
        cell={"kind": "throughput", "ctk": "f16", "ctv": "q8_0"},
        claim=Claim(tmp_path / "cell"),
    )


def attempt(subject: Subject, code: str, program: str = sys.executable) -> engine_run.Attempt:
    arguments = Namespace(
        cell_hours=1, log_mebibytes=1, nodes={}, workflow_pid=None, other_work=OtherWork([])
    )
    command = [program, "-c", code]
    return run_engine(subject, command, "bench.jsonl", arguments, Conditions("Battery Power"), lambda: None)


def test_a_record(subject: Subject) -> None:
    first = attempt(subject, "print('one')")
    second = attempt(
        subject, "import os, sys; print(os.environ['TURBO_X']); print('log', file=sys.stderr); sys.exit(3)"
    )
    assert not (subject.directory / "run.json").exists()
    keep(subject, [first, second])
    run = run_json(subject.directory)
    assert (run["kind"], run["ctk"], run["ctv"]) == ("throughput", "f16", "q8_0")
    assert (run["engine"], run["model"], run["model_sha256"]) == ("e", "m", "cd34")
    assert run["build_sha256"] == hashlib.sha256(b"{}").hexdigest()
    assert run["command"][:2] == [sys.executable, "-c"]
    assert (run["exit_status"], run["signal"], run["ended_by"], run["attempts"]) == (3, None, None, 2)
    assert run["machine"]["name"] == "bench"
    assert run["conditions"]["power_source"] == "Battery Power"
    assert [stream["name"] for stream in run["streams"]] == ["bench.jsonl", "stderr.log"]
    # What was kept is the last attempt's, and the sha256s are those of the files.
    record = read_recorded(subject.directory)
    assert (record.stdout, record.stderr) == ("0\n", "log\n")
    assert sorted(path.name for path in subject.directory.iterdir() if path.is_file()) == [
        "bench.jsonl",
        "run.json",
        "stderr.log",
    ]


def test_the_record_is_written_last(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    there: dict[Path, list[str]] = {}

    def look(path: Path, _value: Any) -> None:
        files = [file.name for file in path.parent.iterdir() if file.is_file()]
        there[path.parent] = sorted(name for name in files if name != ".runner")

    for module in (engine_run, second_names):
        monkeypatch.setattr(module, "write_json", look)
    keep(subject, [attempt(subject, "print('one')")])
    spare = subject.directory / ".finished"
    assert list(there) == [spare, subject.directory]
    assert all(names == ["bench.jsonl", "stderr.log"] for names in there.values())


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_an_engine_that_somebody_else_ended_is_no_result(
    subject: Subject, signal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Elsewhere on the machine memory may run out just now.
    monkeypatch.setattr(engine_run, "read_out_of_memory_kills", lambda: 0)
    with pytest.raises(KvsweepError) as caught:
        attempt(subject, f"import os, signal; os.kill(os.getpid(), signal.{signal})")
    assert str(caught.value).startswith(f"the engine was ended from outside ({signal}) after ")
    assert str(caught.value).endswith("; nothing of this cell was kept, run again to measure it.")
    assert list(subject.directory.iterdir()) == []


def test_an_engine_that_the_system_killed_is_a_result(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter([3, 4])
    monkeypatch.setattr(engine_run, "read_out_of_memory_kills", lambda: next(kills))
    found = attempt(subject, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert found.killed_for_memory


def test_an_engine_that_crashed_is_a_result(subject: Subject) -> None:
    found = attempt(subject, "import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    assert found.record.signal == "SIGABRT"
    assert not found.killed_for_memory


def test_what_cannot_be_started_leaves_nothing(subject: Subject) -> None:
    with pytest.raises(KvsweepError, match="cannot be started"):
        attempt(subject, "", "/no/engine")
    assert list(subject.directory.iterdir()) == []


def test_a_directory_that_cannot_be_made(subject: Subject) -> None:
    subject.directory.write_text("a file stands here")
    with pytest.raises(KvsweepError, match=r"cell: cannot be written \(File exists\)"):
        attempt(subject, "print('one')")


def test_a_skipped_cell_is_a_record_too(subject: Subject) -> None:
    reason = "predicted to take too long"
    keep_skipped(subject, ["llama-bench"], ("bench.jsonl", "stderr.log"), reason, 7200.0)
    record = read_recorded(subject.directory)
    assert (record.run["skipped"], record.run["attempts"]) == (reason, 0)
    assert record.run["predicted_seconds"] == 7200
    assert "exit_status" not in record.run
    assert (record.stdout, record.stderr) == ("", "")


# -- what goes in is verified -----------------------------------------------------------------------------------------


def test_what_is_as_its_manifest_says(workplace: Workplace) -> None:
    assert verified.load_engine(workplace.build_json)["engine"] == "stand-in"
    assert verified.load_model(workplace.model_json)["model"] == "tiny"
    assert verified.load_corpus(workplace.corpus_json)["corpus"] == "text"


def test_another_binary(workplace: Workplace, tmp_path: Path) -> None:
    build = json.loads(workplace.build_json.read_text())
    for name in build["files"]:
        (tmp_path / name).write_text("another program")
    workplace.build_json.write_text(json.dumps(build | {"directory": str(tmp_path)}))
    with pytest.raises(KvsweepError) as caught:
        verified.load_engine(workplace.build_json)
    assert str(caught.value) == (
        f"{tmp_path}/llama-bench: the engine's file changed since {workplace.build_json} was written; remove that file "
        "to go on with the changed engine, which measures everything of it again."
    )
    (tmp_path / "llama-bench").unlink()
    with pytest.raises(
        KvsweepError, match=r"llama-bench: the engine's file is gone; remove .* to build it again"
    ):
        verified.load_engine(workplace.build_json)


@pytest.mark.parametrize("what", ["model", "corpus"])
def test_another_model_or_corpus(workplace: Workplace, tmp_path: Path, what: str) -> None:
    manifest = workplace.model_json if what == "model" else workplace.corpus_json
    values = json.loads(manifest.read_text())
    path = tmp_path / "file"
    manifest.write_text(json.dumps(values | {"path": str(path)}))
    load = verified.load_model if what == "model" else verified.load_corpus
    with pytest.raises(KvsweepError) as caught:
        load(manifest)
    assert str(caught.value) == (
        f"{path}: the {what} is gone; put it back, or correct its path in the configuration."
    )
    path.write_text("something else")
    with pytest.raises(KvsweepError) as caught:
        load(manifest)
    assert (
        str(caught.value)
        == f"{path}: the {what} changed since {manifest} was written; run the workflow again."
    )


def test_no_manifest(workplace: Workplace) -> None:
    workplace.build_json.unlink()
    with pytest.raises(
        KvsweepError, match=r"build\.json: this file is missing; run the workflow again to make it\."
    ):
        verified.load_engine(workplace.build_json)
