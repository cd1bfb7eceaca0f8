"""A cell's record on disk, verified before anyone reads it."""

from pathlib import Path

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.measure.record import read_recorded
from support import Workplace, measure


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
    with pytest.raises(KvsweepError, match=r"bench\.jsonl: this file is missing; measure the cell"):
        read_recorded(cell)


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(KvsweepError, match=r"run\.json: this file is missing"):
        read_recorded(tmp_path)


def test_output_that_is_no_text(workplace: Workplace) -> None:
    measure(workplace.throughput_command("q8_0/q8_0"), {"STAND_IN": "garbage"})
    assert "�" in read_recorded(workplace.throughput("q8_0/q8_0")).stdout
