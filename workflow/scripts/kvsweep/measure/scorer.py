"""Measuring quality cells with the scorer: several pairs in one process, each its own cell.

The job of one cell scores all cells of its context that are still to do, as far as their caches fit into memory: they
share the f16 pass. What it scores is kept window by window under ``windows/`` beside the cells, and the jobs of the
others find it there. A process that did not complete its own cell is followed by one with that cell alone, which
decides how it ended; so no pair is judged by what another one did.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kvsweep.engine import commands, scorer_file, scorer_log
from kvsweep.engine.commands import ScorerRequest
from kvsweep.engine.identity import SCORER, check_has_scorer
from kvsweep.engine.perplexity_log import corpus_shortage
from kvsweep.engine.sizes import LOGIT_BYTES, PADDED_CELLS, SHARED_MEMORY, CacheShape, kv_bytes, padded
from kvsweep.errors import KvsweepError
from kvsweep.files import (
    complete_or_absent,
    make_directory,
    partial,
    read_json,
    read_manifest,
    write_json,
    write_text,
)
from kvsweep.inputs.model_header import from_manifest
from kvsweep.machine.conditions import Conditions
from kvsweep.machine.free_memory import available_memory_bytes
from kvsweep.measure import engine_run
from kvsweep.measure.cell import announce, kept_from_before, prepare, report_end, run, shared_threads
from kvsweep.measure.engine_run import Attempt, Subject
from kvsweep.measure.process import ProcessRecord
from kvsweep.measure.progress import listed_cells, tail
from kvsweep.measure.streams import StreamRecord
from kvsweep.measure.verified import load_corpus
from kvsweep.program import say
from kvsweep.study.pairs import BASELINE_PAIR, Pair, bits_per_value
from kvsweep.study.positions import Positions
from kvsweep.units import format_bytes, format_duration

_STREAMS = ("stdout.log", "stderr.log")
# Of the memory that is free: what is not counted (weights are mapped, buffers of the back end) has to fit, too.
_SHARE_OF_MEMORY = 0.8


def scorer(arguments: argparse.Namespace) -> None:
    corpus = load_corpus(arguments.corpus)
    positions = Positions.parse(arguments.positions)
    subject = prepare(
        arguments, corpus=corpus["corpus"], corpus_sha256=corpus["sha256"], positions=str(positions)
    )
    program = program_of(subject)
    request = ScorerRequest(arguments.n_ctx, arguments.chunks, str(positions))
    # On a cluster's nodes the others of the context may be at work at the same time.
    shares = not arguments.nodes
    spool = Spool(subject, request, subject.directory if not shares else subject.directory.parents[1])

    def command_for(pairs: Sequence[Pair], output: Path) -> list[str]:
        return commands.scorer(
            *(program, subject.model["path"], corpus["path"], request, pairs, output),
            shared_threads(arguments.nodes),
        )

    # What one would type to measure this cell alone.
    own_command = command_for([arguments.pair], Path("scores"))
    if kept_from_before(subject, own_command):
        spool.forget(arguments.pair)
        return
    spool.open()
    attempts = 0
    while not spool.is_complete(arguments.pair):
        together = [arguments.pair]
        if shares and attempts == 0 and not spool.failed_beside_others(arguments.pair):
            together = pairs_together(arguments, subject, spool)
        describe = "" if len(together) == 1 else f", with {', '.join(map(str, together[1:]))} beside it"
        announce(
            arguments, f"quality of {arguments.pair} at context {arguments.n_ctx} by the scorer{describe}"
        )
        limited = argparse.Namespace(
            **{**vars(arguments), "cell_hours": arguments.cell_hours * len(together)}
        )
        attempt = run(
            *(limited, subject, command_for(together, spool.windows)),
            "stdout.log",
            describe_windows(spool.windows, arguments.pair, request.chunks),
        )
        check_text(subject, corpus["corpus"], request)
        spool.book(attempt, together)
        attempts += 1
        if len(together) == 1:
            break
    keep(arguments, subject, spool, own_command)


def check_text(subject: Subject, corpus: str, request: ScorerRequest) -> None:
    """Raise KvsweepError if the scorer said that the text is too short; nothing of the attempt is kept."""
    shortage = corpus_shortage(engine_run.read_stream(subject.directory, "stderr.log"))
    if shortage is not None:
        engine_run.give_up(subject, "stdout.log")
        has, needs = shortage
        raise KvsweepError(
            f"corpora.{corpus}: the text has {has} tokens and needs {needs} for {request.chunks} windows of "
            f"{request.n_ctx} (quality.chunks); take a longer text, fewer windows or a shorter context."
        )


def program_of(subject: Subject) -> Path:
    check_has_scorer(subject.build["engine"], subject.build)
    return subject.program(SCORER)


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
        for name in _STREAMS:
            partial(self._subject.directory / name).replace(place / name)
        write_json(place / "process.json", as_json(attempt, pairs))

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


def as_json(attempt: Attempt, pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "command": list(attempt.command),
        "pairs": [str(pair) for pair in pairs],
        "load_before": attempt.load_before,
        "busy_cores_before": attempt.busy_cores_before,
        "conditions": attempt.conditions.as_dict(),
        "killed_for_memory": attempt.killed_for_memory,
        "record": {**dataclasses.asdict(attempt.record), "streams": []},
    }


def keep(arguments: argparse.Namespace, subject: Subject, spool: Spool, command: Sequence[str]) -> None:
    """Make the cell: its windows in one file, its part of what the last process printed, and run.json."""
    pair: Pair = arguments.pair
    places = spool.processes(pair)
    records = [read_json(place / "process.json") for place in places]
    complete = spool.has_all_windows(pair)
    subject.claim.take()
    make_directory(subject.directory)
    with complete_or_absent(subject.directory / scorer_file.SCORES) as beside, beside.open("wb") as out:
        for path in spool.paths(pair) if complete else []:
            out.write(path.read_bytes())
    cut: tuple[Callable[[str, Pair], str], ...] = (scorer_log.lines_of_pair, scorer_log.log_of_pair)
    streams = []
    for name, of_pair in zip(_STREAMS, cut, strict=True):
        text = (places[-1] / name).read_bytes().decode("utf-8", errors="replace")
        # Of a pair that failed alone, everything: also what was wrong with the f16 context.
        data = (of_pair(text, pair) if complete else text).encode()
        write_text(partial(subject.directory / name), data.decode())
        streams.append(StreamRecord(f".{name}.partial", len(data), 0, hashlib.sha256(data).hexdigest()))
    record = {**records[-1]["record"], "streams": tuple(streams)}
    # Each process's time is shared by its pairs alike: so the times of all cells add up to that of all processes.
    for name in ("wall_seconds", "cpu_seconds"):
        record[name] = round(sum(one["record"][name] / len(one["pairs"]) for one in records), 3)
    attempt = Attempt(
        command,
        ProcessRecord(**record),
        records[-1]["load_before"],
        records[-1]["busy_cores_before"],
        Conditions(**records[-1]["conditions"]),
        records[-1]["killed_for_memory"],
    )
    report_end(arguments, "scored" if complete else "no result", subject, attempt)
    more = {
        "scorer_sha256": subject.build["files"][SCORER],
        "processes": [
            {name: one[name] for name in ("command", "pairs")}
            | {name: one["record"][name] for name in ("started_at", "wall_seconds", "peak_rss_bytes")}
            for one in records
        ],
    }
    engine_run.keep(subject, [attempt], beside=[scorer_file.SCORES], more=more)
    spool.forget(pair)


# -- which pairs together ---------------------------------------------------------------------------------------------


def pairs_together(arguments: argparse.Namespace, subject: Subject, spool: Spool) -> list[Pair]:
    """This cell's pair, and those of its context that are still to do, share the process and fit beside it."""
    knobs = subject.build["environment"]
    pair: Pair = arguments.pair
    if scorer_log.runs_alone(pair, knobs):
        return [pair]
    budget = memory_for_contexts(subject)
    room = (
        None if budget is None else budget - sum(context_bytes(subject, one) for one in (BASELINE_PAIR, pair))
    )
    together = [pair]
    for other in siblings(arguments, subject.directory):
        if (
            scorer_log.runs_alone(other, knobs)
            or spool.is_complete(other)
            or spool.failed_beside_others(other)
        ):
            continue
        needed = context_bytes(subject, other)
        if room is not None and needed > room:
            say(f"  {other} does not fit beside them ({format_bytes(needed)}) and comes later")
            continue
        room = None if room is None else room - needed
        together.append(other)
    return together


