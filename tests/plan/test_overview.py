"""How far a run has come, for a person at another terminal."""

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kvsweep.engine.scorer_file import SCORES
from kvsweep.measure.progress import RUNNING
from kvsweep.measure.record import Recorded
from kvsweep.plan import overview
from kvsweep.plan.overview import Finished, Running, as_text
from kvsweep.plan.plan import Known, Resources, make_plan
from kvsweep.study.cells import QualityCell, ThroughputCell
from kvsweep.study.config import Study, parse_study
from kvsweep.study.pairs import Pair
from kvsweep.tables.raw_cells import Outcome, RawCell
from scored_cell import scored_cell
from support import SCRIPTS, Workplace, measure, recorded

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
STUDY: Study = parse_study(
    {
        "engines": {"fork": {"source": {"path": "bin"}}},
        "models": {"m": {"path": "m.gguf"}},
        "corpora": {"text": {"path": "text"}},
        "pairs": ["f16", "q8_0/turbo4"],
        "quality": {"contexts": [1024], "chunks": 4},
        "throughput": {"depths": [0, 8192]},
    }
)
DEEP = ThroughputCell("fork", "m", 8192, Pair("q8_0", "turbo4"))


def known(*cells: tuple[ThroughputCell | QualityCell, str, str | None]) -> Known:
    run = {"prompt": 512, "generate": 128, "repetitions": 5, "chunks": 4}
    return Known(
        Resources(None, None, 0),
        cells={
            str(cell.directory): RawCell(
                cell, SCRIPTS, run | {"wall_seconds": 60.0}, (Outcome(None, status, why),)
            )
            for cell, status, why in cells
        },
    )


def lines(
    found: Known, running: list[Running] | None = None, last: list[Finished] | None = None
) -> list[str]:
    return as_text(make_plan(STUDY, found), running or [], last or [], NOW).splitlines()


def test_before_anything_is_measured() -> None:
    assert lines(known()) == [
        "throughput:  0 of 4 done",
        "quality:     0 of 2 done",
        "baseline:    0 of 1 done",
        "now:         nothing is being measured",
        "left:        6 cells and 1 baseline; 7 cannot be estimated yet",
    ]


def test_what_failed_says_why() -> None:
    shallow = dataclasses.replace(DEEP, depth=0)
    said = lines(known((shallow, "measured", None), (DEEP, "oom", "cudaMalloc failed")))
    assert said[0] == "throughput:  2 of 4 done (1 measured, 1 oom)"
    assert "failed:      oom: throughput q8_0/turbo4 at depth 8K (fork, m) (cudaMalloc failed)" in said


def test_what_is_being_measured() -> None:
    since = NOW - timedelta(seconds=200)
    (now,) = [
        line
        for line in lines(known(), [Running(DEEP, "node1", since, "test 1 of 2: prompt run 2/3", 3.0)])
        if line.startswith("now:")
    ]
    assert now.startswith("now:         throughput q8_0/turbo4 at depth 8K (fork, m) on node1, for ")
    assert now.endswith("3 min 20 s: test 1 of 2: prompt run 2/3")
    (now,) = [line for line in lines(known(), [Running(DEEP, None, since, None, 7200.0)]) if "now:" in line]
    assert now.endswith("; no sign of life for 2 h 00 min: the machine sleeps, or the run was killed")


def test_what_a_cell_measured() -> None:
    bench = Recorded(SCRIPTS, {}, recorded("fork/bench-q8_0-turbo4.jsonl").splitlines()[0] + "\n", "")
    assert overview.result_of(DEEP, bench).startswith("prefill ")
    quality = QualityCell("fork", "m", "text", 1024, Pair("q8_0", "q8_0"))
    kl = Recorded(SCRIPTS, {}, recorded("fork/kld-q8_0-q8_0.stdout"), recorded("fork/kld-q8_0-q8_0.stderr"))
    assert overview.result_of(quality, kl).startswith("KLD 0.")
    assert overview.result_of(quality, Recorded(SCRIPTS, {}, "", "")) == "no result"


