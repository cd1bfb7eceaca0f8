#!/usr/bin/env python
"""Removes the records of the measured cells that it is told to forget, so that the next run measures them again.

Name cells by what they are or how they ended, for example STATUS=timeout or PAIR=q8_0/q4_0 DEPTH=64K; several names
together mean the cells to which all apply. DRY=1 only lists them. Baselines, manifests and logs stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import not_writable
from kvsweep.measure.second_names import drop_spare
from kvsweep.measure.tasks.spool import SPOOL
from kvsweep.plan.forget import NAMES, parse_selection, select, why_nothing
from kvsweep.program import is_dry, names_of, run_program, say, take_names
from kvsweep.tables.raw_cells import RawCell, find_cells, read_raw_cell
from kvsweep.units import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    take_names(parser, "NAME=value", f"{', '.join(NAMES)}, or DRY")
    arguments = parser.parse_args()
    asked = names_of(arguments, "STATUS=timeout")
    dry = is_dry(asked)
    selection = parse_selection(asked)
    cells = [read_raw_cell(*found) for found in find_cells(arguments.results)]
    chosen = select(cells, selection)
    if not chosen:
        raise KvsweepError(f"nothing was forgotten: {why_nothing(cells, selection)}")
    for raw in chosen:
        print(f"{raw.directory}: {describe(raw)}")
        if not dry:
            remove_record(raw.directory, arguments.results)
    number = plural(len(chosen), "cell")
    if dry:
        say(f"{number} would be forgotten; this was a dry run, nothing was removed")
    else:
        say(f"{number} forgotten; the next run measures again what the configuration still asks for")


def describe(raw: RawCell) -> str:
    """``timeout (not finished after the limit of 3 h)``; by phase where the two ended differently."""
    texts = [
        (f"{outcome.phase} " if outcome.phase else "")
        + outcome.status
        + (f" ({outcome.reason})" if outcome.reason else "")
        for outcome in raw.outcomes
    ]
    same = len({(outcome.status, outcome.reason) for outcome in raw.outcomes}) == 1
    return texts[0].removeprefix(f"{raw.outcomes[0].phase} ") if same else ", ".join(texts)


def remove_record(directory: Path, results: Path) -> None:
    """Remove the files of one cell, run.json first: what is left of an interrupted removal is no cell."""
    record = directory / "run.json"
    try:
        record.unlink()
        drop_spare(directory)
        for path in sorted(directory.iterdir()):
            # Of a task that did not come to its end the answers that it has are good.
            if path.name != SPOOL and (path.is_symlink() or not path.is_dir()):
                path.unlink()
        for empty in (directory, *directory.parents):
            if empty == results or any(empty.iterdir()):
                break
            empty.rmdir()
    except OSError as error:
        raise not_writable(Path(error.filename or record), error) from error


if __name__ == "__main__":
    run_program(main)
