"""The program that measures a cell, with an engine that prints what real ones printed once."""

import dataclasses
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kvsweep.files import sha256
from kvsweep.machine.other_work import OtherWork
from kvsweep.measure import clock
from kvsweep.measure.progress import RUNNING
from kvsweep.measure.record import read_recorded
from kvsweep.measure.second_names import drop_spare
from kvsweep.study.cells import QualityCell
from kvsweep.study.pairs import Pair
from kvsweep.tables.raw_cells import find_cells, read_raw_cell
from support import SCRIPTS, Workplace, measure, run_json


def names(directory: Path) -> list[str]:
    """The files of a cell."""
    return sorted(path.name for path in directory.glob("*") if path.is_file())


def test_a_throughput_cell(workplace: Workplace) -> None:
    done = measure(workplace.throughput_command("q8_0/turbo4", depth=1024))
    assert done.returncode == 0
    first, last = done.stderr.splitlines()
    assert first == "kvsweep: throughput of q8_0/turbo4 at depth 1024 (stand-in, tiny)"
    assert last.startswith("kvsweep:   q8_0/turbo4 at depth 1K: prefill ") and "decode" in last
    cell = workplace.throughput("q8_0/turbo4", depth=1024)
    assert names(cell) == ["bench.jsonl", "run.json", "stderr.log"]
    run = run_json(cell)
    assert (run["format"], run["kind"], run["ctk"], run["ctv"]) == (1, "throughput", "q8_0", "turbo4")
    assert (run["depth"], run["prompt"], run["generate"], run["repetitions"]) == (1024, 64, 16, 3)
    assert (run["engine"], run["model"], run["environment"]) == ("stand-in", "tiny", {"TURBO_EXAMPLE": "1"})
    assert run["command"][0].endswith("/llama-bench")
    assert (run["exit_status"], run["signal"], run["ended_by"], run["attempts"]) == (0, None, None, 1)
    assert run["killed_for_memory"] is False
    assert run["time_limit_seconds"] == 3600
    assert run["machine"]["name"]
    assert len(read_recorded(cell).stdout.splitlines()) == 2


def test_a_quality_cell(with_baseline: Workplace) -> None:
    done = measure(with_baseline.quality_command("q8_0/turbo4"))
    assert done.returncode == 0
    assert "KLD 0.320245 nats, PPL 1548.0038" in done.stderr
    cell = with_baseline.quality("q8_0/turbo4")
    assert names(cell) == ["run.json", "stderr.log", "stdout.log"]
    run = run_json(cell)
    assert (run["kind"], run["corpus"], run["n_ctx"], run["chunks"]) == ("quality", "text", 1024, 8)
    assert run["corpus_sha256"] == json.loads(with_baseline.corpus_json.read_text())["sha256"]


def test_a_quality_cell_against_the_f16_of_another_engine(with_baseline: Workplace) -> None:
    """Its record says whose; that of a cell against its own says nothing, as ever."""
    assert measure(with_baseline.quality_command("q8_0/turbo4")).returncode == 0
    own = run_json(with_baseline.quality("q8_0/turbo4"))
    assert "reference" not in own
    other = with_baseline.results / "baseline" / "other" / "tiny" / "text" / "c1024"
    other.parent.mkdir(parents=True)
    shutil.copytree(with_baseline.baseline, other)
    written = run_json(other) | {"engine": "other", "engine_files": {"llama-perplexity": "ab" * 32}}
    (other / "run.json").write_text(json.dumps(written))
    cell = QualityCell("stand-in", "tiny", "text", 1024, Pair("q8_0", "turbo4"), reference="other")
    swapped = {
        with_baseline.quality("q8_0/turbo4").relative_to(with_baseline.results).as_posix(): str(
            cell.directory
        ),
        str(with_baseline.baseline / "logits.kld"): str(other / "logits.kld"),
    }
    command = [swapped.get(str(word), word) for word in with_baseline.quality_command("q8_0/turbo4")]
    done = measure([*command, "--reference", "other"])
    assert (done.returncode, "against other's f16 (stand-in, tiny)" in done.stderr) == (0, True), done.stderr
    recorded = read_recorded(with_baseline.results / cell.directory)
    assert recorded.run["reference"]["engine"] == "other"
    assert recorded.run["reference"]["engine_files"] == {"llama-perplexity": "ab" * 32}
    (raw,) = (
        read_raw_cell(found, place) for found, place in find_cells(with_baseline.results) if found == cell
    )
    assert raw.status == "measured"
    moved = (
        with_baseline.results / cell.directory.parent.parent.parent / "against-third" / "k-q8_0" / "v-turbo4"
    )
    shutil.copytree(with_baseline.results / cell.directory, moved)
    third = dataclasses.replace(cell, reference="third")
    assert "says reference 'other', its path says 'third'" in str(read_raw_cell(third, moved).reason)


