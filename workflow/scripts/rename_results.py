#!/usr/bin/env python
"""Gives a model, an engine, a text or a machine another name under results/, and keeps what was measured.

MODEL=old:new, ENGINE=old:new, CORPUS=old:new or MACHINE=old:new. Interrupted, the same command finishes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.plan.rename import parse_renaming, rename
from kvsweep.program import names_of, run_program, say, take_names
from kvsweep.units import plural

_KEYS = {"MODEL": "models", "ENGINE": "engines", "CORPUS": "corpora", "MACHINE": "machine"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    take_names(parser, "KIND=old:new", ", ".join(_KEYS))
    arguments = parser.parse_args()
    results: Path = arguments.results
    renaming = parse_renaming(names_of(arguments, "MODEL=old:new"))
    if not results.is_dir():
        raise KvsweepError(f"{results}: there are no results here.")
    if any((results.resolve().parent / ".snakemake" / "locks").glob("*")):
        raise KvsweepError(
            f"{results}: a run is under way here, or one was killed; wait for it, or give the command that it names to "
            "unlock the directory."
        )
    count = rename(renaming, results)
    say(f"{plural(count, 'record')} of {renaming.old!r} are now of {renaming.new!r}")
    say(f"write {renaming.new!r} for {renaming.old!r} in the configuration too ({_KEYS[renaming.kind]})")


if __name__ == "__main__":
    run_program(main)
