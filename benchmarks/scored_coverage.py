#!/usr/bin/env python
"""How often the intervals of divergence by depth hold the truth, on real scores, or on drawn ones with rare spikes.

    python benchmarks/scored_coverage.py results/tokens/ENGINE/MODEL/CORPUS/cN/k-q4_0/v-q4_0.parquet
    python benchmarks/scored_coverage.py

The cell has many windows. Their mean over a stretch of positions is taken as the truth; a few windows, drawn at random,
are what was measured. Without a cell one token in a thousand of 2,000 drawn windows diverges a thousand times as much
as the others, so that three of five windows have none of them.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

sys.path[:0] = [str(Path(__file__).parents[1] / place) for place in ("workflow/scripts", "tests")]
# ruff: noqa: E402
from kvsweep.analysis.kld_at_depth import kld_at_depth
from kvsweep.tables import blocks
from scored_cell import mean_of, share_of


def scores_in(path: Path) -> tuple[blocks.Numbers, blocks.Numbers]:
    """Divergence and whether the likeliest token is the same, a row for each window."""
    table = pq.read_table(path, columns=["window", "kld", "same_top"])
    n_windows = len(set(table.column("window").to_pylist()))
    kld, top1 = (
        np.asarray(table.column(name), dtype=float).reshape(n_windows, -1) for name in ("kld", "same_top")
    )
    return kld, top1


def with_spikes() -> tuple[blocks.Numbers, blocks.Numbers]:
    """Likewise, of 2,000 windows of 512 tokens."""
    random = np.random.default_rng(2)
    spikes = random.random((2000, 512)) < 1e-3
    return random.exponential(1e-3, spikes.shape) * np.where(spikes, 1000, 1), (~spikes).astype(float)


def between(two: blocks.Numbers, chosen: NDArray[np.intp]) -> bool:
    """Whether the divergence between the middles of two parts is held, as ``kld_at_depth`` reads it off."""
    parts = [
        {
            "depth_tokens": float(place),
            "kld_mean": found.value,
            "kld_mean_low": found.low,
            "kld_mean_high": found.high,
            "error_by": found.by,
        }
        for place, part in enumerate(np.hsplit(two, 2))
        for found in [mean_of(part[chosen], positive=True)]
    ]
    value = kld_at_depth({"by_position": parts}, 0.5)
    assert value is not None and value.half is not None
    return bool(abs(value.value - two.mean()) <= value.half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokens", type=Path, nargs="?", help="the tokens of a cell with many windows")
    parser.add_argument("--draws", type=int, default=400)
    arguments = parser.parse_args()
    kld, top1 = with_spikes() if arguments.tokens is None else scores_in(arguments.tokens)
    n_windows = len(kld)
    print(f"{n_windows} windows of {kld.shape[1]} scored tokens, mean divergence {kld.mean():.3g}")
    print("| windows | tokens of each | KL divergence | top-1 | p90 of all tokens | between two such parts |")
    print("|---|---|---|---|---|---|")
    random, positive = np.random.default_rng(1), partial(mean_of, positive=True)
    for windows in (2, 4, 8, 16):
        for span in (kld.shape[1], kld.shape[1] // 16):
            held: dict[str, list[bool]] = {"kld": [], "top1": [], "p90": [], "between": []}
            for _ in range(arguments.draws):
                chosen = random.permutation(n_windows)[:windows]
                begin = random.integers(0, kld.shape[1] - span + 1)
                for name, values, of in (("kld", kld, positive), ("top1", top1, share_of)):
                    part = values[:, begin : begin + span]
                    found = of(part[chosen])
                    assert found.low is not None and found.high is not None
                    held[name].append(found.low <= part.mean() <= found.high)
                if begin + 2 * span <= kld.shape[1]:
                    held["between"].append(between(kld[:, begin : begin + 2 * span], chosen))
                (tail,) = blocks.quantile_intervals(kld[chosen], [0.9])
                if tail is not None:
                    held["p90"].append(bool(tail.low <= np.quantile(kld, 0.9) <= tail.high))
            shares = [f"{100 * np.mean(told):.0f} %" if told else "none told" for told in held.values()]
            print(f"| {windows} | {span} | " + " | ".join(shares) + " |", flush=True)


if __name__ == "__main__":
    main()