def test_a_baseline(with_baseline: Workplace) -> None:
    assert names(with_baseline.baseline) == ["logits.kld", "run.json", "stderr.log", "stdout.log"]
    run = run_json(with_baseline.baseline)
    assert (run["kind"], run["ctk"], run["ctv"]) == ("baseline", "f16", "f16")
    # The engine wrote beside, and what it wrote took its name when it was complete.
    assert run["command"][-1].endswith("/.logits.kld.partial")


def test_how_many_cells_are_done(workplace: Workplace) -> None:
    cells = [workplace.throughput(pair) for pair in ("f16/f16", "q8_0/q8_0")]
    listed = "".join(f"{cell.relative_to(workplace.results)}\n" for cell in cells)
    (workplace.results / "cells.txt").write_text(listed)
    assert "kvsweep: 0 of 2 cells done; " in measure(workplace.throughput_command("f16/f16")).stderr
    assert "kvsweep: 1 of 2 cells done; " in measure(workplace.throughput_command("q8_0/q8_0")).stderr


def test_limits_and_the_machines_name_come_as_options(workplace: Workplace) -> None:
    command = workplace.throughput_command("f16/f16", cell_hours=2)
    assert measure([*command, "--skip", "--machine", "my bench"]).returncode == 0
    run = run_json(workplace.throughput("f16/f16"))
    assert run["time_limit_seconds"] == 7200
    assert run["machine"]["name"] == "my bench"


# -- what stops it ----------------------------------------------------------------------------------------------------


def test_the_line_of_a_finished_cell_says_what_is_left(workplace: Workplace) -> None:
    this, other = workplace.throughput("q8_0/turbo4", depth=1024), workplace.throughput("f16/f16", depth=1024)
    results = workplace.root / "results"
    names_of = [str(cell.relative_to(results)) for cell in (this, other)]
    (results / "cells.txt").write_text("\n".join(names_of) + "\n")
    done = measure(workplace.throughput_command("q8_0/turbo4", depth=1024))
    assert done.stderr.splitlines()[-1].endswith(" s; 1 of 2 cells left")
    # Measured again, it is no new one.
    done = measure(workplace.throughput_command("q8_0/turbo4", depth=1024))
    assert done.stderr.splitlines()[-1].endswith(" s; 1 of 2 cells left")


@pytest.mark.parametrize(("times", "attempts"), [(1, 2), (9, 3)])
def test_a_cell_that_was_timed_while_the_machine_slept_is_timed_again(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, times: int, attempts: int
) -> None:
    """A closed laptop is no timeout, but what the engine's clock says of that repetition is worth nothing."""
    slept = [0.0]

    def with_sleep() -> float:
        # Read at the start and at the end of every engine.
        slept.append(slept[-1] + (36_000 if len(slept) % 2 == 0 and len(slept) < 2 * times + 1 else 0))
        return time.monotonic() + slept[-1]

    monkeypatch.setattr(clock, "with_sleep_seconds", with_sleep)
    done = measure(workplace.throughput_command("q8_0/turbo4", depth=1024))
    assert done.returncode == 0
    assert done.stderr.count("for 10 h 00 min; measuring the cell again") == min(times, 2)
    assert done.stderr.splitlines()[-1].count(
        "; this machine slept, or the engine was stopped, for 10 h"
    ) == (times > 3)
    run = run_json(workplace.throughput("q8_0/turbo4", depth=1024))
    assert (run["attempts"], run["ended_by"]) == (attempts, None)
    assert run["wall_seconds"] < 3600
    assert run["suspended_seconds"] == pytest.approx(0 if times == 1 else 36_000, abs=1)


