"""The speed of each cell over rounds: what every answer about speed is made of.

A round is one process for each cell. Repetitions in a process share all that changes from one process to the next, so
a process counts once: with the mean time of its repetitions. The first repetition of a phase is dropped where it is
told from the others over the processes of the run (``repetition_effects``). A pair's speed relative to f16 is that of
each round in which both were measured; its interval is Student's t of these ratios' logarithms. One round has no
interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from kvsweep.analysis.estimates import Gap, gap, of_rounds, on_common_rounds, speed_of
from kvsweep.analysis.pair_schemas import SPEED
from kvsweep.analysis.set_ups import by_columns
from kvsweep.statistics import Interval, mean_interval, variance
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.row import SET_UP, is_published, pair_of, problem_with

Row = Mapping[str, Any]

# Of one phase of a run; with depth and pair, of a cell.
PHASE = (*SET_UP, "phase", "n_tokens")
CELL = (*PHASE, "depth", "ctk", "ctv")

FASTER, SLOWER, NOT_SHOWN, ONE_ROUND = "faster", "slower", "no difference shown", "one round"


class RepetitionEffect(NamedTuple):
    """What repetitions of a phase have in common over its processes, as a fraction of the time of one.

    ``first``: how much longer the first one takes than the others; ``trend``: how much longer each takes than the one
    before it, of those that are not dropped. None where there are too few to tell. ``depth`` None stands for all.
    """

    phase: tuple[Any, ...]
    depth: int | None
    processes: int
    first: Interval | None
    dropped: bool
    trend: Interval | None


def round_of(row: Row) -> int:
    """Results from before there were rounds are the first."""
    return row.get("round") or 1


def over_rounds(throughput: Iterable[Row]) -> list[dict[str, Any]]:
    """One row for each cell and phase: its first round's that counts, with the speed of all that count.

    Adds ``rounds``, and ``seconds_per_token`` in each; ``tokens_per_second`` becomes their geometric mean, each round's
    being tokens over mean time. A round counts if it ran as asked for; where none did, those that ran as the first did.
    Published rows have no rounds and stay as they are.
    """
    rows = list(throughput)
    drops = {(effect.phase, effect.depth) for effect in repetition_effects(rows) if effect.dropped}
    found = []
    for cell in by_columns(rows, CELL).values():
        cell.sort(key=round_of)
        first = next((row for row in cell if problem_with(row) is None), cell[0])
        if is_published(first):
            found.append({**first, "rounds": [], "seconds_per_token": []})
            continue
        alike = {round_of(row): row for row in cell if problem_with(row) == problem_with(first)}
        dropped = (_phase_of(first), first["depth"]) in drops
        times = {r: _times(row, dropped) for r, row in alike.items() if row["tokens_per_second"] is not None}
        found.append({**first, **_summary(times), "first_dropped": dropped})
    return found


def speeds(cells: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``speed`` from those of ``over_rounds``: each also against f16/f16 of its phase and depth."""
    base = {_place(row): row for row in cells if pair_of(row) == BASELINE_PAIR and problem_with(row) is None}
    found = []
    for row in cells:
        full = {**row, **against(row, base.get(_place(row)))}
        found.append({name: full.get(name) for name in SPEED.names})
    return found


def against(row: Row, base: Row | None) -> dict[str, Any]:
    """How fast a cell is as a multiple of another one of the same place, within the rounds of both."""
    if base is None or row["tokens_per_second"] is None or row is base:
        return {}
    both = on_common_rounds(speed_of(row), speed_of(base))
    if both is None:
        return {}
    ours, theirs = both
    between = gap(ours, theirs)
    rounds = list(ours.rounds or ())
    found: dict[str, Any] = {
        "ratio": between.ratio,
        "ratio_low": between.ratio_low,
        "ratio_high": between.ratio_high,
        "ratio_interval": between.interval,
        "ratio_rounds": rounds,
        "verdict": ONE_ROUND if len(rounds) == 1 else verdict_of(between),
    }
    return found


def verdict_of(between: Gap) -> str | None:
    """What a ratio of speeds shows; None where its error is not known."""
    low, high = between.ratio_low, between.ratio_high
    if low is None or high is None:
        return None
    return FASTER if low > 1 else SLOWER if high < 1 else NOT_SHOWN


# --- repetitions --------------------------------------------------------------------------------------------


