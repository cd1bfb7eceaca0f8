#!/usr/bin/env python
"""Makes the tables of answers from those of the cells: the study's statements, speed over rounds, comparisons with what
was published and of pairs with each other, quality by depth, right answers, memory, and which pair is best for which
work."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kvsweep.analysis import claims
from kvsweep.analysis.across import across
from kvsweep.analysis.advice import advice
from kvsweep.analysis.agreement import agreement
from kvsweep.analysis.bandwidth import bandwidth, read_bandwidths
from kvsweep.analysis.comparisons import compare
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.depth import by_depth
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.k_or_v import k_or_v
from kvsweep.analysis.memory import largest_contexts, memory
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.repetitions import repetitions
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.analysis.task_shares import task_shares
from kvsweep.analysis.workloads import as_deep_as_measured
from kvsweep.program import run_program, say
from kvsweep.study.config import parse_workloads
from kvsweep.tables.row import Row, is_published, one_method, pair_of
from kvsweep.tables.storage import read_table, write_rows


def main() -> None:
    arguments = parse_arguments()
    tables: Path = arguments.tables

    def write(name: str, rows: Iterable[dict[str, Any]]) -> None:
        write_rows(tables, name, rows, ANALYSIS[name])

    processes, by_all_methods, models, tasks, items = (
        read_table(tables, name).to_pylist()
        for name in ("throughput", "quality", "models", "tasks", "task_items")
    )
    write("repetitions", repetitions(processes))
    throughput, quality = over_rounds(processes), one_method(by_all_methods)
    checked = claims.evaluate(*(filter(claims.is_subject, rows) for rows in (throughput, quality)))
    write("claims", checked)
    say_verdicts(checked)
    write("speed", speeds(throughput))
    write("comparisons", [*compare(throughput), *compare(quality)])
    write("across", across(throughput, quality))
    write("head_to_head", head_to_head(throughput, quality, models))
    write("pareto", pareto(throughput, quality, models, arguments.pareto_depth))
    write("k_or_v", k_or_v(quality))
    write("crossovers", crossovers(throughput))
    write("depth", by_depth(by_all_methods))
    write("agreement", agreement(by_all_methods))
    needed = list(memory(throughput, models))
    write("memory", needed)
    write("bandwidth", bandwidth(throughput, needed, read_bandwidths()))
    write("largest_context", largest_contexts(throughput, models, json.loads(arguments.memories)))
    shares = task_shares(tasks, items)
    write("task_shares", shares)
    asked = json.loads(arguments.workloads)
    workloads = parse_workloads(asked)
    if asked is None:
        workloads = as_deep_as_measured(workloads, processes)
    if asked:
        # What others published was measured for other work than this configuration's.
        throughput, quality = (
            [row for row in rows if not is_published(row)] for rows in (throughput, quality)
        )
    advised = advice(throughput, quality, models, workloads.values(), shares, tasks)
    write("advice", advised)
    say_picks(advised)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument(
        "--pareto-depth",
        type=int,
        help="depth of the decode speed, in tokens; the deepest common one if absent",
    )
    parser.add_argument(
        "--memories", default="[]", help="sizes to compute the largest context for, in bytes, as JSON"
    )
    parser.add_argument(
        "--workloads", default="null", help="the configuration's workloads, as JSON; kvsweep's own if null"
    )
    return parser.parse_args()


def say_verdicts(checked: Sequence[Row]) -> None:
    """One line for each study: how many of the statements hold in it."""
    for subject in dict.fromkeys(row["subject"] for row in checked):
        counts = Counter(row["verdict"] for row in checked if row["subject"] == subject)
        say(f"claims on {subject}: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}")


def say_picks(advised: Sequence[Row]) -> None:
    """One line for each workload: the pair that is best for it, and why."""
    for row in advised:
        if row["verdict"] == "pick":
            say(f"{row['workload']} on {row['machine']} ({row['source']}): {pair_of(row)}; {row['why']}")


if __name__ == "__main__":
    run_program(main)
