"""Studies side by side: each has its own directory and results; what one has built or fetched, the others take over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from kvsweep.files import complete_or_absent


def neighbours(results: Path, base: Path) -> list[Path]:
    """The results directories of other studies, which are known by where they lie.

    These are the checkout ``base``, the directories below its ``studies/`` and those beside this study. Beside the
    checkout itself nothing is looked for: what lies there is no study of it.
    """
    own, base = results.resolve().parent, base.resolve()
    beside = [] if own == base else sorted(own.parent.glob("*/results"))
    found = [base / "results", *sorted(base.glob("studies/*/results")), *beside]
    return [path for path in dict.fromkeys(map(Path.resolve, found)) if path.parent != own and path.is_dir()]


def fetched_elsewhere(name: str, directory: Path, base: Path) -> Iterator[Path]:
    """Files called ``name`` that were fetched for another model or text of this study, or for another study.

    ``directory`` is that of the model or the text under ``results/``.
    """
    results = directory.parents[1]
    for place in (results, *neighbours(results, base)):
        for kind in ("models", "corpora"):
            for path in sorted(place.glob(f"{kind}/*/fetched")):
                if path.parent.resolve() != directory.resolve() and (path / name).is_file():
                    yield path / name


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link where the file system has them, else a copy."""
    with complete_or_absent(target) as beside:
        beside.unlink(missing_ok=True)
        try:
            beside.hardlink_to(source)
        except OSError:  # another file system, or none with hard links
            shutil.copy2(source, beside)
