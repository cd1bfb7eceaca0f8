"""The answers of a task's cell that is not finished: kept one by one beside the cell, whatever ends the runner."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from kvsweep.files import make_directory, not_writable, partial, sha256, write_text
from kvsweep.measure.engine_run import Subject
from kvsweep.measure.streams import StreamRecord

SPOOL, ITEMS = ".items", "items.jsonl"
_SAME = "engine_files server_sha256 model_sha256 environment definition corpus_sha256 chat".split()
# Only where there is one: older spools say nothing of it.
_HARNESS = "harness"


class Spool:
    """What the answers are of in the first line, then an item a line. One without an answer is asked again."""

    def __init__(self, subject: Subject, program: Path) -> None:
        self._path, self._cell = subject.directory / SPOOL, subject.directory
        described = {**subject.describe([]), "server_sha256": sha256(program)}
        identity = {name: described.get(name) for name in _SAME} | {"machine": subject.machine.name}
        identity |= {_HARNESS: described[_HARNESS]} if _HARNESS in described else {}
        self.lines: list[str] = []
        self._first = first = json.dumps(identity, sort_keys=True)
        try:
            found = self._path.read_bytes().decode("utf-8", errors="replace").splitlines(keepends=True)
        except OSError:
            found = []
        # Of a line that was being written something is missing.
        whole = [line.rstrip("\n") for line in found if line.endswith("\n")]
        if whole[:1] == [first]:
            self.lines = [line for line in whole[1:] if _is_answered(line)]
        make_directory(self._cell)
        write_text(self._path, "".join(f"{line}\n" for line in (first, *self.lines)))

    def answered(self) -> set[str]:
        return {json.loads(line)["item"] for line in self.lines}

    def add(self, record: dict[str, Any]) -> None:
        """Raises KvsweepError where it cannot be written."""
        line = json.dumps(record, ensure_ascii=True)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise not_writable(self._path, error) from error
        self.lines.append(line)

    def keep(self) -> StreamRecord:
        """Make the cell's file of the items. It has no final name yet."""
        data = "".join(f"{line}\n" for line in self.lines).encode()
        beside = partial(self._cell / ITEMS)
        try:
            beside.write_bytes(data)
        except OSError as error:
            raise not_writable(beside, error) from error
        return StreamRecord(beside.name, len(data), 0, hashlib.sha256(data).hexdigest())

    def leave(self, n_items: int) -> None:
        """Remove the spool, once the cell is kept. If one of ``n_items`` has no answer, the answers stay, so that only
        the others are asked when the cell is measured again."""
        answered = [line for line in self.lines if _is_answered(line)]
        if len(answered) < n_items:
            write_text(self._path, "".join(f"{line}\n" for line in (self._first, *answered)))
        else:
            self._path.unlink(missing_ok=True)


def _is_answered(line: str) -> bool:
    return json.loads(line)["answer"] is not None
