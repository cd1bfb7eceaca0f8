"""What is known under ``results/`` of the run that began there last: its configuration, as it was, and its cells."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, write_json
from kvsweep.plan.counts import LAST_RUN, Standing, write_cells
from kvsweep.plan.current import Current
from kvsweep.plan.names import measured_as, new_names
from kvsweep.plan.rename import can_be_renamed, measured_cells
from kvsweep.plan.standing import StudyOnDisk
from kvsweep.study.cells import Cell, all_cells
from kvsweep.study.complaints import ConfigError
from kvsweep.study.config import Study, parse_study
from kvsweep.units import plural

_MOST_REASONS = 3


def last_configuration(results: Path) -> Mapping[str, Any]:
    """The configuration of the last run. Raises KvsweepError where there was none.

    Older kvsweep wrote only what the tables are made of, without limits.
    """
    for name, key in ((LAST_RUN, "configuration"), ("config.json", None)):
        if (results / name).is_file():
            found = read_json(results / name)
            if key and isinstance(found, dict):
                found = found.get(key)
            if not isinstance(found, dict):
                raise KvsweepError(
                    f"{results / name}: holds no configuration; remove the file and start a run again."
                )
            return found
    raise KvsweepError(
        f"{results}: no run was started here yet; start one with snakemake, or name the directory of another study: "
        "make status STUDY=directory."
    )


def last_study(results: Path) -> Study:
    """The study that the last run asked for. Raise KvsweepError if there is none, or if this kvsweep refuses it."""
    configuration = last_configuration(results)
    try:
        return parse_study(configuration)
    except ConfigError as error:
        raise KvsweepError(
            f"{results}: the configuration of the last run is not valid any more: {error} "
            "Correct your file and start a run or make a plan with it; what was measured stays."
        ) from None


def begin(
    stands: StudyOnDisk, configuration: Mapping[str, Any], configfiles: str, measured_anyway: Iterable[str]
) -> list[str]:
    """Write down what begins. Returns what has to be said of what is here already: one sentence each.

    Raises KvsweepError, before anything is measured again, where what was measured only has another name now.
    """
    study, results, now = stands.study, stands.results, stands.now
    elsewhere = _measured_elsewhere(study, results, now, to_be_renamed=True)
    for sentence in (*_renamed(study, results).values(), *elsewhere.values()):
        raise KvsweepError(f"{sentence}. Nothing was measured.")
    found = stands.cells()
    notes = [*of_another_study(study, results, now), *measured_again(found)]
    write_cells(found, results, measured_anyway)
    write_json(results / LAST_RUN, {"format": 1, "configfiles": configfiles, "configuration": configuration})
    return notes


def of_another_study(study: Study, results: Path, now: Current) -> list[str]:
    """Says of measured cells that the last configuration asked for and this one does not: the report will lose them.

    And of the same model or text, measured under another name.
    """
    # What is known by its place in the configuration and by its content is said once.
    renamed = {
        **_measured_elsewhere(study, results, now, to_be_renamed=True),
        **_measured_elsewhere(study, results, now, to_be_renamed=False),
        **_renamed(study, results),
    }
    notes = [f"note: {sentence}" for sentence in renamed.values()]
    last = _last_study(results)
    if last is None:
        return notes
    gone = _measured_then(last, study, results)
    names = sorted({f"{cell.engine}, {cell.model}" for cell in gone})
    shown = "; ".join(names[:_MOST_REASONS]) + ("; ..." if len(names) > _MOST_REASONS else "")
    if gone and not renamed:
        notes.append(
            f"note: {results.resolve()} was last used with another configuration; "
            f"{plural(len(gone), 'measured cell')} of it ({shown}) stay there and will not be in the new report. "
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
    """The measured cells that the last configuration asked for and this one does not."""
    asked = set(all_cells(study))
    return [
        cell
        for cell in all_cells(last)
        if cell not in asked and (results / cell.directory / "run.json").is_file()
    ]


# A kind, its old name and its new one.
_Renaming = tuple[str, str, str]


def _renamed(study: Study, results: Path) -> dict[_Renaming, str]:
    """What the last configuration has under another name, and was measured."""
    last = _last_study(results)
    if last is None:
        return {}
    gone = _measured_then(last, study, results)
    used = {name for cell in gone for name in (cell.engine, cell.model, getattr(cell, "corpus", None))}
    return {
        (
            kind,
            old,
            new,
        ): f"{old!r} is called {new!r} in this configuration; {_command(kind, old, new)} keeps what "
        "was measured"
        for kind, old, new in new_names(last, study)
        if old in used
    }


def _measured_elsewhere(
    study: Study, results: Path, now: Current, *, to_be_renamed: bool
) -> dict[_Renaming, str]:
    """What was measured of the same content under a name that is not asked for; it can have the new name as long as
    nothing else has that."""
    found = {}
    for kind, old, new in measured_as(study, now, results):
        cells = measured_cells(results, kind, old)
        if cells and can_be_renamed(results, kind, new) == to_be_renamed:
            said = f"{new!r} has the same content as {old!r}, with {plural(cells, 'cell')} measured here"
            found[kind, old, new] = (
                f"{said}; {_command(kind, old, new)} keeps them"
                if to_be_renamed
                else f"{said}; both names have results, so they stay apart"
            )
    return found


def _command(kind: str, old: str, new: str) -> str:
    return f"make rename {kind}={shlex.quote(f'{old}:{new}')}"


def measured_again(standings: Mapping[Cell, Standing]) -> list[str]:
    """Says of finished cells that are measured again, and why, before the old results are replaced."""
    reasons = Counter(one.change.reason for one in standings.values() if one.change is not None)
    return [
        f"note: {plural(count, 'finished cell')} will be measured again: {reason}"
        for reason, count in reasons.most_common(_MOST_REASONS)
    ]
