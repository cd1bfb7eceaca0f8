"""The speed of each cell over rounds: what every answer about speed is made of.

A round is one process for each cell. Repetitions in a process share all that changes from one process to the next, so
a process counts once: with the mean time of its repetitions. The first repetition of a phase is dropped where it is
told from the others over the processes of the run (``repetitions``). A pair's speed relative to f16 is that of
each round in which both were measured; its interval is Student's t of these ratios' logarithms. One round has no
interval. Of many cells some are told from f16 by chance: faster or slower is one only where the rate of false
discoveries among those of its set-up and phase is low, too (``many``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress, islice
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from kvsweep.analysis.estimates import SAME
from kvsweep.analysis.frames import either, frame_of, rows_of
from kvsweep.analysis.many import FALSE_DISCOVERIES, with_q_values
from kvsweep.analysis.pair_schemas import SPEED
from kvsweep.analysis.rates import Rates, gaps_of, in_both, rates_of
from kvsweep.analysis.repetitions import PHASE, first_dropped
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.row import Row, is_published, pair_of, problem_with
from kvsweep.tables.schemas import THROUGHPUT

CELL = (*PHASE, "depth", "ctk", "ctv")
_place = itemgetter(*PHASE, "depth")

FASTER, SLOWER, NOT_SHOWN, ONE_ROUND = "faster", "slower", "no difference shown", "one round"
ERROR_UNKNOWN = "error unknown"  # two rounds or more that are equal to the last digit


def over_rounds(throughput: Iterable[Row]) -> list[dict[str, Any]]:
    """One row for each cell and phase: its first round's that counts, with the speed of all that count.

    Adds ``rounds``, and ``seconds_per_token`` in each; ``tokens_per_second`` becomes their geometric mean, each round's
    being tokens over mean time. A round counts if it ran as asked for; where none did, those that ran as the first did.
    Published rows have no rounds and stay as they are.
    """
    rows = list(throughput)
    processes = frame_of(rows, THROUGHPUT, *CELL, "round", "tokens_per_second", "samples")
    processes = processes.merge(first_dropped(rows), on=[*PHASE, "depth"], how="left")
    processes["first_dropped"] = processes.first_dropped.notna()
    # Results from before there were rounds are the first.
    processes["round"] = processes["round"].fillna(1).astype(object)
    processes["problem"] = [str(problem_with(row) or "") for row in rows]
    processes["cell"] = processes.groupby(list(CELL), dropna=False, sort=False).ngroup()
    order = processes.assign(failed=processes.problem != "").sort_values(["cell", "failed", "round"])
    firsts = order.drop_duplicates("cell")
    alike = processes.problem == firsts.problem.to_numpy()[processes.cell]
    summary = _summary(processes[alike & processes.tokens_per_second.notna()]).reindex(firsts.cell)
    summary["first_dropped"] = firsts.first_dropped.to_numpy()
    found = []
    for place, more in zip(firsts.index, rows_of(summary), strict=True):
        more = {} if is_published(rows[place]) else more
        lists: dict[str, Any] = {name: more.get(name) or [] for name in ("rounds", "seconds_per_token")}
        found.append({**rows[place], **more, **lists})
    return found


def _summary(processes: pd.DataFrame) -> pd.DataFrame:
    """What the processes that count say of each cell; of one without repetitions its mean rate."""
    processes = processes.sort_values(["cell", "round"]).drop_duplicates(["cell", "round"], keep="last")
    samples = processes.samples.where(processes.samples.notna(), processes.tokens_per_second)
    rates = samples.explode().astype(float)
    place, n = rates.groupby(level=0).cumcount(), rates.groupby(level=0).transform("size")
    rates = rates[(place > 0) | (n == 1) | ~processes.first_dropped.reindex(rates.index)]
    times = (1 / rates).groupby(level=0, sort=False)
    seconds = times.mean()
    of_cell = processes.assign(
        seconds=seconds,
        log_rate=-np.log(seconds),
        over_mean_rate=rates.groupby(level=0).mean() * seconds - 1,
        spread=times.var() / seconds**2,
        kept=times.size(),
    ).groupby("cell")
    over = of_cell.agg(
        log_rate=("log_rate", "mean"),
        stderr=("log_rate", "sem"),
        n=("round", "size"),
        over_mean_rate=("over_mean_rate", "mean"),
        spread=("spread", "mean"),
        kept=("kept", "sum"),
    )
    half = over.stderr.where(over.stderr > SAME) * stdtrit(over.n - 1.0, 0.975)
    rate, within = np.exp(over.log_rate), np.sqrt(over.spread)
    differ = over.over_mean_rate > within / np.sqrt(over.kept)
    # Many times as fast as a group's own list: processes stand in the order of their cells.
    of_round, of_time = (iter(column.tolist()) for column in (processes["round"], seconds))
    return pd.DataFrame(
        {
            "rounds": [list(islice(of_round, n)) for n in over.n],
            "seconds_per_token": [list(islice(of_time, n)) for n in over.n],
            "tokens_per_second": rate,
            "tokens_per_second_low": np.exp(over.log_rate - half),
            "tokens_per_second_high": np.exp(over.log_rate + half),
            "spread_within": within,
            "mean_rate": rate * (1 + over.over_mean_rate),
            "means_differ": differ.astype("boolean").mask(within.isna()),
        },
        index=over.index,
    )


def speeds(cells: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``speed`` from those of ``over_rounds``: each also against f16/f16 of its phase and depth."""
    found = frame_of(cells, THROUGHPUT, *PHASE).join(against_f16(cells))
    found = with_q_values(found, *PHASE)
    by_chance = found.verdict.isin((FASTER, SLOWER)) & (found.q_value > FALSE_DISCOVERIES)
    found["verdict"] = found.verdict.mask(by_chance, NOT_SHOWN)
    ratios = rows_of(found.drop(columns=["t", "freedom", *PHASE]))
    return [
        {name: row.get(name) for name in SPEED.names} | ratio
        for row, ratio in zip(cells, ratios, strict=True)
    ]


