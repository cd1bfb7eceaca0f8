#!/usr/bin/env python
"""Says what somebody who takes a slice will see of it: make check-slice FILE=results/slice-....zip"""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.program import run_program, say
from kvsweep.slices.archive import open_slice
from kvsweep.slices.read import rows_in
from kvsweep.slices.view import lines_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a slice: an archive or a directory")
    place: Path = parser.parse_args().file
    if not place.name:
        raise KvsweepError("which slice? Give its path: make check-slice FILE=results/slice-....zip.")
    if not place.exists():
        raise KvsweepError(f"{place}: is not there; give the path of a slice with FILE=.")
    try:
        with open_slice(place) as contents:
            found = rows_in(contents)
            print("\n".join(lines_of(contents, found)))
    except KvsweepError as error:
        raise KvsweepError(f"{place}: {error}") from None
    say(f"{place}: can be read")


if __name__ == "__main__":
    run_program(main)
