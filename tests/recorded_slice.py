"""A slice of the recorded study."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import recorded_study
from kvsweep.slices.of_machine import private_of, studies_in
from kvsweep.slices.pack import Held, write_slice


@dataclass(frozen=True)
class Made:
    """A slice, what went into it, and the results that it was made of."""

    path: Path
    held: Held
    results: Path


def make(place: Path) -> Made:
    results, path = place / "results", place / "slice.zip"
    shutil.copytree(recorded_study.RESULTS, results)
    (study,) = studies_in(results)
    return Made(path, write_slice(path, study, private_of(study), "0.1.0"), results)
