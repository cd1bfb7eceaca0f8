"""Measuring quality cells with the scorer: several pairs in one process, each its own cell.

The job of one cell scores all cells of its context that are still to do, as far as their caches fit into memory: they
share the f16 pass. What it scores is kept window by window under ``windows/`` beside the cells, and the jobs of the
others find it there. A process that did not complete its own cell is followed by one with that cell alone, which
decides how it ended; so no pair is judged by what another one did.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from kvsweep.engine import commands, scorer_file, scorer_log
from kvsweep.engine.commands import ScorerRequest
from kvsweep.engine.identity import SCORER, check_has_scorer
from kvsweep.engine.perplexity_log import corpus_shortage
from kvsweep.errors import KvsweepError
from kvsweep.files import complete_or_absent, make_directory, partial, read_json, write_text
from kvsweep.machine.conditions import Conditions
from kvsweep.measure import cell, engine_run
from kvsweep.measure.engine_run import Attempt, Subject
from kvsweep.measure.process import ProcessRecord
from kvsweep.measure.scorer_pairs import pairs_together
from kvsweep.measure.scorer_spool import STREAMS, Spool, describe_windows
from kvsweep.measure.streams import StreamRecord
from kvsweep.measure.verified import load_corpus
from kvsweep.study.pairs import Pair
from kvsweep.study.positions import Positions


def scorer(arguments: argparse.Namespace) -> None:
    """Measure the cell of one pair by kvsweep's scorer; on one machine together with other pairs of the context.

    What a process leaves is booked for every pair of it. If the pair is not complete after a process that it shared,
    it gets one of its own, and what that one leaves is kept as it is.
    """
    corpus = load_corpus(arguments.corpus)
    positions = Positions.parse(arguments.positions)
    subject = cell.prepare(
        arguments, corpus=corpus["corpus"], corpus_sha256=corpus["sha256"], positions=str(positions)
    )
    check_has_scorer(subject.build["engine"], subject.build)
    request = ScorerRequest(arguments.n_ctx, arguments.chunks, str(positions))
    # On a cluster's nodes the others of the context may be at work at the same time.
    shares = not arguments.nodes
    spool = Spool(subject, request, subject.directory if not shares else subject.directory.parents[1])

    def command_for(pairs: Sequence[Pair], output: Path) -> list[str]:
        return commands.scorer(
            *(subject.program(SCORER), subject.model["path"], corpus["path"], request, pairs, output),
            cell.shared_threads(arguments.nodes),
        )

    # What one would type to measure this cell alone.
    own_command = command_for([arguments.pair], Path("scores"))
    if cell.kept_from_before(subject, own_command):
        spool.forget(arguments.pair)
        return
    spool.open()
    attempts = 0
    while not spool.is_complete(arguments.pair):
        together = [arguments.pair]
        if shares and attempts == 0 and not spool.failed_beside_others(arguments.pair):
            together = pairs_together(arguments, subject, spool)
        describe = "" if len(together) == 1 else f", with {', '.join(map(str, together[1:]))} beside it"
        cell.announce(
            arguments, f"quality of {arguments.pair} at context {arguments.n_ctx} by the scorer{describe}"
        )
        limited = argparse.Namespace(
            **{**vars(arguments), "cell_hours": arguments.cell_hours * len(together)}
        )
        attempt = cell.run(
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
    for name, of_pair in zip(STREAMS, cut, strict=True):
        text = (places[-1] / name).read_bytes().decode("utf-8", errors="replace")
        # Of a pair that failed alone, everything: also what was wrong with the f16 context.
        data = (of_pair(text, pair) if complete else text).encode()
        write_text(partial(subject.directory / name), data.decode())
        streams.append(StreamRecord(f".{name}.partial", len(data), 0, hashlib.sha256(data).hexdigest()))
    record = {**records[-1]["record"], "streams": tuple(streams)}
    # Each process's time is shared by its pairs alike: so the times of all cells add up to that of all processes.
    for name in ("wall_seconds", "suspended_seconds", "cpu_seconds"):
        record[name] = round(sum(one["record"][name] / len(one["pairs"]) for one in records), 3)
    conditions = Conditions(**records[-1]["conditions"])
    same = {name: records[-1][name] for name in ("load_before", "busy_cores_before", "killed_for_memory")}
    attempt = Attempt(command, ProcessRecord(**record), conditions=conditions, **same)
    cell.report_end(arguments, "scored" if complete else "no result", subject, attempt)
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
