"""What a person at the terminal sees while an engine runs."""

import time
from pathlib import Path

import pytest
from kvsweep.measure.progress import CELLS, Progress, count_done, stamp
from kvsweep.measure.quality import describe_perplexity
from kvsweep.measure.throughput import describe_bench
from support import recorded


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_line_every_15_seconds_if_there_is_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    said: list[str] = []
    steps = iter([None, "window 1", "window 1", "window 2"])
    shown = Progress(tmp_path, lambda _directory, _elapsed: next(steps), said.append)
    for _ in range(4 * 15 + 1):
        shown.tick()
        clock.now += 1
    assert said == ["  window 1", "  window 2"]


def test_where_llama_bench_is(tmp_path: Path) -> None:
    log = recorded("fork/bench-f16-f16.stderr")
    beside = tmp_path / ".stderr.log.partial"
    assert describe_bench(tmp_path, 1) is None
    beside.write_text(
        log[: log.index("benchmark 3/6: prompt run 2/3") + len("benchmark 3/6: prompt run 2/3\n")]
    )
    assert describe_bench(tmp_path, 200) == "test 3 of 6: prompt run 2/3, 3 min 20 s so far"


def test_where_llama_perplexity_is(tmp_path: Path) -> None:
    describe = describe_perplexity(8)
    assert describe(tmp_path, 1) is None
    (tmp_path / ".stderr.log.partial").write_text("")
    (tmp_path / ".stdout.log.partial").write_text("[1]1628.8835,[2]1686.0997,")
    assert describe(tmp_path, 30) == "window 2 of 8, about 1 min 30 s left"
    table = recorded("fork/kld-q8_0-q8_0.stdout")
    (tmp_path / ".stdout.log.partial").write_text(table[: table.index("   6  ")])
    assert describe(tmp_path, 50) == "window 5 of 8, about 30 s left"


def test_bytes_that_are_no_text_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".stderr.log.partial").write_bytes(b"\xff\xfe" * 5000)
    assert describe_bench(tmp_path, 1) is None
    assert describe_perplexity(8)(tmp_path, 1) is None


def test_how_many_cells_are_done(tmp_path: Path) -> None:
    assert count_done(tmp_path) is None
    old = tmp_path / "throughput" / "b"
    old.mkdir(parents=True)
    (old / "run.json").touch()
    (tmp_path / CELLS).write_text(f"throughput/a\nthroughput/b\nquality/c\nquality/d\t{stamp(old)}\n")
    assert count_done(tmp_path) == (1, 4)
    assert count_done(tmp_path, besides="quality/c") == (2, 4)


def test_a_record_that_is_measured_again_counts_when_it_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("old")
    (tmp_path / CELLS).write_text(f".\t{stamp(tmp_path)}\n")
    assert count_done(tmp_path) == (0, 1)
    (tmp_path / "run.json").unlink()
    assert count_done(tmp_path) == (0, 1)
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").replace(tmp_path / "run.json")
    assert count_done(tmp_path) == (1, 1)
