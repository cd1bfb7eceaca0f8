"""Which runner a cell's directory belongs to: the one that came last.

On a cluster two runners can have the same cell. Slurm starts the job of a lost node again, and the node may only have
been out of its sight; and the jobs of a Snakemake that was killed go on while the next one submits them again.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import write_text

_FILE = ".runner"
# Other nodes see a change on a shared file system after some seconds.
_LOOK_SECONDS = 5.0


class Lost(KvsweepError):
    """Another runner has the cell: nothing in its directory may be touched any more."""


class Claim:
    """One runner's claim to a directory; nothing is claimed before ``take``."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / _FILE
        self._mark = f"{socket.gethostname()} {os.getpid()} {os.urandom(16).hex()}\n"
        self._looked_at: float | None = None

    def take(self) -> None:
        """Take the directory, from whoever had it. Taken once, it is only looked at: it may be lost by then."""
        if self._looked_at is None:
            write_text(self._file, self._mark)
            self._looked_at = time.monotonic()
        else:
            self.check()

    def look(self) -> None:
        """``check``, but only every few seconds."""
        if self._looked_at is not None and time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self.check()

    def check(self) -> None:
        """Raise Lost if another runner has taken the directory since."""
        if not self.holds():
            raise Lost(
                f"{self._file.parent}: another runner has taken this cell over; this one has ended its engine and kept "
                "nothing."
            )

    def holds(self) -> bool:
        """Whether no other runner has taken the directory since; true also where this one has not or no more."""
        if self._looked_at is None:
            return True
        self._looked_at = time.monotonic()
        try:
            return self._file.read_text(encoding="utf-8") == self._mark
        except OSError:
            return False  # another runner has finished the cell, or somebody has removed it

    def release(self) -> None:
        self._file.unlink(missing_ok=True)
        self._looked_at = None
