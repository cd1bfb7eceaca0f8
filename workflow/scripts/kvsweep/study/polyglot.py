"""Aider Polyglot: which exercises it has, and which commits of the harness and of the exercises kvsweep runs.

Light to import: what asks the exercises needs no class of the configuration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

from kvsweep.files import CHECKOUT

AIDER = "https://github.com/Aider-AI/aider"
AIDER_COMMIT = "5dc9490bb35f9729ef2c95d00a19ccd30c26339c"
EXERCISES = "https://github.com/Aider-AI/polyglot-benchmark"
EXERCISES_COMMIT = "7e0611e77b54e2dea774cdc0aa00cf9f7ed6144f"
# What all exercises took in the study, a pair, in hours, and one of them in seconds.
STUDY_HOURS = (6, 12)
STUDY_SECONDS = tuple(hours * 3600 / 225 for hours in STUDY_HOURS)
# The image that aider's own benchmark/docker_build.sh makes.
IMAGE = "aider-benchmark"

_FILE = CHECKOUT / "resources" / "polyglot" / "exercises.txt"


@cache
def all_exercises() -> tuple[str, ...]:
    """The exercises of the commit (``python/wordy``, ...) in the order in which they run."""
    return tuple(_FILE.read_text(encoding="utf-8").split())


def language_of(exercise: str) -> str:
    return exercise.split("/")[0]


def by_language(exercises: Iterable[str]) -> Counter[str]:
    return Counter(map(language_of, exercises))
