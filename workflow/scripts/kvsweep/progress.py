"""What a person at the terminal sees while an engine runs: at most one line in a while, by the engine's own pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kvsweep.bench_output import bench_progress
from kvsweep.files import partial
from kvsweep.perplexity_output import progress as perplexity_progress
from kvsweep.units import format_duration

_QUIET_SECONDS = 15.0
_TAIL_BYTES = 4096


class Progress:
    """Says every 15 seconds where the running engine is, if it has got on since."""

    def __init__(
        self, directory: Path, describe: Callable[[Path, float], str | None], say: Callable[[str], None]
    ) -> None:
        self._directory, self._describe, self._say = directory, describe, say
        self._start = self._said_at = time.monotonic()
        self._said: str | None = None

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._said_at < _QUIET_SECONDS:
            return
        self._said_at = now
        text = self._describe(self._directory, now - self._start)
        if text is not None and text != self._said:
            self._said = text
            self._say(f"  {text}")


def describe_bench(directory: Path, elapsed_seconds: float) -> str | None:
    """Where llama-bench is, from the tail of its stderr."""
    found = bench_progress(_tail(partial(directory / "stderr.log")))
    if found is None:
        return None
    repetition = f" {found.repetition}/{found.repetitions}" if found.repetition else ""
    return f"test {found.test} of {found.tests}: {found.step}{repetition}, {format_duration(elapsed_seconds)} so far"


def describe_perplexity(chunks: int) -> Callable[[Path, float], str | None]:
    """How many of ``chunks`` windows llama-perplexity has scored, and how long the rest will take at its pace."""

    def describe(directory: Path, elapsed_seconds: float) -> str | None:
        tails = [_tail(partial(directory / name)) for name in ("stdout.log", "stderr.log")]
        done = perplexity_progress("\n".join(tails)).chunks_done
        if done == 0:
            return None
        left = elapsed_seconds / done * max(chunks - done, 0)
        return f"window {done} of {chunks}, about {format_duration(left)} left"

    return describe


def count_done(results: Path, cells: Path | None) -> tuple[int, int] | None:
    """How many cells of the list are there, and how many there are; None without a list."""
    if cells is None or not cells.is_file():
        return None
    names = cells.read_text().splitlines()
    return sum((results / name / "run.json").is_file() for name in names), len(names)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
