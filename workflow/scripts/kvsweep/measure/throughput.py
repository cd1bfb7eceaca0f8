"""Measuring a throughput cell."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.engine import commands
from kvsweep.engine.bench_output import bench_progress, failed_computations, results
from kvsweep.errors import KvsweepError
from kvsweep.files import partial
from kvsweep.measure import engine_run
from kvsweep.measure.cell import ATTEMPTS, announce, kept_from_before, prepare, report_end, run
from kvsweep.measure.engine_run import Attempt, Subject
from kvsweep.measure.measured_curve import measured_curve
from kvsweep.measure.prediction import Curve, predicted_seconds
from kvsweep.measure.progress import tail
from kvsweep.program import say
from kvsweep.statistics import cannot_be_the_same
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.units import format_duration

# A cell whose engine was asleep for longer than this is timed again.
SLEPT_SECONDS = 1.0


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
        streams = [engine_run.read_stream(subject.directory, name) for name in ("bench.jsonl", "stderr.log")]
        tests = results(*streams)
        parts = [f"{test.phase} {test.tokens_per_second:.4g} tokens/s" for test in tests]
        parts += [
            f"{test.phase}'s repetitions cannot be of the same work"
            for test in tests
            if cannot_be_the_same(test.samples_ns)
        ]
        parts += [f"{phase} failed ({line})" for phase, line in failed_computations(streams[1]).items()]
        summary = ", ".join(parts)
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


def describe_bench(directory: Path, elapsed_seconds: float) -> str | None:
    """Where llama-bench is, from the tail of its stderr."""
    found = bench_progress(tail(partial(directory / "stderr.log")))
    if found is None:
        return None
    repetition = f" {found.repetition}/{found.repetitions}" if found.repetition else ""
    return f"test {found.test} of {found.tests}: {found.step}{repetition}, {format_duration(elapsed_seconds)} so far"
