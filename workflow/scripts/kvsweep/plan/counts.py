"""Which runs of a study are done and which are to do: decided here alone, from the configuration and the records.

Snakemake's inputs, the plan, the status and the numbers that a run says while it measures all ask here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, write_text
from kvsweep.measure.progress import CELLS, stamp
from kvsweep.measure.record import NO_RECORD
from kvsweep.plan.changes import Change, change
from kvsweep.plan.current import Current
from kvsweep.study.cells import BaselineRun, Cell, QualityCell, all_cells, baseline_runs
from kvsweep.study.config import Study

LOGITS = "logits.kld"
# What the last run was started with (``last_run.py``).
LAST_RUN = "last-run.json"
Run = Cell | BaselineRun


class Standing(NamedTuple):
    """``recorded``: there is a run.json, whatever stands in it. ``change``: why it is measured again, if it is."""

    recorded: bool
    change: Change | None

    @property
    def done(self) -> bool:
        return self.recorded and self.change is None


def read_record(directory: Path) -> Mapping[str, Any] | None:
    """run.json of a cell or baseline: None if there is none, empty if it cannot be used.

    A record that cannot be used says nothing that has changed: it stays until it is forgotten.
    """
    path = directory / "run.json"
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except KvsweepError:
        return {}
    return found if isinstance(found, dict) else {}


def standing(run: Run, record: Mapping[str, Any] | None, study: Study, now: Current) -> Standing:
    """Where one run stands by its own record."""
    if record is None:
        return Standing(False, None)
    try:
        return Standing(True, change(run, record, study, now))
    except NO_RECORD:
        return Standing(True, None)


def standings(
    study: Study, records: Mapping[str, Mapping[str, Any]], with_logits: Iterable[str], now: Current
) -> dict[Run, Standing]:
    """Where every cell and baseline of the study stands; ``records`` and ``with_logits`` by directory.

    A baseline is there for its cells: it is to do only for a cell that is, and then also where its log-probabilities
    are gone.
    """
    found: dict[Run, Standing] = {
        run: standing(run, records.get(str(run.directory)), study, now) for run in all_cells(study)
    }
    asked_for = {
        run.baseline
        for run, one in found.items()
        if isinstance(run, QualityCell) and run.method == "perplexity" and not one.done
    }
    there = set(with_logits)
    for run in baseline_runs(study):
        own = standing(run, records.get(str(run.directory)), study, now)
        if run not in asked_for:
            own = Standing(True, None)
        elif own.recorded and str(run.directory) not in there:
            own = Standing(True, own.change or Change("its log-probabilities are gone"))
        found[run] = own
    return found


def write_cells(found: Mapping[Cell, Standing], results: Path, measured_anyway: Iterable[str]) -> None:
    """The list that a run counts by: a line for each cell, with the stamp of a record that is to be measured again.

    ``measured_anyway`` are directories of cells that are done and that the user asked to measure again.
    """
    again = set(measured_anyway)
    lines = []
    for cell, one in found.items():
        is_old = one.recorded and (not one.done or str(cell.directory) in again)
        old = stamp(results / cell.directory) if is_old else None
        lines.append(f"{cell.directory}" + (f"\t{old}" if old else "") + "\n")
    write_text(results / CELLS, "".join(lines))