def test_what_the_scorer_measured(tmp_path: Path) -> None:
    cell = QualityCell("mainline", "tiny", "text", 1024, Pair("q4_0", "q4_0"), method="scorer")
    scored = scored_cell(tmp_path / "cell", lambda _window, _position: 0.25)
    assert overview.result_of(cell, scored) == f"KLD 0.250000 nats, PPL {math.exp(2.125):.4f}"
    (tmp_path / "cell" / SCORES).unlink()
    assert overview.result_of(cell, scored) == "no result"


def test_numbers_are_written_in_full() -> None:
    """A GPU prefills more than 10,000 tokens a second, and an f16 is no less than nothing from itself."""
    line = json.loads(recorded("fork/bench-q8_0-turbo4.jsonl").splitlines()[0])
    # 128 tokens in 10 ms.
    line |= {"samples_ns": [10**7] * 2, "avg_ns": 10**7, "stddev_ns": 0}
    line |= {"samples_ts": [12800.0] * 2, "avg_ts": 12800.0, "stddev_ts": 0.0}
    bench = Recorded(SCRIPTS, {}, json.dumps(line) + "\n", "")
    assert overview.result_of(DEEP, bench) == "prefill 12,800 tokens/s"
    f16 = QualityCell("mainline", "tiny", "text", 1024, Pair("f16", "f16"))
    name = "mainline/kld-f16-f16-control"
    control = Recorded(SCRIPTS, {}, recorded(f"{name}.stdout"), recorded(f"{name}.stderr"))
    assert overview.result_of(f16, control).startswith("KLD 0.000000 nats, PPL ")


def test_the_program_at_another_terminal(workplace: Workplace) -> None:
    results = workplace.root / "results"
    command: list[str | Path] = [sys.executable, SCRIPTS / "show_status.py", "--results", results]
    nothing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert nothing.returncode == 1
    assert nothing.stderr.startswith("kvsweep: error: ") and "no run was started here yet" in nothing.stderr
    study = {
        "engines": {"stand-in": {"source": {"path": "bin"}, "backend": "cpu", "env": {"TURBO_EXAMPLE": 1}}},
        "models": {"tiny": {"path": "tiny.gguf"}},
        "pairs": ["f16", "q8_0/turbo4"],
        "throughput": {"depths": [512, 1024], "prompt": 64, "generate": 16, "repetitions": 3},
    }
    (results / "config.json").write_text(json.dumps(study))
    measure(workplace.throughput_command("q8_0/turbo4", depth=512))
    cell = workplace.throughput("q8_0/turbo4", depth=1024)
    runner = subprocess.Popen(
        [sys.executable, SCRIPTS / "measure.py", *workplace.throughput_command("q8_0/turbo4", depth=1024)],
        env=os.environ | {"STAND_IN": "hang"},
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while not ((cell / RUNNING).exists() and (cell / ".stderr.log.partial").exists()):
        assert time.monotonic() < end
        time.sleep(0.05)
    before = sorted(path for path in results.rglob("*") if path.is_file())
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(path for path in results.rglob("*") if path.is_file()) == before
    runner.terminate()
    runner.wait()
    said = done.stdout.splitlines()
    assert said[0] == "throughput:  1 of 4 done (1 measured)"
    assert said[1].startswith("now:         throughput q8_0/turbo4 at depth 1K (stand-in, tiny) on ")
    assert said[2].startswith("last:        ") and "at depth 512 (stand-in, tiny): prefill " in said[2]
    assert said[-1].startswith("left:        3")


@pytest.mark.parametrize("broken", ["", "{", "[1]"])
def test_a_sign_of_life_that_is_being_written_is_none(workplace: Workplace, broken: str) -> None:
    cell = workplace.throughput("q8_0/turbo4", depth=1024)
    cell.mkdir(parents=True)
    (cell / RUNNING).write_text(broken)
    results = workplace.root / "results"
    (results / "config.json").write_text(
        json.dumps(
            {
                "engines": {
                    "stand-in": {"source": {"path": "bin"}, "backend": "cpu", "env": {"TURBO_EXAMPLE": 1}}
                },
                "models": {"tiny": {"path": "tiny.gguf"}},
                "pairs": ["q8_0/turbo4"],
                "throughput": {"depths": [1024]},
            }
        )
    )
    done = subprocess.run(
        [sys.executable, SCRIPTS / "show_status.py", "--results", results],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "nothing is being measured" in done.stdout) == (0, True), done.stderr
