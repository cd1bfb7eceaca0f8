"""Measuring one cell, whichever kind it is: what is verified, said and watched around its engine process."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, write_memory
from kvsweep.machine.conditions import read_conditions, remarks
from kvsweep.machine.description import this_machine
from kvsweep.machine.other_work import is_busy
from kvsweep.measure import engine_run
from kvsweep.measure.engine_run import Attempt, Subject
from kvsweep.measure.progress import Progress, count_done
from kvsweep.measure.record import DONE
from kvsweep.measure.second_names import restore_finished
from kvsweep.measure.takeover import Claim
from kvsweep.measure.verified import load_engine, load_model
from kvsweep.program import say
from kvsweep.study.arguments import Arguments, arguments_of
from kvsweep.units import format_count, format_duration

# Mainline's log thread can lose the last lines of a good run, above all on a busy machine; such a run is repeated
# before it counts as crashed.
ATTEMPTS = 3
# An engine that could not work for longer than this is said to have stood still, and timed again.
SLEPT_SECONDS = 1.0


def prepare(arguments: argparse.Namespace, **cell: object) -> Subject:
    """Verify engine and model and say what the cell is."""
    own = ("n_ctx", "chunks", "depth", "prompt", "generate", "repetitions")
    build = load_engine(arguments.engine)
    directory = arguments.results / arguments.cell
    return Subject(
        directory=directory,
        claim=Claim(directory),
        build_json=arguments.engine,
        build=build,
        model=load_model(arguments.model),
        machine=this_machine(arguments.nodes.get("machine") or arguments.machine),
        cell={
            "kind": arguments.kind,
            "ctk": arguments.pair.ctk,
            "ctv": arguments.pair.ctv,
            **{name: getattr(arguments, name) for name in own if hasattr(arguments, name)},
            **cell,
            # Only where there are any: older records have none either.
            **({"arguments": given} if (given := arguments.arguments.as_dict()) else {}),
            "time_limit_seconds": arguments.cell_hours * 3600,
        },
    )


def more_arguments(arguments: argparse.Namespace, subject: Subject) -> Arguments:
    """The engine's arguments from the configuration, and then the pair's."""
    engine, pair = arguments_of(subject.build.get("arguments")), arguments.arguments
    return Arguments(engine.bench + pair.bench, engine.perplexity + pair.perplexity)


def shared_threads(found: Mapping[str, Any]) -> int | None:
    """The threads of an untimed cell where several of them share a node; else None, the engine's own choice."""
    return found["cores"] // found["share"] or 1 if found.get("share", 1) > 1 else None


def kept_from_before(subject: Subject, command: Sequence[str]) -> bool:
    """Whether an earlier run had finished this cell. Snakemake had not noted it, or was not sure of it."""
    if not restore_finished(subject.directory, subject.describe(command)):
        return False
    say("  had been finished before; kept")
    return True


def run(
    arguments: argparse.Namespace,
    subject: Subject,
    command: Sequence[str],
    stdout_name: str,
    describe: Callable[[Path, float], str | None],
    until: Callable[[], bool] | None = None,
) -> Attempt:
    """Run the engine once for a prepared cell and return what happened, whatever the exit status.

    Its standard output goes to ``stdout_name`` in the directory of the attempt. ``describe`` says from that directory
    and the seconds since the start how far it is. The engine is ended as soon as ``until`` is true.
    """
    conditions = read_conditions()
    logs, run_id = arguments.results / "logs", str(arguments.workflow_pid or "")
    for remark in new_remarks(logs, subject.machine.host, run_id, remarks(conditions)):
        say(f"  note: {remark}")
    with Progress(subject.directory, describe, say, subject.machine.host) as progress:
        attempt = engine_run.run_engine(
            subject, command, stdout_name, arguments, conditions, progress.tick, until
        )
    arguments.other_work.leave()
    return attempt


def new_remarks(directory: Path, host: str, run_id: str, found: Sequence[str]) -> list[str]:
    """Those of ``found`` that this run of the workflow has not yet said of this machine: once is enough in a night."""
    memory = directory / f"said-{host}.json"
    try:
        before = read_json(memory)
    except KvsweepError:
        before = {}
    said = before.get("said", []) if before.get("run") == run_id else []
    new = [remark for remark in found if remark not in said]
    write_memory(memory, {"run": run_id, "said": [*said, *new]})
    return new


def announce(arguments: argparse.Namespace, what: str) -> None:
    """Say in one line which cell begins, and how many of all are done."""
    done = count_done(arguments.results)
    number = f"{done[0]} of {done[1]} cells done; " if done else ""
    names = Path(arguments.cell).parts[1:3]
    say(f"{number}{what} ({', '.join(names)})")


def report_end(
    arguments: argparse.Namespace,
    summary: str,
    subject: Subject,
    attempt: Attempt,
    log_name: str = "stderr.log",
) -> None:
    """One line for a cell that will be kept at once: which, what came out, how long it took, what is left; and one more
    where the engine did not compute on the device that it was built for."""
    record = attempt.record
    ended = (None if record.ended_by == DONE else record.ended_by or record.signal) or (
        f"exit status {record.exit_status}" if record.exit_status else ""
    )
    done = count_done(arguments.results, besides=arguments.cell)
    cores = attempt.busy_cores_before
    parts = [
        f"{arguments.pair}{what_length(arguments)}: {summary}",
        f"ended by {ended}" if ended else "",
        f"the machine was busy before: other programs took {cores:.1f} cores" if is_busy(cores) else "",
        stood_still(record.suspended_seconds),
        format_duration(record.wall_seconds),
        f"{done[1] - done[0]} of {done[1]} cells left" if done else "",
    ]
    say("  " + "; ".join(filter(None, parts)))
    # Of ready binaries that were not named one, nobody knows what they were built for.
    if subject.build["backend"] not in (None, "cpu", "auto"):
        from kvsweep.engine.off_device import (
            signs_in,  # all that reads the engine's log: not every cell needs it
        )

        log = engine_run.read_stream(subject.directory, log_name)
        for sign in signs_in(log, attempt.command, subject.model.get("architecture")):
            say(f"  note: work left the device: {sign}; see docs/backends.md")


def stood_still(seconds: float) -> str:
    """The words on how long an engine could not work; empty if that was short."""
    if seconds < SLEPT_SECONDS:
        return ""
    return f"this machine slept, or the engine was stopped, for {format_duration(seconds)}"


def what_length(arguments: argparse.Namespace) -> str:
    """Words for the depth or the context of the cell, to be put behind its pair; empty for a task."""
    if arguments.kind == "throughput":
        return f" at depth {format_count(arguments.depth)}"
    if arguments.kind == "task":
        return ""
    return f" at context {format_count(arguments.n_ctx)}"
