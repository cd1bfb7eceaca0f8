"""The raw record of one cell on disk: run.json and what the engine printed, verified before anyone reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kvsweep.errors import KvsweepError
from kvsweep.files import not_readable, read_json

# What a runner that ends an engine gives as the reason.
TIME_LIMIT = "time limit"
JOB_TIME_LIMIT = "time limit of its job"
# A server is ended when all that it was started for is done, or when it does not answer any more.
DONE = "its work was done"
# What it raises to use a record that another hand has changed.
NO_RECORD = (KeyError, TypeError, ValueError, AttributeError)


class Recorded(NamedTuple):
    """``run`` is run.json; ``stdout`` and ``stderr`` are the engine's output as text.

    ``sums`` is what a slice has in place of the scorer's record of each token.
    """

    directory: Path
    run: dict[str, Any]
    stdout: str
    stderr: str
    sums: Mapping[str, Any] | None = None


def read_recorded(directory: Path) -> Recorded:
    """Read a cell's record. Raises KvsweepError if a file is missing or is not the one that run.json describes."""
    run = read_json(directory / "run.json")
    return as_recorded(directory, run, lambda name: _read(directory / name))


def as_recorded(directory: Path, run: dict[str, Any], read: Callable[[str], bytes]) -> Recorded:
    """The record of which ``run`` is run.json and ``read`` gives the bytes of a stream by its name. Raises KvsweepError
    likewise."""
    try:
        streams = [(str(stream["name"]), stream["sha256"]) for stream in run["streams"]]
        _stdout, _stderr, *_ = streams
    except NO_RECORD:
        raise KvsweepError(
            f"{directory / 'run.json'}: is not a record of kvsweep; remove {directory} to measure the cell again."
        ) from None
    texts = []
    for name, digest in streams:
        data = read(name)
        if hashlib.sha256(data).hexdigest() != digest:
            raise KvsweepError(
                f"{directory / name}: changed since it was measured (its sha256 is not the one in run.json); "
                f"remove {directory} to measure the cell again."
            )
        texts.append(data.decode("utf-8", errors="replace"))
    return Recorded(directory, run, texts[0], texts[1])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise KvsweepError(f"{path}: this file is missing; measure the cell again.") from error
    except OSError as error:
        raise not_readable(path, error) from error


def how_it_ended(run: Mapping[str, Any]) -> str:
    """How a process ended, in words: ``exit status 1``, ``SIGSEGV``."""
    return str(run["signal"] or f"exit status {run['exit_status']}")
