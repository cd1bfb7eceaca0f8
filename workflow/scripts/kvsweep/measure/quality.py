"""Measuring a baseline, and a quality cell against it."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kvsweep.engine import baseline_file, commands
from kvsweep.engine.failures import first_line
from kvsweep.engine.perplexity_log import corpus_shortage
from kvsweep.engine.perplexity_output import chunks_done, parse_kl
from kvsweep.engine.perplexity_results import ClosingStatisticsMissing
from kvsweep.engine.wordings import COMPUTATION
from kvsweep.errors import KvsweepError
from kvsweep.files import partial, read_json
from kvsweep.machine import cluster_job
from kvsweep.measure import cell, engine_run
from kvsweep.measure.engine_run import Attempt, Subject
from kvsweep.measure.outcome import quality_in_words
from kvsweep.measure.progress import pace, tail
from kvsweep.measure.record import how_it_ended
from kvsweep.measure.second_names import drop_spare
from kvsweep.measure.verified import load_corpus
from kvsweep.program import last_line, say
from kvsweep.study.programs import PERPLEXITY
from kvsweep.units import format_bytes, format_duration

# Mainline lost the end of its log in 10 of 32 runs on a busy machine: six in a row would be one cell in 1,000.
LOG_ATTEMPTS = 6
# Of a shared file system: NFS looks again after a minute at the latest.
LATENCY_SECONDS = 60


def baseline(arguments: argparse.Namespace) -> None:
    """Measure f16/f16 and keep its log-probabilities. Raises KvsweepError where they are not whole."""
    corpus = load_corpus(arguments.corpus)
    subject = cell.prepare(arguments, corpus=corpus["corpus"], corpus_sha256=corpus["sha256"])
    n_ctx, chunks, n_vocab = arguments.n_ctx, arguments.chunks, subject.model["n_vocab"]
    logits = subject.directory / "logits.kld"
    check_disk(subject.directory, baseline_file.expected_size_bytes(n_ctx, n_vocab, chunks))
    cell.announce(arguments, f"baseline at context {n_ctx}")
    command = commands.baseline(
        subject.program(PERPLEXITY), request(arguments, subject, corpus), chunks, partial(logits)
    )
    if cell.kept_from_before(subject, command):
        return
    try:
        # One that a killed runner has left may still be written to by an engine on another node.
        partial(logits).unlink(missing_ok=True)
        attempt = cell.run(arguments, subject, command, "stdout.log", describe_perplexity(chunks))
        check_baseline_run(subject, attempt, partial(logits), corpus["corpus"], n_ctx, chunks)
    except BaseException:
        engine_run.give_up(subject, "stdout.log", partial(logits))
        raise
    partial(logits).replace(logits)
    size, took = format_bytes(logits.stat().st_size), format_duration(attempt.record.wall_seconds)
    slept = cell.stood_still(attempt.record.suspended_seconds)
    say(f"  {size} of log-probabilities, {took}" + (f"; {slept}" if slept else ""))
    engine_run.keep(subject, [attempt], beside=[logits.name])


def request(
    arguments: argparse.Namespace, subject: Subject, corpus: Mapping[str, Any]
) -> commands.PerplexityRequest:
    """What every llama-perplexity run of the cell or baseline is asked for, with or without a reference."""
    return commands.PerplexityRequest(
        subject.model["path"],
        corpus["path"],
        arguments.n_ctx,
        cell.shared_threads(arguments.nodes),
        cell.more_arguments(arguments, subject).perplexity,
        # An engine that was built before anybody asked what its log has at which level.
        tuple(subject.build.get("log_arguments", ("-lv", "4"))),
    )


def check_baseline_run(
    subject: Subject, attempt: Attempt, logits: Path, corpus: str, n_ctx: int, chunks: int
) -> None:
    """Raise KvsweepError unless the baseline is whole. Without it no quality cell of the context can be measured."""
    texts = [engine_run.read_stream(subject.directory, name) for name in ("stdout.log", "stderr.log")]
    shortage = corpus_shortage("\n".join(texts))
    if shortage is not None:
        has, needs = shortage
        raise KvsweepError(
            f"corpora.{corpus}: the text has {has} tokens and needs {needs}, twice the context of {n_ctx}; "
            "take a longer text or a shorter context."
        )
    # The log-probabilities are whole all the same: without a sign of those that were never computed.
    failed = first_line("\n".join(texts), COMPUTATION)
    if failed is not None:
        raise KvsweepError(
            f"the baseline at context {n_ctx}: a computation failed ({failed}), so its log-probabilities are not what "
            "f16 gives; it was removed."
        )
    ended = attempt.record.ended_by or how_it_ended(attempt.record._asdict())
    how = f"(the engine ended with {ended}; its last line: {last_line(texts[1])})"
    if not logits.exists():
        raise KvsweepError(f"the baseline at context {n_ctx} was not written {how}")
    try:
        baseline_file.check(logits, n_ctx, chunks, subject.model["n_vocab"])
    except KvsweepError as error:
        raise KvsweepError(f"{error}; it was removed {how}") from error


def quality(arguments: argparse.Namespace) -> None:
    """Measure a pair against the baseline. Raises KvsweepError, and removes the baseline, where that is not whole."""
    corpus = load_corpus(arguments.corpus)
    other = reference(arguments)
    subject = cell.prepare(arguments, corpus=corpus["corpus"], corpus_sha256=corpus["sha256"], **other)
    n_ctx, chunks, pair = arguments.n_ctx, arguments.chunks, arguments.pair
    try:
        await_baseline(arguments.logits, n_ctx, chunks, subject.model["n_vocab"])
    except KvsweepError:
        # Its run.json goes too, so that the next run makes it again.
        arguments.logits.unlink(missing_ok=True)
        arguments.logits.with_name("run.json").unlink(missing_ok=True)
        drop_spare(arguments.logits.parent)
        raise
    # That this cell was started proves the baseline booked; a second name would keep its disk space from being freed.
    drop_spare(arguments.logits.parent)
    against = f" against {other['reference']['engine']}'s f16" if other else ""
    cell.announce(arguments, f"quality of {pair} at context {n_ctx}{against}")
    command = commands.kl_divergence(
        subject.program(PERPLEXITY), request(arguments, subject, corpus), pair, arguments.logits
    )
    if cell.kept_from_before(subject, command):
        return
    attempts: list[Attempt] = []
    summary = ""
    while len(attempts) < LOG_ATTEMPTS:
        attempts.append(cell.run(arguments, subject, command, "stdout.log", describe_perplexity(chunks)))
        texts = [engine_run.read_stream(subject.directory, name) for name in ("stdout.log", "stderr.log")]
        try:
            found = parse_kl(*texts)
            summary = quality_in_words(found.kld_mean, found.ppl)
        except ClosingStatisticsMissing:
            if attempts[-1].record.exit_status == 0 and len(attempts) < LOG_ATTEMPTS:
                say("  the engine ended well but lost the end of its output; running it again")
                continue
        except KvsweepError:
            failed = first_line("\n".join(texts), COMPUTATION)
            summary = f"no result ({failed})" if failed else ""
        break
    cell.report_end(arguments, summary or "no result", subject, attempts[-1])
    engine_run.keep(subject, attempts)


def reference(arguments: argparse.Namespace) -> dict[str, Any]:
    """What run.json says of the engine whose f16 the cell is compared with: nothing where that is its own."""
    if arguments.reference is None:
        return {}
    written = read_json(arguments.logits.with_name("run.json"))
    same = ("engine", "engine_definition", "engine_files")
    return {"reference": {name: written.get(name) for name in same}}


def await_baseline(logits: Path, n_ctx: int, chunks: int, n_vocab: int) -> None:
    """``baseline_file.check``; on a cluster's node a file that another one has written can take a while to show up."""
    end = time.monotonic() + (LATENCY_SECONDS if cluster_job.is_job(os.environ) else 0)
    while True:
        try:
            baseline_file.check(logits, n_ctx, chunks, n_vocab)
            return
        except KvsweepError:
            if time.monotonic() >= end:
                raise
            time.sleep(2)


def check_disk(directory: Path, needed_bytes: int) -> None:
    """Raise KvsweepError if the disk of ``directory``, which may not exist yet, has less than that free."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise KvsweepError(
            f"{directory}: the baseline needs {format_bytes(needed_bytes)} of disk and {format_bytes(free)} are free; "
            "free some, or score fewer chunks."
        )


def describe_perplexity(chunks: int) -> Callable[[Path, float], str | None]:
    """How many of ``chunks`` windows llama-perplexity has scored, and how long the rest will take at its pace."""

    def describe(directory: Path, elapsed_seconds: float) -> str | None:
        tails = [tail(partial(directory / name)) for name in ("stdout.log", "stderr.log")]
        return pace("window", chunks_done("\n".join(tails)), 0, chunks, elapsed_seconds)

    return describe
