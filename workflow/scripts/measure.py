#!/usr/bin/env python
"""Runs one engine process for one cell, or for a baseline, and keeps what it printed, verbatim, beside a run.json.

It measures and decides nothing. It ends well whenever the engine was started, however the engine ended; it fails when
the cell could not be measured for a reason that is not the engine's (no binary, another model than in model.json, an
incomplete baseline, a full disk), and then keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kvsweep.machine.other_work import OtherWork
from kvsweep.program import run_program
from kvsweep.study.arguments import Arguments, arguments_of
from kvsweep.study.pairs import BASELINE_PAIR, Pair


def main() -> None:
    arguments = parse_arguments(sys.argv[1:])
    own = [pid for pid in (os.getpid(), arguments.workflow_pid) if pid is not None]
    # Watched while the engine and its inputs are verified, so that little or no time is spent on it.
    arguments.other_work = OtherWork(own, arguments.results / "logs" / f"load-{socket.gethostname()}.json")
    # Each kind with what it needs alone: every cell pays for the start.
    if arguments.kind == "throughput":
        from kvsweep.measure.throughput import throughput as measure
    elif arguments.kind == "quality":
        from kvsweep.measure.quality import quality as measure
    elif arguments.kind == "scorer":
        from kvsweep.measure.scorer import scorer as measure
    elif arguments.kind == "task":
        from kvsweep.measure.task import task as measure
    else:
        from kvsweep.measure.quality import baseline as measure
    measure(arguments)


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True)
    for name in ("baseline", "quality", "scorer", "throughput", "task"):
        kind = kinds.add_parser(name, help=f"measure a {name} cell")
        if name in words[:1]:  # the other kinds' options would cost each cell 5 ms
            kind.set_defaults(kind=name)
            add_common(kind)
            add_own(kind.add_argument, name)
    return parser.parse_args(words)


def add_common(kind: argparse.ArgumentParser) -> None:
    """The options of every kind of cell."""
    add = kind.add_argument
    add("--results", type=Path, required=True, help="the results directory")
    add("--cell", required=True, help="the cell's directory in it")
    add("--engine", type=Path, required=True, help="build.json")
    add("--model", type=Path, required=True, help="model.json")
    add("--pair", default=str(BASELINE_PAIR), type=Pair.parse, help="cache types, K/V")
    more = "more arguments of the engine for this pair, by program, as JSON"
    add("--arguments", type=lambda text: arguments_of(json.loads(text)), default=Arguments(), help=more)
    add("--machine", help="name of this machine, instead of one made from its hardware")
    nodes = "on a cluster, what its nodes are, as JSON (engines.NAME.nodes)"
    add("--nodes", type=json.loads, default={}, help=nodes)
    add("--workflow-pid", type=int, help="the process to measure for; if it ends, the engine is ended")
    add("--cell-hours", type=float, default=12.0, help="time limit")
    add("--log-mebibytes", type=float, default=64.0, help="most that is kept of each stream")
    add("--skip", action="store_true", help="skip a cell that is predicted to take too long")


def add_own(add: Callable[..., object], name: str) -> None:
    """The options of the kind of this name."""
    if name == "throughput":
        add("--depth", type=int, required=True, help="tokens in the cache before the timed ones")
        add("--prompt", type=int, required=True, help="tokens of the timed prompt")
        add("--generate", type=int, required=True, help="tokens of the timed generation")
        add("--repetitions", type=int, required=True)
    elif name == "task":
        add("--task", required=True, help="name of the task")
        add("--definition", type=json.loads, required=True, help="what its items follow from, as JSON")
        add("--n-items", type=int, required=True, help="items that it has")
        minutes = "longest time that an answer may take, by task, as JSON; 60 minutes if absent"
        add("--answer-minutes", type=json.loads, default={}, help=minutes)
        add("--corpus", type=Path, help="corpus.json of the text that it is of, if it is")
        add("--harness", type=Path, help="manifest of the harness that asks, if one does")
    else:
        add("--corpus", type=Path, required=True, help="corpus.json")
        add("--n-ctx", type=int, required=True, help="context, tokens")
        add("--chunks", type=int, required=True, help="windows to score")
    if name == "scorer":
        add("--positions", required=True, help="what is scored of a window: half, or BxN")
    if name == "quality":
        add("--logits", type=Path, required=True, help="the baseline's log-probabilities")
        add("--reference", help="the engine that wrote them, where that is another one")


if __name__ == "__main__":
    run_program(main)
    # At once: Snakemake throws the record away if this process is killed after it was written.
    os._exit(0)
