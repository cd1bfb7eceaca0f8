#!/usr/bin/env python
"""Runs one engine process for one cell, or for a baseline, and keeps what it printed, verbatim, beside a run.json.

It measures and decides nothing. It ends well whenever the engine was started, however the engine ended; it fails when
the cell could not be measured for a reason that is not the engine's (no binary, another model than in model.json, an
incomplete baseline, a full disk), and then keeps nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kvsweep import baseline_file, cluster_job, commands, engine_run
from kvsweep.bench_output import parse_bench
from kvsweep.cache_types import BASELINE_PAIR, Pair
from kvsweep.claim import Claim
from kvsweep.conditions import read_conditions, remarks
from kvsweep.engine_run import Attempt, Subject
from kvsweep.environment import devices_of
from kvsweep.errors import KvsweepError
from kvsweep.files import partial, read_json, write_json
from kvsweep.machine import this_machine
from kvsweep.other_work import OtherWork
from kvsweep.perplexity_output import ClosingStatisticsMissing, parse_kl
from kvsweep.prediction import Curve, predicted_seconds
from kvsweep.process import LIMITS, NODES, WORKFLOW_PID
from kvsweep.program import run_program, say
from kvsweep.progress import Progress, count_done, describe_bench, describe_perplexity
from kvsweep.recorded import measured_curve
from kvsweep.status import corpus_shortage, how_it_ended, last_line
from kvsweep.units import format_bytes, format_count, format_duration

# Mainline's log thread can lose the last lines of a good run, above all on a busy machine; such a run is repeated
# before it counts as crashed.
ATTEMPTS = 3
# A cell whose engine was asleep for longer than this is timed again.
SLEPT_SECONDS = 1.0

# Of a shared file system: NFS looks again after a minute at the latest.
LATENCY_SECONDS = 60


def main() -> None:
    own = [os.getpid(), *map(int, os.environ.get(WORKFLOW_PID, "").split())]
    # Watched while the engine and its inputs are verified, so that little or no time is spent on it.
    other_work = OtherWork(own)
    arguments = parse_arguments()
    arguments.other_work = other_work
    arguments.measure(arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True)
    for name, measure in (("baseline", baseline), ("quality", quality), ("throughput", throughput)):
        kind = kinds.add_parser(name, help=f"measure a {name} cell")
        kind.set_defaults(measure=measure, kind=name)
        kind.add_argument("--results", type=Path, required=True, help="the results directory")
        kind.add_argument("--cell", required=True, help="the cell's directory in it")
        kind.add_argument("--engine", type=Path, required=True, help="build.json")
        kind.add_argument("--model", type=Path, required=True, help="model.json")
        kind.add_argument("--pair", default=str(BASELINE_PAIR), type=Pair.parse, help="cache types, K/V")
        kind.add_argument("--machine", help="name of this machine, instead of one made from its hardware")
        kind.add_argument("--cell-hours", type=float, default=12.0, help="time limit")
        kind.add_argument(
            "--log-mebibytes", type=float, default=64.0, help="most that is kept of each stream"
        )
        kind.add_argument(
            "--skip", action="store_true", help="skip a cell that is predicted to take too long"
        )
        if name == "throughput":
            kind.add_argument(
                "--depth", type=int, required=True, help="tokens in the cache before the timed ones"
            )
            kind.add_argument("--prompt", type=int, required=True, help="tokens of the timed prompt")
            kind.add_argument("--generate", type=int, required=True, help="tokens of the timed generation")
            kind.add_argument("--repetitions", type=int, required=True)
        else:
            kind.add_argument("--corpus", type=Path, required=True, help="corpus.json")
            kind.add_argument("--n-ctx", type=int, required=True, help="context, tokens")
            kind.add_argument("--chunks", type=int, required=True, help="windows to score")
        if name == "quality":
            kind.add_argument("--logits", type=Path, required=True, help="the baseline's log-probabilities")
        # What is given on the command line wins.
        kind.set_defaults(**json.loads(os.environ.get(LIMITS, "{}")))
    return parser.parse_args()


def baseline(arguments: argparse.Namespace) -> None:
    corpus = engine_run.load_corpus(arguments.corpus)
    subject = prepare(arguments, corpus=corpus["corpus"], corpus_sha256=corpus["sha256"])
    n_ctx, chunks, n_vocab = arguments.n_ctx, arguments.chunks, subject.model["n_vocab"]
    logits = subject.directory / "logits.kld"
    check_disk(subject.directory, baseline_file.expected_size_bytes(n_ctx, n_vocab, chunks))
    announce(arguments, f"baseline at context {n_ctx}")
    command = commands.baseline(
        subject.program("llama-perplexity"),
        subject.model["path"],
        corpus["path"],
        n_ctx,
        chunks,
        partial(logits),
        shared_threads(subject),
    )
    if kept_from_before(subject, command):
        return
    try:
        # One that a killed runner has left may still be written to by an engine on another node.
        partial(logits).unlink(missing_ok=True)
        attempt = run(arguments, subject, command, "stdout.log", describe_perplexity(chunks))
        check_baseline_run(subject, attempt, partial(logits), corpus["corpus"], n_ctx, chunks)
    except BaseException:
        engine_run.give_up(subject, "stdout.log", partial(logits))
        raise
    partial(logits).replace(logits)
    say(
        f"  {format_bytes(logits.stat().st_size)} of log-probabilities, {format_duration(attempt.record.wall_seconds)}"
    )
    engine_run.keep(subject, [attempt], beside=[logits.name])


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
    ended = attempt.record.ended_by or how_it_ended(dataclasses.asdict(attempt.record))
    how = f"(the engine ended with {ended}; its last line: {last_line(texts[1])})"
    if not logits.exists():
        raise KvsweepError(f"the baseline at context {n_ctx} was not written {how}")
    try:
        baseline_file.check(logits, n_ctx, chunks, subject.model["n_vocab"])
    except KvsweepError as error:
        raise KvsweepError(f"{error}; it was removed {how}") from error


def quality(arguments: argparse.Namespace) -> None:
    corpus = engine_run.load_corpus(arguments.corpus)
    subject = prepare(arguments, corpus=corpus["corpus"], corpus_sha256=corpus["sha256"])
    n_ctx, chunks, pair = arguments.n_ctx, arguments.chunks, arguments.pair
    try:
        await_baseline(arguments.logits, n_ctx, chunks, subject.model["n_vocab"])
    except KvsweepError:
        # Its run.json goes too, so that the next run makes it again.
        arguments.logits.unlink(missing_ok=True)
        arguments.logits.with_name("run.json").unlink(missing_ok=True)
        engine_run.drop_spare(arguments.logits.parent)
        raise
    # That this cell was started proves the baseline booked; a second name would keep its disk space from being freed.
    engine_run.drop_spare(arguments.logits.parent)
    announce(arguments, f"quality of {pair} at context {n_ctx}")
    command = commands.kl_divergence(
        subject.program("llama-perplexity"),
        subject.model["path"],
        corpus["path"],
        n_ctx,
        pair,
        arguments.logits,
        shared_threads(subject),
    )
    if kept_from_before(subject, command):
        return
    attempts: list[Attempt] = []
    summary = ""
    while len(attempts) < ATTEMPTS:
        attempts.append(run(arguments, subject, command, "stdout.log", describe_perplexity(chunks)))
        texts = [engine_run.read_stream(subject.directory, name) for name in ("stdout.log", "stderr.log")]
        try:
            found = parse_kl(*texts)
            summary = f"KLD {found.kld_mean:.6f}, PPL {found.ppl:.4f}"
        except ClosingStatisticsMissing:
            if attempts[-1].record.exit_status == 0 and len(attempts) < ATTEMPTS:
                say("  the engine ended well but lost the end of its output; running it again")
                continue
        except KvsweepError:
            pass
        break
    report_end(arguments, summary or "no result", attempts[-1])
    engine_run.keep(subject, attempts)


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


def throughput(arguments: argparse.Namespace) -> None:
    request = commands.BenchRequest(
        arguments.depth, arguments.prompt, arguments.generate, arguments.repetitions
    )
    subject = prepare(arguments)
    command = commands.bench(subject.program("llama-bench"), subject.model["path"], arguments.pair, request)
    announce(arguments, f"throughput of {arguments.pair} at depth {arguments.depth}")
    if kept_from_before(subject, command):
        return
    if arguments.skip:
        own = shallower(subject, arguments.pair)
        predicted = predicted_seconds(request, own, shallower(subject, BASELINE_PAIR))
        if predicted is not None and predicted > arguments.cell_hours * 3600:
            reason = (
                f"predicted to take {format_duration(predicted)}, over the limit of {arguments.cell_hours:g} h, "
                f"from the cells at depth {', '.join(str(depth) for depth in sorted(own))}"
            )
            engine_run.keep_skipped(subject, command, ("bench.jsonl", "stderr.log"), reason, predicted)
            say(f"  skipped: {reason}")
            return
    attempts: list[Attempt] = []
    while len(attempts) < ATTEMPTS:
        attempts.append(run(arguments, subject, command, "bench.jsonl", describe_bench))
        slept = attempts[-1].record.suspended_seconds
        if slept < SLEPT_SECONDS:
            break
        # The clock of some systems goes on meanwhile, and with it the engine's.
        say(f"  this machine slept for {format_duration(slept)} meanwhile; measuring the cell again")
    try:
        tests = parse_bench(engine_run.read_stream(subject.directory, "bench.jsonl"))
        summary = ", ".join(f"{test.phase} {test.tokens_per_second:.4g} tokens/s" for test in tests)
    except KvsweepError:
        summary = ""
    report_end(arguments, summary or "no result", attempts[-1])
    engine_run.keep(subject, attempts)


def shallower(subject: Subject, pair: Pair) -> Curve:
    """What this engine and model have measured of a pair so far, on this machine."""
    curve_directory = subject.directory.parents[2]
    return measured_curve(
        curve_directory,
        pair,
        subject.describe([])["build_sha256"],
        subject.model["sha256"],
        subject.machine.name,
    )


def prepare(arguments: argparse.Namespace, **cell: object) -> Subject:
    """Verify engine and model and say what the cell is."""
    own = ("n_ctx", "chunks", "depth", "prompt", "generate", "repetitions")
    build = engine_run.load_engine(arguments.engine)
    directory = arguments.results / arguments.cell
    return Subject(
        directory=directory,
        claim=Claim(directory),
        build_json=arguments.engine,
        build=build,
        model=engine_run.load_model(arguments.model),
        machine=this_machine(nodes(build["engine"]).get("machine") or arguments.machine),
        cell={
            "kind": arguments.kind,
            "ctk": arguments.pair.ctk,
            "ctv": arguments.pair.ctv,
            **{name: getattr(arguments, name) for name in own if hasattr(arguments, name)},
            **cell,
            "time_limit_seconds": arguments.cell_hours * 3600,
        },
    )


def nodes(engine: str) -> dict[str, Any]:
    """On a cluster, what the configuration says of the nodes of an engine."""
    found: dict[str, Any] = json.loads(os.environ.get(NODES, "{}")).get(engine, {})
    return found


def shared_threads(subject: Subject) -> int | None:
    """The threads of an untimed cell where several of them share a node; else None, the engine's own choice."""
    found = nodes(subject.build["engine"])
    return found["cores"] // found["share"] or 1 if found.get("share", 1) > 1 else None


