"""What is known under ``results/`` of the run that began there last: its configuration, as it was, and its cells."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, write_json
from kvsweep.plan.counts import Run, Standing, cells_of, read_standings, write_cells
from kvsweep.plan.current import Current
from kvsweep.plan.names import new_names
from kvsweep.plan.warnings import number
from kvsweep.study.cells import BaselineRun, Cell
from kvsweep.study.config import Study, parse_study

LAST_RUN = "last-run.json"
_MOST_REASONS = 3


def last_configuration(results: Path) -> Mapping[str, Any]:
    """The configuration of the last run. Raises KvsweepError where there was none.

    Older kvsweep wrote only what the tables are made of, without limits.
    """
    for name, key in ((LAST_RUN, "configuration"), ("config.json", None)):
        if (results / name).is_file():
            found = read_json(results / name)
            configuration: Mapping[str, Any] = found[key] if key else found
            return configuration
    raise KvsweepError(
        f"{results}: no run was started here yet; start one with snakemake, or name the directory of another study: "
        "make status STUDY=directory."
    )


def begin(
    study: Study,
    configuration: Mapping[str, Any],
    configfiles: str,
    results: Path,
    now: Current,
    measured_anyway: Iterable[str],
) -> list[str]:
    """Write down what begins. Returns what has to be said of what is here already: one sentence each.

    Raises KvsweepError, before anything is measured again, where what was measured only has another name now.
    """
    if (last := _last_study(results)) is not None:
        for sentence in _renamed(last, study, _measured_then(last, study, results)):
            raise KvsweepError(f"{sentence}. Nothing was measured.")
    found = read_standings(study, results, now)
    notes = [*of_another_study(study, results), *measured_again(found)]
    write_cells(found, results, measured_anyway)
    write_json(results / LAST_RUN, {"format": 1, "configfiles": configfiles, "configuration": configuration})
    return notes


def of_another_study(study: Study, results: Path) -> list[str]:
    """Says of measured cells that the last configuration asked for and this one does not: the report will lose them."""
    last = _last_study(results)
    if last is None:
        return []
    gone = _measured_then(last, study, results)
    renamed = list(_renamed(last, study, gone))
    names = sorted({f"{cell.engine}, {cell.model}" for cell in gone})
    shown = "; ".join(names[:_MOST_REASONS]) + ("; ..." if len(names) > _MOST_REASONS else "")
    notes = [f"note: {sentence}" for sentence in renamed]
    if gone and not renamed:
        notes.append(
            f"note: {results.resolve()} was last used with another configuration; "
            f"{number(len(gone), 'measured cell')} of it ({shown}) stay there and will not be in the new report. "
            "To keep two studies apart, give each a directory: make run STUDY=directory CONFIG=file"
        )
    if last.machine and study.machine and last.machine != study.machine:
        notes.append(
            f"note: the machine was called {last.machine!r} in the last run; if it is the same one, "
            f"make rename MACHINE={shlex.quote(f'{last.machine}:{study.machine}')} gives its rows the new name"
        )
    return notes


def _last_study(results: Path) -> Study | None:
    """None if there was no run, or none that this kvsweep reads."""
    try:
        return parse_study(last_configuration(results))
    except (KvsweepError, TypeError, KeyError):
        return None


def _measured_then(last: Study, study: Study, results: Path) -> list[Cell]:
    """The cells that were measured for the last configuration, of which this one does not ask for."""
    asked = set(cells_of(study))
    return [
        cell
        for cell in cells_of(last)
        if cell not in asked and (results / cell.directory / "run.json").is_file()
    ]


def _renamed(last: Study, study: Study, gone: Iterable[Cell]) -> Iterator[str]:
    """What was measured under another name."""
    used = {name for cell in gone for name in (cell.engine, cell.model, getattr(cell, "corpus", None))}
    for kind, old, new in new_names(last, study):
        if old in used:
            command = f"make rename {kind}={shlex.quote(f'{old}:{new}')}"
            yield f"{old!r} is called {new!r} in this configuration; {command} keeps what was measured"


def measured_again(standings: Mapping[Run, Standing]) -> list[str]:
    """Says of finished cells that are measured again, and why, before the old results are replaced."""
    reasons: Counter[str] = Counter(
        standing.change.reason
        for run, standing in standings.items()
        if not isinstance(run, BaselineRun) and standing.recorded and standing.change is not None
    )
    return [
        f"note: {number(count, 'finished cell')} will be measured again: {reason}"
        for reason, count in reasons.most_common(_MOST_REASONS)
    ]
