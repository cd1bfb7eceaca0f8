"""Which exercises of Aider Polyglot a configuration names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from kvsweep.study.complaints import Complaint
from kvsweep.study.polyglot import all_exercises, language_of


def chosen(languages: Iterable[str], names: Iterable[str] | None) -> list[str]:
    """The exercises in ``languages``. ``names`` picks some of them, as ``wordy`` or ``python/wordy``.

    Raises Complaint for a name that no exercise has.
    """
    wanted = set(languages)
    there = [one for one in all_exercises() if language_of(one) in wanted]
    if names is None:
        return there
    found: set[str] = set()
    for index, name in enumerate(names):
        own = [one for one in there if name in (one, one.split("/")[1])]
        if not own:
            known = [*there, *(one.split("/")[1] for one in there)]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = (
                f"the nearest is {near[0]!r}" if near else "resources/polyglot/exercises.txt has their names"
            )
            raise Complaint(
                f"{name!r} is no exercise in {', '.join(sorted(wanted))}; {hint}", f"exercises.{index}"
            )
        found.update(own)
    return [one for one in there if one in found]
