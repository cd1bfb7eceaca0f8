#!/usr/bin/env python
"""How often the stated 95 % intervals hold the truth, and how often two identical pairs are called different.

Throughput and quality rows are drawn from a known truth and go through the analysis that real rows go through. As was
measured, a process's speed differs from another's by 5 % in decode and 2 % in prefill, a repetition's from another's
in one process by 1 and 0.5 % (standard deviations); a round as a whole, slower or faster for all pairs, by 10 %.
Windows of a text differ in difficulty by a factor of 2, which is the same for all pairs, and a pair's own damage by 30
% from window to window; their running means are rounded as llama-perplexity prints them.

    python benchmarks/coverage.py --trials 4000

A line is RED that covers less than 93 %, or calls more than 5 % of identical pairs different, and wide over 97 % (each
with what chance allows the trials); ± is the standard error that the number of trials leaves.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from kvsweep.analysis.best import interval_of
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.curves import Curve
from kvsweep.analysis.gaps import Gap, gap
from kvsweep.analysis.row_values import quality_of
from kvsweep.analysis.set_ups import by_columns
from kvsweep.analysis.speed import FASTER, ONE_ROUND, SLOWER, over_rounds, speeds
from kvsweep.statistics import window_stderr, window_values
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.schemas import THROUGHPUT

Row = dict[str, Any]

BETWEEN = {"decode": 0.05, "prefill": 0.02}  # standard deviations, as fractions of the time
WITHIN = {"decode": 0.01, "prefill": 0.005}
ROUND = 0.10
TOKENS = 0.5  # errors that take tokens as independent, of the windows' own: 0.2 to 0.9 in the shipped slices
AT_ONCE = 100  # trials
N_TOKENS = {"decode": 128, "prefill": 512}
SET_UP = {
    "source": "measured",
    "engine": "e",
    "machine": "m",
    "model": "model",
    "status": "measured",
    "fallback": False,
}


@dataclass
class Tally:
    """What came of the trials of one line: how often the truth was covered, identical pairs told apart."""

    covered: list[bool] = field(default_factory=list)
    told: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    at_least: bool = False  # what the interval states is no less than 95 %

    def line(self, name: str) -> str:
        parts = [f"{name:58}"]
        if self.covered:
            most = 1.0 if self.at_least else 0.97
            parts.append(f"covers {self._share(self.covered, 0.93, most)}")
        if self.told:
            parts.append(f"told apart {self._share(self.told, 0.0, 0.05)}")
        if self.widths:
            parts.append(f"half width {100 * fmean(self.widths):5.1f} %")
        return "  ".join(parts)

    @staticmethod
    def _share(found: list[bool], low: float, high: float) -> str:
        """With the standard error that the number of draws gives it."""
        share, chance = fmean(found), math.sqrt(0.05 * 0.95 / len(found))
        off = share < low - 2.6 * chance, share > high + 2.6 * chance
        verdict = "RED" if off[0] or (off[1] and low == 0) else "wide" if off[1] else "ok"
        stderr = math.sqrt(max(share * (1 - share), 1 / len(found)) / len(found))
        return f"{100 * share:5.1f} ± {100 * stderr:.1f} % {verdict}"


# --- speed --------------------------------------------------------------------------------------------------


def cell(name: str, depth: int, phase: str, round_: int, rates: list[float]) -> Row:
    return {
        **dict.fromkeys(THROUGHPUT.names),
        **SET_UP,
        **{"ctk": name, "ctv": name, "effective_ctk": name, "effective_ctv": name},
        **{"depth": depth, "phase": phase, "n_tokens": N_TOKENS[phase], "round": round_},
        **{"samples": rates, "tokens_per_second": fmean(rates), "repetitions": len(rates)},
    }


def runs(
    chance: random.Random,
    trials: int,
    seconds: Callable[[str, int], float],
    phase: str,
    n_rounds: int,
    pairs: Collection[str] = ("f16", "q8_0"),
    depths: Collection[int] = (0,),
    first_takes: float = 1.0,
) -> Iterator[list[Row]]:
    """Cells over rounds as the analysis makes them, of a machine for each trial; ``seconds`` is the true time of a
    token of a pair at a depth."""
    for trial in range(0, trials, AT_ONCE):
        rows = [
            row | {"machine": f"m{number}"}
            for number in range(trial, min(trial + AT_ONCE, trials))
            for row in one_run(chance, seconds, phase, n_rounds, pairs, depths, first_takes)
        ]
        yield from by_columns(over_rounds(rows), ["machine"]).values()


def one_run(
    chance: random.Random,
    seconds: Callable[[str, int], float],
    phase: str,
    n_rounds: int,
    pairs: Collection[str],
    depths: Collection[int],
    first_takes: float,
) -> list[Row]:
    rows = []
    for round_ in range(1, n_rounds + 1):
        slow = math.exp(chance.gauss(0, ROUND))
        for name in pairs:
            for depth in depths:
                process = slow * seconds(name, depth) * math.exp(chance.gauss(0, BETWEEN[phase]))
                times = [process * math.exp(chance.gauss(0, WITHIN[phase])) for _ in range(3)]
                times[0] *= first_takes
                rows.append(cell(name, depth, phase, round_, [1 / time for time in times]))
    return rows


def ratios(chance: random.Random, trials: int, phase: str, n_rounds: int) -> Tally:
    """A pair that is 4 % slower than f16, and one that is as fast."""
    tally = Tally()
    true = {"f16": 1.0, "q8_0": 1.0, "q4_0": 1.04}
    for cells in runs(chance, trials, lambda name, _: 0.01 * true[name], phase, n_rounds, true):
        found = {row["ctk"]: row for row in speeds(cells)}
        other, same = found["q4_0"], found["q8_0"]
        tally.covered.append(other["ratio_low"] <= 1 / 1.04 <= other["ratio_high"])
        tally.widths.append((other["ratio_high"] - other["ratio_low"]) / 2)
        tally.told.append(told(same))
    return tally


def told(row: Row) -> bool:
    """Whether its own interval tells a pair from f16: among many, its q-value has to, too."""
    return bool(row["ratio_low"] > 1 or row["ratio_high"] < 1)


def one_round(chance: random.Random, trials: int, phase: str, n_rounds: int = 1) -> Tally:
    tally = Tally()
    for cells in runs(chance, trials // 10, lambda *_: 0.01, phase, n_rounds):
        _, other = speeds(cells)
        assert other["ratio_low"] is None and other["verdict"] == ONE_ROUND
        tally.told.append(other["verdict"] in (FASTER, SLOWER))
    return tally


def rates(chance: random.Random, trials: int, phase: str, n_rounds: int) -> Tally:
    tally = Tally()
    for (row,) in runs(chance, trials, lambda *_: 0.01, phase, n_rounds, ["f16"]):
        tally.covered.append(row["tokens_per_second_low"] <= 100 <= row["tokens_per_second_high"])
    return tally


def first_repetitions(chance: random.Random, trials: int, n_rounds: int) -> Tally:
    """A run of seven pairs whose first repetitions take 15 % longer: the rates of the others are the truth."""
    tally = Tally()
    pairs = ("f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
    for cells in runs(chance, trials, lambda *_: 0.01, "prefill", n_rounds, pairs, first_takes=1.15):
        rows = speeds(cells)
        low, high = (rows[0][f"tokens_per_second_{end}"] for end in ("low", "high"))
        tally.covered.append(low <= 100 <= high)
        tally.told.append(told(rows[1]))
    return tally


def durations(chance: random.Random, trials: int, n_rounds: int) -> Tally:
    """The time of an answer of 2,000 tokens over a curve of three depths, and of two equal pairs' difference."""
    tally = Tally()

    def seconds(_name: str, depth: int) -> float:
        return 0.01 + 1e-6 * depth

    for rows in runs(chance, trials, seconds, "decode", n_rounds, depths=(0, 2048, 8192)):
        first, second = (
            Curve(row for row in rows if row["ctk"] == name).duration(1000, 3000) for name in ("f16", "q8_0")
        )
        apart = first - second
        low, high = interval_of(first)
        assert low is not None and high is not None and apart.half is not None
        true = 2000 * 0.01 + 1e-6 * (3000**2 - 1000**2) / 2
        tally.covered.append(low <= true <= high)
        tally.told.append(abs(apart.seconds) > apart.half)
    return tally