def kept_from_before(subject: Subject, command: Sequence[str]) -> bool:
    """Whether an earlier run had finished this cell and was killed before Snakemake could book it."""
    if not engine_run.restore_finished(subject, command):
        return False
    say("  had been finished when the last run was killed; kept")
    return True


def run(
    arguments: argparse.Namespace,
    subject: Subject,
    command: Sequence[str],
    stdout_name: str,
    describe: Callable[[Path, float], str | None],
) -> Attempt:
    conditions = read_conditions()
    for remark in new_remarks(arguments.results / "logs", subject.machine.host, remarks(conditions)):
        say(f"  note: {remark}")
    # Where all of the workflow runs in one job, the end of that job is no verdict on the cell that it interrupts.
    on_nodes = nodes(subject.build["engine"])
    job_seconds = cluster_job.usable_seconds() if on_nodes else None
    with Progress(subject.directory, describe, say, subject.machine.host) as progress:
        return engine_run.run_engine(
            subject,
            command,
            stdout_name,
            cell_hours=arguments.cell_hours,
            job_seconds=job_seconds,
            devices=devices_of(on_nodes.get("gres")),
            log_mebibytes=arguments.log_mebibytes,
            other_work=arguments.other_work,
            conditions=conditions,
            on_tick=progress.tick,
        )