def siblings(arguments: argparse.Namespace, directory: Path) -> list[Pair]:
    """The other pairs of this context in the run under way that have no record yet."""
    group = directory.parents[1].relative_to(arguments.results)
    found = []
    for name in listed_cells(arguments.results) or ():
        path = Path(name)
        there = arguments.results / path
        if path.parent.parent == group and there != directory and not (there / "run.json").exists():
            found.append(Pair(path.parts[-2].removeprefix("k-"), path.parts[-1].removeprefix("v-")))
    return found


def memory_for_contexts(subject: Subject) -> int | None:
    """Bytes for caches, compute buffers and logits of all contexts; None where the machine does not say."""
    on_host = subject.build["backend"] in SHARED_MEMORY
    sizes = [gpu.memory_bytes for gpu in subject.machine.gpus]
    if not on_host and sizes and None not in sizes:
        memory: int | None = sum(size for size in sizes if size is not None)
    else:
        memory = available_memory_bytes()
    weights: int = subject.model["size_bytes"]
    return None if memory is None else int(memory * _SHARE_OF_MEMORY) - weights


def context_bytes(subject: Subject, pair: Pair) -> int:
    """Of one context: its cache, and logits of a micro-batch, in the output buffer and in the compute buffer.

    Where the model's header or a type's size does not tell, the cache counts without sliding windows, and a value four
    bytes.
    """
    model, n_ctx = subject.model, int(subject.cell["n_ctx"])
    header = from_manifest(model)
    cache = None if header is None else kv_bytes(header, pair, CacheShape(padded(n_ctx, PADDED_CELLS)))
    if cache is None:
        cache = sum(
            round(n_ctx * model[f"kv_values_per_token_{side}"] * (bits_per_value(cache_type) or 32) / 8)
            for side, cache_type in (("k", pair.ctk), ("v", pair.ctv))
        )
    logits: int = 2 * commands.SCORER_UBATCH * model["n_vocab"] * LOGIT_BYTES
    mask: int = 2 * commands.SCORER_UBATCH * n_ctx
    return cache + logits + mask


def describe_windows(windows: Path, pair: Pair, chunks: int) -> Callable[[Path, float], str | None]:
    """How many windows have been scored, and how long the rest will take at the pace of this process."""
    directory = windows / f"k-{pair.ctk}" / f"v-{pair.ctv}"
    before = len(list(directory.glob("w*.scores")))

    def describe(cell: Path, elapsed_seconds: float) -> str | None:
        done = len(list(directory.glob("w*.scores")))
        if done == before or not tail(partial(cell / "stdout.log")):
            return None
        left = elapsed_seconds / (done - before) * max(chunks - done, 0)
        return f"window {done} of {chunks}, about {format_duration(left)} left"

    return describe
