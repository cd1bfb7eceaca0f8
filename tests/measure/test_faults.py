"""Faults of an engine, through the program that measures and into a table's row: each ends as status.py says, or stops
the run with one sentence where the engine is not to blame."""

import json
from pathlib import Path

import pytest
from kvsweep.measure.record import read_recorded
from kvsweep.study.cells import QualityCell, ThroughputCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import rows as tables
from support import Workplace, measure, run_json

# Hours. A stand-in that has not even started by then is as late as one that hangs.
SHORT = 0.6 / 3600


def throughput_row(workplace: Workplace, pair: str) -> dict[str, tables.Row]:
    """The cell's rows by phase."""
    build, model = (json.loads(path.read_text()) for path in (workplace.build_json, workplace.model_json))
    cell = ThroughputCell("stand-in", "tiny", 0, Pair.parse(pair))
    rows = tables.throughput_rows(cell, read_recorded(workplace.throughput(pair)), build, model)
    return {row["phase"]: row for row in rows}


def quality_row(workplace: Workplace, pair: str) -> tables.Row:
    build, model = (json.loads(path.read_text()) for path in (workplace.build_json, workplace.model_json))
    cell = QualityCell("stand-in", "tiny", "text", 1024, Pair.parse(pair))
    return tables.quality_row(cell, read_recorded(workplace.quality(pair)), build, model)


@pytest.mark.parametrize(
    ("fault", "prefill", "decode", "reason"),
    [
        ("", "measured", "measured", None),
        ("oom", "oom", "oom", "the engine could not allocate memory"),
        ("hang", "timeout", "timeout", "not finished after the limit of 1 s"),
        ("endless", "timeout", "timeout", "not finished after the limit of 1 s"),
        ("garbage", "crashed", "crashed", "llama-bench ended without this result (exit status 0)"),
        ("no-result", "crashed", "crashed", "llama-bench ended without this result (exit status 0)"),
        ("crash-half", "measured", "crashed", "llama-bench ended without this result (SIGSEGV)"),
        ("lost-end", "measured", "crashed", "llama-bench ended without this result (exit status 0)"),
    ],
)
def test_throughput(workplace: Workplace, fault: str, prefill: str, decode: str, reason: str | None) -> None:
    hours = SHORT if fault in ("hang", "endless") else 1
    done = measure(workplace.throughput_command("q8_0/q8_0", cell_hours=hours), {"STAND_IN": fault})
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    rows = throughput_row(workplace, "q8_0/q8_0")
    assert (rows["prefill"]["status"], rows["decode"]["status"]) == (prefill, decode)
    found = rows["decode"]["reason"]
    assert (found is None) if reason is None else reason in found
    cell = workplace.throughput("q8_0/q8_0")
    assert set(content(cell)) == {"bench.jsonl", "run.json", "stderr.log"}
    assert all(size_bytes < 1.1 * 2**20 for size_bytes in content(cell).values())


@pytest.mark.parametrize(
    ("fault", "status", "reason", "attempts"),
    [
        ("", "measured", None, 1),
        ("oom", "oom", "the engine could not allocate memory", 1),
        ("hang", "timeout", "not finished after the limit of 1 s", 1),
        ("endless", "timeout", "not finished after the limit of 1 s", 1),
        ("garbage", "crashed", "closing statistics lack", 6),
        ("no-result", "crashed", "closing statistics lack", 6),
        ("crash-half", "crashed", "(SIGSEGV)", 1),
        ("lost-end", "crashed", "closing statistics lack", 6),
    ],
)
def test_quality(
    with_baseline: Workplace, fault: str, status: str, reason: str | None, attempts: int
) -> None:
    hours = SHORT if fault in ("hang", "endless") else 1
    done = measure(with_baseline.quality_command("q8_0/q8_0", cell_hours=hours), {"STAND_IN": fault})
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    row = quality_row(with_baseline, "q8_0/q8_0")
    assert row["status"] == status
    assert (row["reason"] is None) if reason is None else reason in row["reason"]
    assert run_json(with_baseline.quality("q8_0/q8_0"))["attempts"] == attempts


def test_a_type_that_the_engine_refuses(workplace: Workplace) -> None:
    assert measure(workplace.throughput_command("turbo9/q8_0")).returncode == 0
    rows = throughput_row(workplace, "turbo9/q8_0")
    assert {row["status"] for row in rows.values()} == {"unsupported"}
    assert rows["prefill"]["reason"] == "the engine refuses these cache types"


def test_other_pairs_are_measured_all_the_same(workplace: Workplace) -> None:
    fault = {"STAND_IN": "oom", "STAND_IN_PAIR": "f32/f32"}
    for pair in ("f32/f32", "q8_0/q8_0"):
        assert measure(workplace.throughput_command(pair), fault).returncode == 0
    assert throughput_row(workplace, "f32/f32")["decode"]["status"] == "oom"
    assert throughput_row(workplace, "q8_0/q8_0")["decode"]["status"] == "measured"


@pytest.mark.parametrize("kind", ["throughput", "quality", "baseline"])
def test_a_kill_from_outside_stops_the_run(with_baseline: Workplace, kind: str) -> None:
    command, cell = {
        "throughput": (with_baseline.throughput_command("f16/f16"), with_baseline.throughput("f16/f16")),
        "quality": (with_baseline.quality_command("f16/f16"), with_baseline.quality("f16/f16")),
        "baseline": (with_baseline.baseline_command(), with_baseline.baseline),
    }[kind]
    before = content(cell)
    done = measure(command, {"STAND_IN": "sigkill"})
    assert done.returncode == 1
    assert "kvsweep: error: the engine was ended from outside (SIGKILL)" in done.stderr
    assert "Traceback" not in done.stderr
    assert content(cell) == before


def content(cell: Path) -> dict[str, int]:
    """The cell's files and their sizes, in bytes."""
    return {path.name: path.stat().st_size for path in cell.glob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "oom",
            "the baseline at context 1024 was not written (the engine ended with exit status 1; "
            "its last line: main: error: failed to create context with model 'tiny-gqa2.gguf')",
        ),
        ("hang", "(the engine ended with time limit"),
        ("crash-half", "(the engine ended with SIGSEGV"),
        ("no-result", "(the engine ended with exit status 0"),
        ("short-baseline", "bytes too short"),
    ],
)
def test_a_baseline_that_failed_stops_the_run(workplace: Workplace, fault: str, said: str) -> None:
    hours = SHORT if fault == "hang" else 1
    done = measure(workplace.baseline_command(hours), {"STAND_IN": fault})
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert content(workplace.baseline) == {}
