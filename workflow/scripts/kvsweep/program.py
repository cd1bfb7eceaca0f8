"""What every program of the workflow does around its work: say what happens, end bad input with one sentence."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from kvsweep.addresses import without_proxies, without_secrets
from kvsweep.errors import Interrupted, KvsweepError
from kvsweep.files import CHECKOUT, FULL, NOT_ALLOWED, make_room
from kvsweep.parents import end_with


def add_base(parser: argparse.ArgumentParser) -> None:
    """The option that says where relative paths of a configuration start, unless that is the checkout."""
    parser.add_argument("--base", type=Path, default=CHECKOUT, help="where relative paths start")


def say(message: str) -> None:
    """One line for the person at the terminal, and for the rule's log."""
    # In one write: several programs say something at once.
    sys.stderr.write(f"kvsweep: {without_secrets(without_proxies(message, os.environ))}\n")
    sys.stderr.flush()


# Snakemake's process, by which a rule's program is told what it works for.
WORKFLOW = "KVSWEEP_WORKFLOW"


def run_program(main: Callable[[], None]) -> None:
    """Run ``main``: a KvsweepError becomes one sentence and exit status 1; a traceback is left to bugs."""
    if (workflow := os.environ.pop(WORKFLOW, "")).isdigit():
        end_with(int(workflow))
    try:
        main()
    except KvsweepError as error:
        _end(f"error: {error}", 1)
    except OSError as error:
        # A file that cannot be read or written is no bug, wherever it is noticed.
        if error.errno in FULL:
            where = f"{error.filename}: " if error.filename else ""
            _end(f"error: {where}{error.strerror}; {make_room()}.", 1)
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        act = "; make it readable and writable" if error.errno in NOT_ALLOWED else ""
        _end(f"error: {what}{act}.", 1)
    except Interrupted as interrupted:
        _end("interrupted; the engine was ended, nothing of this cell was kept", 128 + interrupted.signum)
    except KeyboardInterrupt:
        _end("interrupted", 130)


# What make itself may be told on the same command line.
_OF_MAKE = ("PYTHON", "BIN", "STUDY", "CONFIG")


def take_names(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    """``NAME=value`` as words of a program's command line, or all that make was told."""
    parser.add_argument("names", nargs="*", metavar=metavar, help=text)
    parser.add_argument("--made-with", default="", metavar="WORDS", help="more of them, as make writes them")


def names_of(arguments: argparse.Namespace, example: str) -> dict[str, str]:
    """The ``NAME=value`` words of a command line by name, without make's own. Raises KvsweepError for another word."""
    found = {}
    for text in (*arguments.names, *_words_of_make(arguments.made_with)):
        name, equals, value = text.partition("=")
        if not equals:
            raise KvsweepError(f"{text!r}: write NAME=value, for example {example}.")
        if name not in _OF_MAKE:
            found[name] = value.strip()
    return found


def _words_of_make(text: str) -> list[str]:
    """What stands in make's variable MAKEOVERRIDES: blanks and backslashes behind a backslash, dollars twice."""
    words = re.findall(r"(?:\\.|[^\s\\])+", text, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL).replace("$$", "$") for word in words]


def is_dry(asked: dict[str, str]) -> bool:
    """Whether ``DRY=1`` is among the names, from which it is taken."""
    return asked.pop("DRY", "0") not in ("", "0")


def last_line(text: str) -> str | None:
    """The last line of what a program printed that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)


def _end(message: str, status: int) -> NoReturn:
    # The reader of the messages may be gone already: Ctrl-C ends the whole pipeline.
    with suppress(OSError):
        say(message)
    sys.exit(status)
