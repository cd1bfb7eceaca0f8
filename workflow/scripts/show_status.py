#!/usr/bin/env python
"""Shows how far a run has come. Reads only the results directory, and changes nothing in it."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json
from kvsweep.measure.progress import RUNNING
from kvsweep.measure.record import read_recorded
from kvsweep.plan.last_run import last_study
from kvsweep.plan.overview import Finished, Running, as_text, result_of
from kvsweep.plan.plan import Known, make_plan
from kvsweep.plan.rename import check_finished
from kvsweep.program import add_base, run_program
from kvsweep.study.cells import BaselineRun, Cell, all_cells, baseline_runs
from kvsweep.study.config import Study
from kvsweep.tables.raw_cells import DAMAGED
from make_plan import read_known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results directory")
    add_base(parser)
    arguments = parser.parse_args()
    results: Path = arguments.results
    check_finished(results)
    study = last_study(results)
    known = read_known(study, results, arguments.base)
    text = as_text(
        make_plan(study, known),
        running(study, results),
        finished(known),
        datetime.now(UTC),
    )
    print(text, end="", flush=True)


def running(study: Study, results: Path) -> list[Running]:
    cells: list[Cell | BaselineRun] = [*baseline_runs(study), *all_cells(study)]
    found = []
    for cell in cells:
        path = results / cell.directory / RUNNING
        try:
            sign = read_json(path)
            since = datetime.fromisoformat(sign["started_at"])
            silent_seconds = time.time() - path.stat().st_mtime
            found.append(Running(cell, sign["host"], since, sign["said"], silent_seconds))
        except (KvsweepError, OSError, KeyError, TypeError, ValueError):
            continue  # there is none, or it has ended in between
    return found


def finished(known: Known) -> list[Finished]:
    """The five cells whose engines were started last, the last one first."""
    started = [raw for raw in known.cells.values() if raw.status != DAMAGED and raw.run.get("started_at")]
    started.sort(key=lambda raw: str(raw.run["started_at"]), reverse=True)
    return [
        Finished(
            raw.cell,
            datetime.fromisoformat(raw.run["started_at"]),
            raw.run["wall_seconds"],
            result_of(raw.cell, read_recorded(raw.directory)),
        )
        for raw in started[:5]
    ]


if __name__ == "__main__":
    run_program(main)