def repetition_effects(throughput: Iterable[Row]) -> list[RepetitionEffect]:
    """What the place of a repetition does, for each phase of a run and each of its depths.

    Tested over processes, each with one value, by Student's t; at 5 % for a phase and all its depths together
    (Bonferroni). What is told of a phase holds at all depths.
    """
    rows = [row for row in throughput if row["samples"] is not None and len(row["samples"]) >= 2]
    found = []
    for phase, own in by_columns((row for row in rows if problem_with(row) is None), PHASE).items():
        by_depth = {depth: alike for (depth,), alike in by_columns(own, ("depth",)).items()}
        confidence = 1 - 0.05 / (len(by_depth) + 1)
        first = mean_interval([_first(row) for row in own], confidence)
        everywhere = _is_told(first)
        drops = {}
        for depth, alike in by_depth.items():
            of_depth = mean_interval([_first(row) for row in alike], confidence)
            drops[depth] = everywhere or _is_told(of_depth)
            trend = mean_interval(_trends(alike, drops), confidence)
            found.append(RepetitionEffect(phase, depth, len(alike), of_depth, drops[depth], trend))
        trend = mean_interval(_trends(own, drops), confidence)
        found.append(RepetitionEffect(phase, None, len(own), first, everywhere, trend))
    return found


def repetitions(throughput: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``repetitions``."""
    return [
        {
            **dict(zip(PHASE, effect.phase, strict=True)),
            "depth": effect.depth,
            "processes": effect.processes,
            **_ends("first", effect.first),
            "first_dropped": effect.dropped,
            **_ends("trend", effect.trend),
            "drifts": None if effect.trend is None else _is_told(effect.trend),
        }
        for effect in repetition_effects(throughput)
    ]


def _ends(name: str, interval: Interval | None) -> dict[str, float]:
    if interval is None:
        return {}
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _is_told(effect: Interval | None) -> bool:
    """Whether an effect is told from 0, and is more than what arithmetic leaves."""
    return effect is not None and (effect.low > 1e-9 or effect.high < -1e-9)


def _first(row: Row) -> float:
    """By which fraction the first repetition of a process took longer than the others."""
    first, *others = _log_times(row)
    return first - fmean(others)


def _trends(rows: Iterable[Row], drops: Mapping[int, bool]) -> list[float]:
    """Slope of the logarithm of the time over the repetitions that are kept, of each process with two of them."""
    kept = (_log_times(row)[drops[row["depth"]] :] for row in rows)
    return [_slope(times) for times in kept if len(times) >= 2]


def _slope(values: Sequence[float]) -> float:
    middle = (len(values) - 1) / 2
    spread = math.fsum((i - middle) ** 2 for i in range(len(values)))
    return math.fsum((i - middle) * value for i, value in enumerate(values)) / spread


def _log_times(row: Row) -> list[float]:
    return [-math.log(rate) for rate in row["samples"]]


# --- one cell -----------------------------------------------------------------------------------------------


def _times(row: Row, dropped: bool) -> list[float]:
    """Seconds per token of each repetition that is kept; of a row without repetitions of its mean rate."""
    rates = (row["tokens_per_second"],) if row["samples"] is None else row["samples"]
    times = [1 / rate for rate in rates]
    return times[1:] if dropped and len(times) > 1 else times


def _summary(times: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """What the repetitions in each round (seconds per token) say of a cell."""
    if not times:
        return {"rounds": [], "seconds_per_token": [], "tokens_per_second": None}
    means = {round_: fmean(own) for round_, own in times.items()}
    rate = of_rounds({round_: 1 / mean for round_, mean in means.items()})
    spreads = [variance(own) / means[round_] ** 2 for round_, own in times.items() if len(own) >= 2]
    over_mean_rate = fmean(fmean(1 / time for time in own) * means[r] for r, own in times.items()) - 1
    interval = mean_interval([-math.log(mean) for mean in means.values()])
    found: dict[str, Any] = {
        "rounds": list(means),
        "seconds_per_token": list(means.values()),
        "tokens_per_second": rate.value,
        "mean_rate": rate.value * (1 + over_mean_rate),
    }
    if interval is not None:
        found |= {
            "tokens_per_second_low": math.exp(interval.low),
            "tokens_per_second_high": math.exp(interval.high),
        }
    if spreads:
        within = math.sqrt(fmean(spreads))
        kept = sum(map(len, times.values()))
        found |= {"spread_within": within, "means_differ": over_mean_rate > within / math.sqrt(kept)}
    return found


def _phase_of(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in PHASE)


def _place(row: Row) -> tuple[Any, ...]:
    return (*_phase_of(row), row["depth"])