def test_that_the_machine_slept_is_said_of_what_is_not_timed_too(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of its result changes by it."""
    hours = itertools.count(step=36_000)
    monkeypatch.setattr(clock, "with_sleep_seconds", lambda: time.monotonic() + next(hours))
    for command in (workplace.baseline_command(), workplace.quality_command("q8_0/turbo4")):
        done = measure(command)
        assert done.returncode == 0
        assert done.stderr.count("; this machine slept, or the engine was stopped, for 10 h 00 min") == 1
    run = run_json(workplace.quality("q8_0/turbo4"))
    assert (run["attempts"], round(run["suspended_seconds"])) == (1, 36_000)


@pytest.mark.parametrize(("cores", "said"), [(1.34, True), (0.2, False), (None, False)])
def test_that_the_machine_was_busy_is_said_at_once(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, cores: float | None, said: bool
) -> None:
    monkeypatch.setattr(OtherWork, "cores", lambda _: cores)
    done = measure(workplace.throughput_command("q8_0/turbo4", depth=1024))
    assert ("; the machine was busy before: other programs took 1.3 cores; " in done.stderr) == said
    assert run_json(workplace.throughput("q8_0/turbo4", depth=1024))["busy_cores_before"] == cores


def test_that_an_engine_does_not_use_its_device_is_said_at_once(workplace: Workplace) -> None:
    """Hours of the processor's speed under a device's name are noticed at the first cell."""
    build = json.loads(workplace.build_json.read_text())
    workplace.build_json.write_text(json.dumps(build | {"backend": "cuda"}))
    done = measure(workplace.throughput_command("q8_0/turbo4", depth=1024))
    assert "  note: work left the device: all weights lie in the host's memory; " in done.stderr
    workplace.build_json.write_text(json.dumps(build | {"backend": "cpu"}))
    done = measure(workplace.throughput_command("q8_0/turbo4", depth=2048))
    assert "work left the device" not in done.stderr


def test_while_it_runs_a_cell_has_a_sign_of_life(workplace: Workplace) -> None:
    process = subprocess.Popen(
        [sys.executable, SCRIPTS / "measure.py", *workplace.throughput_command("q8_0/turbo4", depth=1024)],
        env=os.environ | {"STAND_IN": "hang"},
        stderr=subprocess.DEVNULL,
    )
    cell = workplace.throughput("q8_0/turbo4", depth=1024)
    sign, end = cell / RUNNING, time.monotonic() + 60
    while not (sign.exists() and (cell / ".stderr.log.partial").exists()) and time.monotonic() < end:
        time.sleep(0.05)
    said = json.loads(sign.read_text())
    assert (said["pid"], said["host"]) == (process.pid, socket.gethostname())
    process.terminate()
    process.wait()
    assert not sign.exists()


def test_a_corpus_that_is_too_short(workplace: Workplace) -> None:
    short = workplace.root / "short.txt"
    short.write_text("All work and no play. " * 80)
    corpus = json.loads(workplace.corpus_json.read_text())
    digest = sha256(short)
    workplace.corpus_json.write_text(json.dumps(corpus | {"path": str(short), "sha256": digest}))
    done = measure(workplace.baseline_command())
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "kvsweep: error: corpora.text: the text has 1760 tokens and needs 2048, twice the context of 1024; "
        "take a longer text or a shorter context."
    )
    assert names(workplace.baseline) == []


def test_an_incomplete_baseline_is_removed(workplace: Workplace) -> None:
    done = measure(workplace.baseline_command(), {"STAND_IN": "short-baseline"})
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"kvsweep: error: the baseline {workplace.baseline}/.logits.kld.partial is ")
    assert "bytes too short" in last
    assert "; it was removed (the engine ended with exit status 0; its last line: " in last
    assert "Traceback" not in done.stderr
    assert names(workplace.baseline) == []


def test_a_baseline_beside_a_failed_computation_is_removed(workplace: Workplace) -> None:
    """Its file is whole, and nothing in it says that a window of it was never computed."""
    done = measure(workplace.baseline_command(), {"STAND_IN": "failed-buffer"})
    assert done.returncode == 1
    assert "a computation failed (ggml_metal_synchronize: error: command buffer 1 failed" in done.stderr
    assert names(workplace.baseline) == []


def test_a_failed_computation_is_said_at_once(with_baseline: Workplace) -> None:
    fault = {"STAND_IN": "failed-buffer"}
    done = measure(with_baseline.throughput_command("q8_0/turbo4", depth=1024), fault)
    assert (
        "prefill failed (ggml_metal_synchronize: error: command buffer 1 failed with status 5)" in done.stderr
    )
    assert "decode " in done.stderr and "prefill 6" not in done.stderr
    done = measure(with_baseline.quality_command("q8_0/turbo4"), fault)
    assert "no result (ggml_metal_synchronize: error: command buffer 1 failed with status 5)" in done.stderr
    assert run_json(with_baseline.quality("q8_0/turbo4"))["attempts"] == 1


def test_a_baseline_that_was_damaged_since_is_made_again(with_baseline: Workplace) -> None:
    logits = with_baseline.baseline / "logits.kld"
    with logits.open("r+b") as file:
        file.truncate(logits.stat().st_size - 1)
    done = measure(with_baseline.quality_command("q8_0/q8_0"))
    assert done.returncode == 1
    assert "the baseline" in done.stderr and "1 bytes too short" in done.stderr
    # Snakemake makes what is missing.
    assert names(with_baseline.baseline) == ["stderr.log", "stdout.log"]
    assert names(with_baseline.quality("q8_0/q8_0")) == []


def test_a_disk_without_room_for_the_baseline_is_noticed_before(workplace: Workplace) -> None:
    model = json.loads(workplace.model_json.read_text())
    workplace.model_json.write_text(json.dumps(model | {"n_vocab": 2**40}))
    done = measure(workplace.baseline_command())
    assert done.returncode == 1
    assert f"kvsweep: error: {workplace.baseline}: the baseline needs 8176 TiB of disk and " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_changed_binary(workplace: Workplace) -> None:
    build = json.loads(workplace.build_json.read_text())
    build["files"]["llama-bench"] = "0" * 64
    workplace.build_json.write_text(json.dumps(build))
    done = measure(workplace.throughput_command("f16/f16"))
    assert done.returncode == 1
    assert done.stderr.startswith("kvsweep: error: ") and "the engine's file changed since" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(workplace: Workplace, signum: signal.Signals) -> None:
    command = [sys.executable, SCRIPTS / "measure.py", *workplace.throughput_command("f16/f16")]
    cell = workplace.throughput("f16/f16")
    runner = subprocess.Popen(
        command,
        env=os.environ | {"STAND_IN": "hang"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 30
    while not (cell / ".stderr.log.partial").exists():
        assert time.monotonic() < end and runner.poll() is None
        time.sleep(0.02)
    # The file is there before the engine is: a signal in between must not be lost either.
    os.killpg(runner.pid, signum)
    _, said = runner.communicate(timeout=30)
    assert runner.returncode == 128 + signum
    assert (
        said.splitlines()[-1] == "kvsweep: interrupted; the engine was ended, nothing of this cell was kept"
    )
    assert names(cell) == []


# -- what it decides --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "attempts", "summary"), [(1, 2, "KLD"), (5, 6, "KLD"), (9, 6, "no result")])
def test_a_run_that_lost_its_end_is_repeated_at_most_five_times(
    with_baseline: Workplace, lost: int, attempts: int, summary: str
) -> None:
    count = with_baseline.root / "count"
    fault = {"STAND_IN": "lost-end", "STAND_IN_COUNT": str(count), "STAND_IN_TIMES": str(lost)}
    done = measure(with_baseline.quality_command("q8_0/q8_0"), fault)
    assert done.returncode == 0
    assert done.stderr.count("lost the end of its output; running it again") == attempts - 1
    assert f"kvsweep:   q8_0 at context 1K: {summary}" in done.stderr
    run = run_json(with_baseline.quality("q8_0/q8_0"))
    assert run["attempts"] == attempts
    assert count.stat().st_size == attempts


def test_a_cell_that_is_predicted_to_take_too_long_is_skipped_at_once(workplace: Workplace) -> None:
    for depth in (0, 1024):
        assert measure(workplace.throughput_command("f16/f16", depth)).returncode == 0
    deep = [*workplace.throughput_command("f16/f16", depth=2**20, cell_hours=0.01), "--skip"]
    done = measure(deep, {"STAND_IN": "hang"})
    assert done.returncode == 0
    run = run_json(workplace.throughput("f16/f16", depth=2**20))
    assert run["skipped"].startswith("predicted to take ")
    assert run["skipped"].endswith(", over the limit of 0.01 h, from the cells at depth 0, 1024")
    assert run["skipped"] in done.stderr
    assert run["attempts"] == 0


def test_without_a_probe_nothing_is_skipped(workplace: Workplace) -> None:
    assert measure(workplace.throughput_command("f16/f16")).returncode == 0
    deep = [*workplace.throughput_command("f16/f16", depth=2**20, cell_hours=0.01), "--skip"]
    assert measure(deep).returncode == 0
    assert run_json(workplace.throughput("f16/f16", depth=2**20))["exit_status"] == 0


def test_a_probe_of_another_engine_predicts_nothing(workplace: Workplace) -> None:
    for depth in (0, 1024):
        assert measure(workplace.throughput_command("f16/f16", depth)).returncode == 0
    build = json.loads(workplace.build_json.read_text())
    workplace.build_json.write_text(json.dumps(build | {"commit": "another"}))
    deep = [*workplace.throughput_command("f16/f16", depth=2**20, cell_hours=0.01), "--skip"]
    assert measure(deep).returncode == 0
    assert "skipped" not in run_json(workplace.throughput("f16/f16", depth=2**20))


def remove_outputs(cell: Path) -> None:
    """What Snakemake does with the outputs of a job that it was killed before it could book."""
    for file in cell.iterdir():
        if file.is_file():
            file.unlink()


def test_a_cell_that_was_finished_when_the_run_was_killed_is_kept(with_baseline: Workplace) -> None:
    for cell, command in (
        (with_baseline.throughput("q8_0/turbo4"), with_baseline.throughput_command("q8_0/turbo4")),
        (with_baseline.quality("q8_0/turbo4"), with_baseline.quality_command("q8_0/turbo4")),
        (with_baseline.baseline, with_baseline.baseline_command()),
    ):
        assert measure(command).returncode == 0
        before = {file.name: file.read_bytes() for file in cell.iterdir() if file.is_file()}
        remove_outputs(cell)
        again = measure(command)
        assert "had been finished before; kept" in again.stderr
        assert {file.name: file.read_bytes() for file in cell.iterdir() if file.is_file()} == before


def test_a_cell_that_is_to_be_measured_again_is_measured_again(workplace: Workplace) -> None:
    cell, command = workplace.throughput("q8_0/turbo4"), workplace.throughput_command("q8_0/turbo4")
    measure(command)
    first = run_json(cell)["started_at"]
    # By hand, beside a record that is there.
    measure(command)
    second = run_json(cell)["started_at"]
    assert second != first
    # By the workflow, which removes the outputs and has dropped the second names of what is certain to change.
    remove_outputs(cell)
    drop_spare(cell)
    measure(command)
    third = run_json(cell)["started_at"]
    assert third != second
    # Another request is another measurement, whatever was finished.
    remove_outputs(cell)
    measure([*command, "--repetitions", "2"])
    assert run_json(cell)["started_at"] != third


def test_a_measurement_that_did_not_come_to_its_end_leaves_nothing_of_the_one_before_it(
    workplace: Workplace,
) -> None:
    cell, command = workplace.throughput("q8_0/turbo4"), workplace.throughput_command("q8_0/turbo4")
    measure(command)
    first = run_json(cell)["started_at"]
    assert measure(command, {"STAND_IN": "sigkill"}).returncode == 1
    remove_outputs(cell)
    measure(command)
    assert run_json(cell)["started_at"] != first


def test_a_baseline_that_cells_have_used_leaves_no_second_name_on_the_disk(with_baseline: Workplace) -> None:
    assert measure(with_baseline.baseline_command()).returncode == 0
    logits = with_baseline.baseline / "logits.kld"
    assert logits.stat().st_nlink == 2
    measure(with_baseline.quality_command("f16/f16"))
    assert logits.stat().st_nlink == 1