def crossings(chance: random.Random, trials: int, n_rounds: int) -> Tally:
    """Two lines that cross at a depth of 8,192, and two that are the same."""
    depths = (0, 2048, 4096, 16384, 32768)
    tally = Tally()

    def seconds(name: str, depth: int) -> float:
        return 0.01 + 1e-6 * depth if name == "f16" else 0.012 + (1e-6 - 0.002 / 8192) * depth

    for rows in runs(chance, trials, seconds, "decode", n_rounds, depths=depths):
        found = crossovers(rows)
        # Where none is found, the fit does not say where it could be.
        tally.covered.append(
            any(r.get("depth") is not None and r["depth_low"] <= 8192 <= r["depth_high"] for r in found)
        )
    for rows in runs(chance, trials, lambda _, d: 0.01 + 1e-6 * d, "decode", n_rounds, depths=depths):
        tally.told.append(any(row["verdict"] == "crosses" for row in crossovers(rows)))
    return tally


# --- quality ------------------------------------------------------------------------------------------------


def scored(name: str, values: list[float]) -> Row:
    """A quality row whose running means were printed with five decimals."""
    printed = [round(fmean(values[:n]), 5) for n in range(1, len(values) + 1)]
    error = window_stderr(printed, 5)
    return {
        **dict.fromkeys(QUALITY.names),
        **SET_UP,
        **{"ctk": name, "ctv": name, "kld_mean": round(fmean(values), 6)},
        **{
            "kld_mean_stderr": TOKENS * stdev(values) / math.sqrt(len(values)),
            "kld_windows": window_values(printed),
        },
        **{"kld_window_stderr": error and error.stderr, "kld_window_rounding": error and error.rounding},
    }


