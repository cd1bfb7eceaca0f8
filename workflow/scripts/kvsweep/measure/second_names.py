"""Second names for the files of a finished cell, so that it stays finished when Snakemake removes them.

Snakemake removes the outputs of a job that it starts, or that it was killed before it could book.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, partial, write_json
from kvsweep.measure.record import read_recorded

_SPARE = ".finished"
# What may differ between two descriptions of the same measurement. The engine's files say more than their manifest.
_NOT_THE_CELL = ("machine", "time_limit_seconds", "build_sha256")


def spare(directory: Path, names: Sequence[str], record: Mapping[str, Any]) -> None:
    """Give a finished cell's files second names, all of them before run.json has its own."""
    drop_spare(directory)
    spare = directory / _SPARE
    make_directory(spare)
    try:
        for name in names:
            (spare / name).hardlink_to(directory / name)
    except OSError:  # a file system without hard links: such a cell is measured again
        drop_spare(directory)
        return
    write_json(spare / "run.json", record)


def drop_spare(directory: Path) -> None:
    """Remove a cell's second names: it is to be measured again."""
    shutil.rmtree(directory / _SPARE, ignore_errors=True)


def restore_finished(directory: Path, wanted: dict[str, Any]) -> bool:
    """Whether this cell had been finished before, by the same engine, model and command. Then its files are back.

    ``wanted`` is what run.json says before anything ran. A cell that is to be measured again for certain has no second
    names any more: they were dropped when the run started.
    """
    if (directory / "run.json").exists():
        return False
    try:
        found = read_recorded(directory / _SPARE).run
    except KvsweepError:
        return False
    # Of files the contents count, which are compared by their checksums.
    for one in (found, wanted):
        one["command"] = [Path(word).name if word.startswith("/") else word for word in one["command"]]
    if any(found.get(key) != value for key, value in wanted.items() if key not in _NOT_THE_CELL):
        return False
    for file in sorted((directory / _SPARE).iterdir(), key=lambda path: path.name == "run.json"):
        beside = partial(directory / file.name)
        beside.unlink(missing_ok=True)
        beside.hardlink_to(file)
        beside.replace(directory / file.name)
    return True
