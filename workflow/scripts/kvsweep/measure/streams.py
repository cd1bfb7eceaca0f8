"""What an engine prints, kept up to a limit: the first part as it comes, and the end."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import IO, NamedTuple, cast

from kvsweep.errors import KvsweepError
from kvsweep.files import not_writable

_TAIL_BYTES = 64 * 1024


class StreamRecord(NamedTuple):
    """What was kept of one output stream. ``left_out_bytes`` were dropped from its middle at the cap."""

    name: str
    size_bytes: int
    left_out_bytes: int
    sha256: str


class Stream(threading.Thread):
    """Copies a pipe to a file: the first part up to the limit as it comes, and the last part of what is beyond."""

    def __init__(self, pipe: IO[bytes], file: IO[bytes], path: Path, limit_bytes: int) -> None:
        super().__init__(daemon=True)
        self._pipe, self._file, self._path = pipe, file, path
        self._limit = max(limit_bytes - _TAIL_BYTES, _TAIL_BYTES)
        self._seen, self._kept, self._left_out, self._tail = 0, 0, 0, b""
        self._hash = hashlib.sha256()
        self.error: KvsweepError | None = None

    def run(self) -> None:
        descriptor = self._pipe.fileno()
        while chunk := os.read(descriptor, 65536):
            self._seen += len(chunk)
            room = self._limit - self._kept
            if self.error is None and room > 0:
                self._keep(chunk[:room])
            self._tail = (self._tail + chunk[max(room, 0) :])[-_TAIL_BYTES:]
        self._pipe.close()

    def finish(self) -> None:
        """Write what was held back, with a line that says how much is missing."""
        if self._tail:
            self._left_out = max(self._seen - self._kept - len(self._tail), 0)
            if self._left_out:
                self._keep(f"\n[kvsweep: {self._left_out} bytes left out here]\n".encode())
            self._keep(self._tail)
            self._tail = b""
        if self.error is not None:
            raise self.error

    def record(self) -> StreamRecord:
        return StreamRecord(self._path.name, self._kept, self._left_out, self._hash.hexdigest())

    def _keep(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = not_writable(self._path, error)
            return
        self._hash.update(data)
        self._kept += len(data)


def output(path: Path) -> IO[bytes]:
    """Open a file without a buffer, so that a full disk is noticed by a write and not when the file is closed."""
    try:
        return cast(IO[bytes], path.open("wb", buffering=0))
    except OSError as error:
        raise not_writable(path, error) from error