def new_remarks(directory: Path, host: str, found: Sequence[str]) -> list[str]:
    """Those that were not said of this machine before in this run of the workflow: once is enough in a night."""
    memory = directory / f"said-{host}.json"
    run_id = os.environ.get(WORKFLOW_PID, "")
    try:
        before = read_json(memory)
    except KvsweepError:
        before = {}
    said = before.get("said", []) if before.get("run") == run_id else []
    new = [remark for remark in found if remark not in said]
    write_json(memory, {"run": run_id, "said": [*said, *new]})
    return new


def announce(arguments: argparse.Namespace, what: str) -> None:
    done = count_done(arguments.results, arguments.results / "cells.txt")
    number = f"{done[0]} of {done[1]} cells done; " if done else ""
    names = Path(arguments.cell).parts[1:3]
    say(f"{number}{what} ({', '.join(names)})")


def report_end(arguments: argparse.Namespace, summary: str, attempt: Attempt) -> None:
    """One line for a cell that will be kept at once: which, what came out, how long it took, what is left."""
    record = attempt.record
    ended = (
        record.ended_by
        or record.signal
        or (f"exit status {record.exit_status}" if record.exit_status else "")
    )
    done = count_done(arguments.results, arguments.results / "cells.txt")
    is_new = not (arguments.results / arguments.cell / "run.json").exists()
    parts = [
        f"{arguments.pair} at {what_length(arguments)}: {summary}",
        *([f"ended by {ended}"] if ended else []),
        format_duration(record.wall_seconds),
        *([f"{done[1] - done[0] - is_new} of {done[1]} cells left"] if done else []),
    ]
    say("  " + "; ".join(parts))


def what_length(arguments: argparse.Namespace) -> str:
    if arguments.kind == "throughput":
        return f"depth {format_count(arguments.depth)}"
    return f"context {format_count(arguments.n_ctx)}"


def check_disk(directory: Path, needed_bytes: int) -> None:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise KvsweepError(
            f"{directory}: the baseline needs {format_bytes(needed_bytes)} of disk and {format_bytes(free)} are free; "
            "free some, or score fewer chunks."
        )


if __name__ == "__main__":
    run_program(main)
    # At once: Snakemake throws the record away if this process is killed after it was written.
    os._exit(0)