def against_f16(cells: Sequence[Row], *, fallback: bool = False) -> pd.DataFrame:
    """Each cell ``against`` f16/f16 of its set-up, phase and depth, which has to count (``problem_with``).

    The index is a cell's place among ``cells``; what is f16/f16 itself, or has none beside it, is not there.
    """
    base = {
        _place(row): at
        for at, row in enumerate(cells)
        if pair_of(row) == BASELINE_PAIR and problem_with(row, fallback=fallback) is None
    }
    bases = np.array([base.get(_place(row), -1) for row in cells], dtype=np.intp)
    rates = rates_of(cells)
    own = np.flatnonzero((bases >= 0) & (bases != np.arange(len(cells))))
    return _beside(rates[own], rates[bases[own]]).set_index(own).dropna(subset="ratio")


def against(row: Row, base: Row | None) -> dict[str, Any]:
    """How fast a cell is as a multiple of another one of the same place, within the rounds of both; nothing where they
    have none in common."""
    if base is None or row is base:
        return {}
    rates = rates_of([row, base])
    return next(iter(rows_of(_beside(rates[:1], rates[1:]).dropna(subset="ratio"))), {})


def _beside(cells: Rates, bases: Rates) -> pd.DataFrame:
    between = gaps_of(cells, bases)
    both = in_both(cells, bases) & (between.n > 0).to_numpy()[:, None]
    verdicts = {
        ONE_ROUND: between.n == 1,
        FASTER: between.ratio_low > 1,
        SLOWER: between.ratio_high < 1,
        # Also where the interval is so wide that it has no ends.
        NOT_SHOWN: between.interval.notna(),
        ERROR_UNKNOWN: between.n > 0,
    }
    return pd.DataFrame(
        {
            "ratio": between.ratio,
            "ratio_low": between.ratio_low,
            "ratio_high": between.ratio_high,
            "ratio_interval": between.interval,
            "ratio_rounds": [list(compress(cells.rounds, own)) for own in both.tolist()],
            "verdict": either(None, verdicts),
            "t": between.t,
            "freedom": between.freedom,
        }
    )
