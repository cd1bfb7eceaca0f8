"""Measuring a throughput cell."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvsweep.engine import commands
from kvsweep.engine.bench_output import bench_progress, failed_computations, results
from kvsweep.errors import KvsweepError
from kvsweep.files import partial, sha256
from kvsweep.measure import cell, engine_run
from kvsweep.measure.engine_run import Attempt, Subject
from kvsweep.measure.outcome import speed_in_words
from kvsweep.measure.prediction import directories_of, has_probe, measured_curve, predicted_seconds
from kvsweep.measure.progress import tail
from kvsweep.measure.record import NO_RECORD, TIME_LIMIT, read_recorded
from kvsweep.program import say
from kvsweep.statistics import cannot_be_the_same
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.study.programs import BENCH
from kvsweep.units import format_duration


def throughput(arguments: argparse.Namespace) -> None:
    """Measure prefill and decode of a pair at one depth, or write down that it would take too long."""
    request = commands.BenchRequest(
        arguments.depth, arguments.prompt, arguments.generate, arguments.repetitions
    )
    # Records of the first round are as they were before there were rounds.
    round_ = round_of(arguments.cell)
    subject = cell.prepare(arguments, **({"round": round_} if round_ > 1 else {}))
    curve_directory = arguments.results.joinpath(*Path(arguments.cell).parts[:3])
    command = commands.bench(
        subject.program(BENCH),
        subject.model["path"],
        arguments.pair,
        request,
        cell.more_arguments(arguments, subject).bench,
    )
    in_round = f", round {round_}" if round_ > 1 else ""
    cell.announce(arguments, f"throughput of {arguments.pair} at depth {arguments.depth}{in_round}")
    if cell.kept_from_before(subject, command):
        return
    if arguments.skip:
        predicted, basis = expected_seconds(subject, curve_directory, request, arguments.pair)
        if predicted is not None and predicted > arguments.cell_hours * 3600:
            reason = (
                f"predicted to take {format_duration(predicted)}, over the limit of {arguments.cell_hours:g} h, "
                f"from {basis}"
            )
            engine_run.keep_skipped(subject, command, ("bench.jsonl", "stderr.log"), reason, predicted)
            say(f"  skipped: {reason}")
            return
    attempts: list[Attempt] = []
    while len(attempts) < cell.ATTEMPTS:
        attempts.append(cell.run(arguments, subject, command, "bench.jsonl", describe_bench))
        slept = cell.stood_still(attempts[-1].record.suspended_seconds)
        if not slept or len(attempts) == cell.ATTEMPTS:
            break
        # The clock of some systems goes on meanwhile, and with it the engine's.
        say(f"  {slept}; measuring the cell again")
    try:
        stdout, stderr = (
            engine_run.read_stream(subject.directory, name) for name in ("bench.jsonl", "stderr.log")
        )
        failed = failed_computations(stdout, stderr)
        tests = results(stdout, stderr, failed)
        parts = [*map(speed_in_words, tests)]
        parts += [
            f"{test.phase}'s repetitions cannot be of the same work"
            for test in tests
            if cannot_be_the_same(test.samples_ns)
        ]
        parts += [f"{phase} failed ({line})" for phase, line in failed.items()]
        summary = ", ".join(parts)
    except KvsweepError:
        summary = ""
    cell.report_end(arguments, summary or "no result", subject, attempts[-1])
    engine_run.keep(subject, attempts)


def round_of(directory: str) -> int:
    """The round of a cell, from its directory: the first one's does not say it."""
    found = re.match(r"throughput/[^/]+/[^/]+/round-(\d+)/", directory)
    return int(found[1]) if found else 1


def expected_seconds(
    subject: Subject, curve_directory: Path, request: commands.BenchRequest, pair: Pair
) -> tuple[float | None, str]:
    """How long a cell will take, and what says so: another round of it, else the pair's shallower cells."""
    for directory in directories_of(curve_directory, request.depth, pair):
        try:
            run = read_recorded(directory).run
            if directory == subject.directory or not _is_of(run, subject) or run.get("skipped"):
                continue
            seconds = float(run["wall_seconds"])
            if run["ended_by"] == TIME_LIMIT:
                # It would have gone on.
                seconds = max(seconds, 1.001 * float(run["time_limit_seconds"]))
        except (KvsweepError, *NO_RECORD):
            continue
        return seconds, f"round {run.get('round', 1)}"
    if not has_probe(curve_directory, pair, request.depth):
        return None, ""
    build, model, machine = sha256(subject.build_json), subject.model["sha256"], subject.machine.name
    own, reference = (
        measured_curve(curve_directory, one, build, model, machine) for one in (pair, BASELINE_PAIR)
    )
    depths = ", ".join(str(depth) for depth in sorted(own) if depth < request.depth)
    return predicted_seconds(request, own, reference), f"the cells at depth {depths}"


def _is_of(run: Mapping[str, Any], subject: Subject) -> bool:
    now = subject.describe([])
    same = ("build_sha256", "model_sha256", "prompt", "generate", "repetitions")
    return all(run.get(name) == now[name] for name in same) and run["machine"]["name"] == subject.machine.name


def describe_bench(directory: Path, elapsed_seconds: float) -> str | None:
    """Where llama-bench is, from the tail of its stderr."""
    found = bench_progress(tail(partial(directory / "stderr.log")))
    return found and f"{found}, {format_duration(elapsed_seconds)} so far"
