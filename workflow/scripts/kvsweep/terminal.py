"""A progress bar for whoever started Snakemake. Rules pipe what their programs say into a log, a bar goes past that."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

# Set by the Snakefile where its stderr is a terminal: the terminal's path.
TERMINAL = "KVSWEEP_TERMINAL"


@contextmanager
def progress_bar(
    name: str, total_bytes: int | None, done_bytes: int, environment: Mapping[str, str] = os.environ
) -> Iterator[tqdm[None] | None]:
    """A bar that counts bytes, and is wiped off in the end; None where no terminal is watched, or it has a bar."""
    terminal = _free_terminal(environment)
    if terminal is None:
        yield None
        return
    # Imported where it is used, as what fetches is.
    from tqdm import tqdm

    with (
        terminal,
        tqdm(
            desc=f"kvsweep: {name}",
            total=total_bytes,
            initial=done_bytes,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            dynamic_ncols=True,
            leave=False,
            file=terminal,
        ) as bar,
    ):
        yield bar


def _free_terminal(environment: Mapping[str, str]) -> TextIO | None:
    """The terminal to write to. Two bars would overwrite each other, so the first process with one keeps it."""
    path = environment.get(TERMINAL)
    if path is None:
        return None
    try:
        # Without becoming anybody's controlling terminal. Closed by who gets it.
        terminal = os.fdopen(os.open(Path(path), os.O_WRONLY | os.O_NOCTTY), "w", encoding="utf-8")
    except OSError:
        return None  # closed since
    try:
        if not terminal.isatty():
            raise BlockingIOError
        fcntl.flock(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        terminal.close()
        return None
    except OSError:
        pass  # macOS locks no terminals: two bars there may flicker
    return terminal
