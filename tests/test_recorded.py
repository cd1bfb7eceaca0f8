"""A cell's record on disk, verified before anyone reads it."""

import json
from pathlib import Path

import pytest
from kvsweep.cache_types import Pair
from kvsweep.errors import KvsweepError
from kvsweep.files import sha256
from kvsweep.recorded import measured_curve, read_recorded
from support import Workplace, measure, run_json


def test_a_record(workplace: Workplace) -> None:
    measure(workplace.throughput_command("q8_0/q8_0"))
    record = read_recorded(workplace.throughput("q8_0/q8_0"))
    assert record.run["ctk"] == "q8_0"
    assert record.stdout.startswith('{"build_commit"')
    assert record.stderr.startswith("llama-bench: benchmark 1/2: starting")


def test_a_file_that_is_not_the_one_that_was_measured(workplace: Workplace) -> None:
    measure(workplace.throughput_command("q8_0/q8_0"))
    cell = workplace.throughput("q8_0/q8_0")
    with (cell / "bench.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(KvsweepError) as caught:
        read_recorded(cell)
    assert str(caught.value) == (
        f"{cell}/bench.jsonl: changed since it was measured (its sha256 is not the one in run.json); "
        f"remove {cell} to measure the cell again."
    )
    (cell / "bench.jsonl").unlink()
    with pytest.raises(
        KvsweepError, match=r"bench\.jsonl: cannot be read \(No such file or directory\); measure the cell"
    ):
        read_recorded(cell)


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(KvsweepError, match=r"run\.json: this file is missing"):
        read_recorded(tmp_path)


def test_output_that_is_no_text(workplace: Workplace) -> None:
    measure(workplace.throughput_command("q8_0/q8_0"), {"STAND_IN": "garbage"})
    assert "�" in read_recorded(workplace.throughput("q8_0/q8_0")).stdout


def curve(workplace: Workplace, pair: str, build: str | None = None) -> dict[int, tuple[bool, bool]]:
    """By depth, whether prefill and decode are known."""
    place = workplace.throughput(pair).parents[2]
    model = json.loads(workplace.model_json.read_text())["sha256"]
    found = measured_curve(place, Pair.parse(pair), build or sha256(workplace.build_json), model)
    return {depth: (rates.prefill > 0, rates.decode is not None) for depth, rates in found.items()}


def test_what_has_been_measured_of_a_pair(workplace: Workplace) -> None:
    for depth in (0, 1024):
        measure(workplace.throughput_command("q8_0/q8_0", depth))
    measure(workplace.throughput_command("q8_0/q8_0", 2048), {"STAND_IN": "crash-half"})
    measure(workplace.throughput_command("q8_0/q8_0", 4096), {"STAND_IN": "oom"})
    measure(workplace.throughput_command("f16/f16"))
    assert curve(workplace, "q8_0/q8_0") == {0: (True, True), 1024: (True, True), 2048: (True, False)}
    assert curve(workplace, "q8_0/q8_0", build="another engine") == {}
    # A damaged record predicts nothing.
    (workplace.throughput("q8_0/q8_0", 1024) / "bench.jsonl").write_text("")
    (workplace.throughput("q8_0/q8_0", 0) / "run.json").write_text("{")
    assert curve(workplace, "q8_0/q8_0") == {2048: (True, False)}
    assert run_json(workplace.throughput("f16/f16"))["ctk"] == "f16"
