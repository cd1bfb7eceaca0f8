#!/usr/bin/env python
"""Speed over rounds; comparisons with what was published, and of pairs with each other: head-to-heads, the Pareto
front, what comes from K and what from V, crossovers; quality by depth, whether two methods agree, and
which answers are right."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.analysis.across import across
from kvsweep.analysis.agreement import agreement
from kvsweep.analysis.comparisons import compare
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.depth import by_depth
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.k_or_v import k_or_v
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.repetitions import repetitions
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.analysis.storage import write_answers
from kvsweep.analysis.task_shares import task_shares
from kvsweep.program import run_program
from kvsweep.tables.row import one_method
from kvsweep.tables.schemas import TASK_ITEMS, TASKS
from kvsweep.tables.storage import read_rows, read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument(
        "--pareto-depth",
        type=int,
        help="depth of the decode speed, in tokens; the deepest common one if absent",
    )
    arguments = parser.parse_args()
    tables: Path = arguments.tables
    throughput, by_all_methods = read_rows(tables, "throughput"), read_table(tables, "quality").to_pylist()
    quality = one_method(by_all_methods)
    models = read_rows(tables, "models")
    write_answers(tables, "repetitions", repetitions(throughput))
    throughput = over_rounds(throughput)
    write_answers(tables, "speed", speeds(throughput))
    write_answers(tables, "comparisons", [*compare(throughput), *compare(quality)])
    write_answers(tables, "across", across(throughput, quality))
    write_answers(tables, "head_to_head", head_to_head(throughput, quality, models))
    write_answers(tables, "pareto", pareto(throughput, quality, models, arguments.pareto_depth))
    write_answers(tables, "k_or_v", k_or_v(quality))
    write_answers(tables, "crossovers", crossovers(throughput))
    write_answers(tables, "depth", by_depth(by_all_methods))
    write_answers(tables, "agreement", agreement(by_all_methods))
    cells, items = (
        read_table(tables, name, if_absent=schema).to_pylist()
        for name, schema in (("tasks", TASKS), ("task_items", TASK_ITEMS))
    )
    write_answers(tables, "task_shares", task_shares(cells, items))


if __name__ == "__main__":
    run_program(main)
