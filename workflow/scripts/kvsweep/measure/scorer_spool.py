"""What the scorer has scored and no cell has taken yet, beside the cells of a context: windows, and processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from kvsweep.engine import scorer_file
from kvsweep.engine.commands import ScorerRequest
from kvsweep.engine.identity import SCORER
from kvsweep.files import make_directory, partial, read_json, read_manifest, write_json
from kvsweep.measure.engine_run import Attempt, Subject
from kvsweep.measure.progress import pace, tail
from kvsweep.study.pairs import Pair
from kvsweep.study.positions import Positions

STREAMS = ("stdout.log", "stderr.log")


class Spool:
    """What has been scored and not been kept as a cell yet: windows by pair, and the processes that scored them."""

    def __init__(self, subject: Subject, request: ScorerRequest, directory: Path) -> None:
        self._subject, self._request = subject, request
        self.directory = directory / "windows"
        self.windows = self.directory / "scores"
        positions = Positions.parse(request.positions)
        self._window_bytes = scorer_file.window_bytes(positions.scored(request.n_ctx))

    def open(self) -> None:
        """Empty it of what other files, or another request, have left."""
        described = self._subject.describe([])
        same = (
            *("engine_files", "model_sha256", "corpus_sha256", "environment", "n_ctx", "positions"),
            "machine",
        )
        identity = {name: described[name] for name in same} | {
            "scorer": self._subject.build["files"][SCORER],
            "machine": self._subject.machine.name,
        }
        if read_manifest(self.directory / "identity.json") != identity:
            shutil.rmtree(self.directory, ignore_errors=True)
            make_directory(self.windows)
            write_json(self.directory / "identity.json", identity)

    def paths(self, pair: Pair) -> list[Path]:
        directory = self.windows / f"k-{pair.ctk}" / f"v-{pair.ctv}"
        return [directory / scorer_file.window_name(window) for window in range(self._request.chunks)]

    def has_all_windows(self, pair: Pair) -> bool:
        return all(path.is_file() and path.stat().st_size == self._window_bytes for path in self.paths(pair))

    def is_complete(self, pair: Pair) -> bool:
        """Whether all is there, also what the engine said of it: a killed runner has kept none of that."""
        return self.has_all_windows(pair) and bool(self.processes(pair))

    def book(self, attempt: Attempt, pairs: Sequence[Pair]) -> None:
        """Keep how a process went and what it printed, for each of its pairs."""
        number = len(list(self.directory.glob("process-*")))
        place = self.directory / f"process-{number:03d}"
        make_directory(place)
        for name in STREAMS:
            partial(self._subject.directory / name).replace(place / name)
        # The streams lie beside it.
        bare = attempt._replace(record=attempt.record._replace(streams=()))
        said = {**bare.as_dict(), "pairs": [str(pair) for pair in pairs]}
        write_json(place / "process.json", said)

    def processes(self, pair: Pair) -> list[Path]:
        """The processes that this pair took part in, in order."""
        return [
            path.parent
            for path in sorted(self.directory.glob("process-*/process.json"))
            if str(pair) in read_json(path)["pairs"]
        ]

    def failed_beside_others(self, pair: Pair) -> bool:
        return bool(self.processes(pair)) and not self.has_all_windows(pair)

    def forget(self, pair: Pair) -> None:
        """Remove a kept pair; all of it once no pair is left."""
        directory = self.windows / f"k-{pair.ctk}" / f"v-{pair.ctv}"
        shutil.rmtree(directory, ignore_errors=True)
        if not list(self.windows.glob("k-*/v-*")):
            shutil.rmtree(self.directory, ignore_errors=True)


def describe_windows(windows: Path, pair: Pair, chunks: int) -> Callable[[Path, float], str | None]:
    """How many windows have been scored, and how long the rest will take at the pace of this process."""
    directory = windows / f"k-{pair.ctk}" / f"v-{pair.ctv}"
    before = len(list(directory.glob("w*.scores")))

    def describe(cell: Path, elapsed_seconds: float) -> str | None:
        done = len(list(directory.glob("w*.scores"))) if tail(partial(cell / "stdout.log")) else before
        return pace("window", done, before, chunks, elapsed_seconds)

    return describe
