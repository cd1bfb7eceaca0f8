#!/usr/bin/env python
"""Packs what was measured here into one file to share: results/slice-MACHINE-DATE.zip, one for each machine.

Records, logs and tables, without baselines, models, user names, host names, home directories and tokens. DRY=1 only
lists what it would hold and what it would replace.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import CHECKOUT, complete_or_absent
from kvsweep.program import is_dry, names_of, run_program, say, take_names
from kvsweep.report.provenance import kvsweep_version
from kvsweep.slices.layout import is_member
from kvsweep.slices.of_machine import file_name, private_of, studies_in
from kvsweep.slices.pack import Held, write_slice
from kvsweep.slices.read import read_slice
from kvsweep.units import format_bytes, plural

_MANY = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    take_names(parser, "NAME=value", "DRY=1")
    arguments = parser.parse_args()
    asked = names_of(arguments, "DRY=1")
    dry = is_dry(asked)
    for name in asked:
        raise KvsweepError(f"{name}: not known here; DRY=1 only lists what a slice would hold.")
    for study in studies_in(arguments.results):
        private = private_of(study)
        target = arguments.results / file_name(study, private)
        with tempfile.TemporaryDirectory(prefix="kvsweep-slice-") as place:
            written = Path(place, target.name)
            held = write_slice(written, study, private, kvsweep_version(CHECKOUT))
            # What a taker could not read is found here, not there.
            read_slice("made", written)
            print("\n".join(listing(target.name, held, written.stat().st_size)))
            if not dry:
                with complete_or_absent(target) as beside:
                    beside.write_bytes(written.read_bytes())
        say(f"{target}: this was a dry run, nothing was written" if dry else f"{target}: written")


def listing(name: str, held: Held, size_bytes: int) -> list[str]:
    """What a slice holds, what was replaced in it and what was left out, in lines."""
    members = list(filter(is_member, held.members))
    kinds = Counter(member.partition("/")[0] for member in members)
    cells = ", ".join(f"{number} {status}" for status, number in sorted(held.statuses.items()))
    lines = [
        f"{name}: {format_bytes(size_bytes)}, {plural(len(members) + 1, 'member')}, "
        f"{plural(sum(held.statuses.values()), 'cell')} ({cells})",
        "holds "
        + ", ".join(f"{kind} ({number})" for kind, number in sorted(kinds.items()))
        + ", manifest.json",
        "leaves out baselines, models, texts, engines' binaries, figures and reports",
    ]
    replaced = ", ".join(f"{kind} {plural(number, 'time')}" for kind, number in sorted(held.replaced.items()))
    lines.append(f"replaced: {replaced or 'nothing'}")
    lines += [f"left out: {line}" for line in held.left_out[:_MANY]]
    if len(held.left_out) > _MANY:
        lines.append(f"left out: {len(held.left_out) - _MANY} more of the same kinds")
    return lines


if __name__ == "__main__":
    run_program(main)
