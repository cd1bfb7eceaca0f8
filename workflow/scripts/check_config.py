#!/usr/bin/env python
"""Reads the configurations that Snakemake's arguments name, before Snakemake does, and says what is wrong with a file.

The profiles call it, because they are what Snakemake reads first: ``check_config.py --configfile FILE``. Its own
reading executes what stands in a file with the key __use_yte__, takes the last of two equal keys, and ends in a
traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory
from kvsweep.program import run_program
from kvsweep.study.complaints import ConfigError
from kvsweep.study.yaml_file import read_configuration


def main() -> None:
    files = list(configuration_files(sys.argv[1:]))
    for name in files:
        path = Path(name).expanduser()
        if name != files[0] and not path.exists() and not path.suffix:
            raise ConfigError(
                f"{name}: there is no such configuration; a target stands behind `--`: "
                f"snakemake --configfile {files[0]} -- {name}."
            )
        read_configuration(path)
    for name in working_directories(sys.argv[1:]):
        path = Path(name).expanduser()
        if path.exists() and not path.is_dir():
            raise KvsweepError(f"{path}: is a file; name a directory for the study (STUDY=, --directory).")
        make_directory(path)


def working_directories(arguments: Sequence[str]) -> Iterator[str]:
    """What stands behind --directory: Snakemake makes it, and where it cannot it says so in a traceback, or nothing."""
    for index, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("--directory", "-d"):
            yield from [value] if equals else arguments[index + 1 : index + 2]


def configuration_files(arguments: Sequence[str]) -> Iterator[str]:
    """The files behind --configfile; of other arguments nothing is known here."""
    for index, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("--configfile", "--configfiles"):
            yield from [value] if equals else takewhile(_is_no_option, arguments[index + 1 :])


def _is_no_option(argument: str) -> bool:
    return not argument.startswith("-")


if __name__ == "__main__":
    run_program(main)