def windows(chance: random.Random, trials: int, n_windows: int, kld: float) -> Tally:
    """A pair that does 20 % more damage than another, and one that does as much."""
    # Where rounding dominates, the windows that tell the error are those that happen to differ much.
    tally = Tally(at_least=kld < 0.001)
    true = {"q8_0": 1.0, "q5_1": 1.0, "q5_0": 1.2}

    own = partial(lognormal, chance=chance)
    for _ in range(trials):
        hard = [own(0.35) for _ in range(n_windows)]
        rows = {
            name: scored(name, [kld * times * one * own(0.3) for one in hard]) for name, times in true.items()
        }
        more, same = between(rows["q5_0"], rows["q8_0"]), between(rows["q5_1"], rows["q8_0"])
        assert more.difference_low is not None and more.difference_high is not None
        assert same.difference_low is not None and same.difference_high is not None
        tally.covered.append(more.difference_low <= 0.2 * kld <= more.difference_high)
        tally.widths.append((more.difference_high - more.difference_low) / 2 / kld)
        tally.told.append(same.difference_low > 0 or same.difference_high < 0)
    return tally


def one_divergence(
    chance: random.Random, trials: int, n_windows: int, draw: Callable[[random.Random], float]
) -> Tally:
    """A divergence whose windows have the mean 0.1."""
    tally = Tally()
    for _ in range(trials):
        value = quality_of(scored("q4_0", [0.1 * draw(chance) for _ in range(n_windows)]), "kld_mean")
        assert value is not None and value.half is not None
        tally.covered.append(abs(value.value - 0.1) <= value.half)
        tally.widths.append(value.half / 0.1)
    return tally


def lognormal(spread: float, chance: random.Random) -> float:
    """With mean 1."""
    return math.exp(chance.gauss(-(spread**2) / 2, spread))


def spiky(spikes: float, chance: random.Random) -> float:
    """With mean 1, half of which so many spikes a window bear, of exponential height."""
    number, time = 0, chance.expovariate(1)
    while time < spikes:
        number, time = number + 1, time + chance.expovariate(1)
    return 0.5 * lognormal(0.1, chance) + 0.5 / spikes * sum(chance.expovariate(1) for _ in range(number))


TEXTS: dict[str, Callable[[random.Random], float]] = {
    **{
        f"whose logarithms differ by {spread:g}": partial(lognormal, spread)
        for spread in (0.1, 0.2, 0.35, 0.7, 1.0)
    },
    **{f"with {spikes:g} spikes each": partial(spiky, spikes) for spikes in (2, 0.4, 0.1)},
}


def between(a: Row, b: Row) -> Gap:
    values = quality_of(a, "kld_mean"), quality_of(b, "kld_mean")
    assert values[0] is not None and values[1] is not None
    return gap(values[0], values[1])


LINES: dict[str, Callable[[random.Random, int], Tally]] = {
    **{f"{phase}, 1 round": partial(one_round, phase=phase) for phase in BETWEEN},
    **{
        f"{phase}, {name}, {n} rounds": partial(of, phase=phase, n_rounds=n)
        for phase in ("prefill", "decode")
        for n in (2, 3, 5, 10)
        for name, of in (("ratio to f16", ratios), ("tokens/s", rates))
    },
    **{
        f"{name}, {n} rounds": partial(of, n_rounds=n)
        for n in (2, 3, 5, 10)
        for name, of in (
            ("prefill, first repetition 15 % slower", first_repetitions),
            ("decode, time of a request", durations),
            ("decode, depth of a crossing", crossings),
        )
    },
    **{
        f"quality, KL divergence of {kld:g}, {n} windows": partial(windows, n_windows=n, kld=kld)
        for kld in (0.01, 0.0002, 0.00005, 0.00002)  # of q4_0, of q8_0; where printing rounds off
        for n in (2, 3, 4, 8, 16, 32, 64, 128)
    },
    **{
        f"one divergence of {n} windows {text}": partial(one_divergence, n_windows=n, draw=draw)
        for text, draw in TEXTS.items()
        for n in (4, 8, 16, 32, 64)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000, help="draws of each line")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="lines that are drawn at once")
    parser.add_argument("--only", default="", metavar="REGEX", help="lines whose name it matches")
    arguments = parser.parse_args()
    names = [name for name in LINES if re.search(arguments.only, name)]
    line = partial(drawn, seed=arguments.seed, trials=arguments.trials)
    with Pool(arguments.processes) as pool:
        for found in pool.imap(line, names):
            print(found, flush=True)


def drawn(name: str, seed: int, trials: int) -> str:
    """A line; by its name, so that it is the same whichever others are drawn."""
    return LINES[name](random.Random(f"{seed} {name}"), trials).line(name)


if __name__ == "__main__":
    main()
