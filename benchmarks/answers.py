#!/usr/bin/env python
"""How long the tables of answers take at 10,000 throughput cells: 100 pairs at 100 depths, with 400 quality cells.

    python benchmarks/answers.py [--pairs 100] [--depths 100]

Prints the seconds of processor time of each table, and its rows; and those of what is no answer: imports, and making
the cells up. Every pair of types is a real one.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests")]
# ruff: noqa: E402
from kvsweep.analysis import claims
from kvsweep.analysis.advice import advice
from kvsweep.analysis.comparisons import compare
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.k_or_v import k_or_v
from kvsweep.analysis.memory import largest_contexts, memory
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.study.config import parse_workloads
from kvsweep.study.pairs import KNOWN_TYPES
from kvsweep.tables.published import read_published
from synthetic_tables import BITS, in_rounds, model_row, quality_row, throughput_row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--depths", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(1)
    pairs = list(product(KNOWN_TYPES, KNOWN_TYPES))[: arguments.pairs]
    depths = [4096 * n for n in range(arguments.depths)]
    throughput, quality = [], []
    for ctk, ctv in pairs:
        slow = (BITS[ctk] + BITS[ctv]) / 32 + chance.random()
        for depth in depths:
            cost = 1 + slow * depth / 100_000
            throughput += [
                throughput_row(ctk, ctv, depth, "prefill", 2000 / cost, spread=0.01),
                throughput_row(ctk, ctv, depth, "decode", 80 / cost, spread=0.01),
            ]
        for n_ctx in (512, 4096, 16384, 32768):
            kld = 0.02 * (32 - BITS[ctk]) / 32 + 0.01 * (32 - BITS[ctv]) / 32
            windows = [kld * (1 + chance.gauss(0, 0.3)) for _ in range(70)]
            quality.append(quality_row(ctk, ctv, kld, n_ctx=n_ctx, kld_windows=windows))
    published = read_published(ROOT / "resources" / "published")
    measured = [*in_rounds(throughput, arguments.rounds, between=0.02), *published.throughput]
    all_speeds, all_qualities = over_rounds(measured), [*quality, *published.quality]
    models = [model_row(), *published.models]
    memories = [n * 2**30 for n in (8, 12, 16, 24, 32, 48, 64, 96, 128)]
    workloads = list(parse_workloads(None).values())
    steps: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "claims": lambda: claims.evaluate(
            filter(claims.is_subject, all_speeds), filter(claims.is_subject, all_qualities)
        ),
        "speed": lambda: speeds(over_rounds(measured)),
        "comparisons": lambda: [*compare(all_speeds), *compare(all_qualities)],
        "head_to_head": lambda: head_to_head(all_speeds, all_qualities, models),
        "pareto": lambda: pareto(all_speeds, all_qualities, models),
        "k_or_v": lambda: k_or_v(all_qualities),
        "crossovers": lambda: crossovers(all_speeds),
        "memory": lambda: memory(all_speeds, models),
        "largest_context": lambda: largest_contexts(all_speeds, models, memories),
        "advice": lambda: advice(all_speeds, all_qualities, models, workloads),
    }
    total = 0.0
    print(f"{len(pairs)} pairs x {len(depths)} depths = {len(pairs) * len(depths)} cells")
    print(f"{'imports, cells':16} {time.process_time():7.2f} s  no answer")
    for name, step in steps.items():
        start = time.process_time()
        rows = step()
        seconds = time.process_time() - start
        total += seconds
        print(f"{name:16} {seconds:7.2f} s  {len(rows):7} rows")
    print(f"{'answers':16} {total:7.2f} s")
    print(f"{'whole program':16} {time.process_time():7.2f} s")


if __name__ == "__main__":
    main()
