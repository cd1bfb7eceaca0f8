"""What the place of a repetition does: the table ``repetitions``, which says whether first repetitions count.

Tested over processes, each with one value, by Student's t; at 5 % for a phase and all its depths together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from kvsweep.analysis.estimates import SAME
from kvsweep.analysis.frames import frame_of, rows_of
from kvsweep.tables.row import SET_UP, Row, problem_with
from kvsweep.tables.schemas import THROUGHPUT

PHASE = (*SET_UP, "phase", "n_tokens")  # of one phase of a run

_ALL_DEPTHS = -1
_AT = ["number", "depth"]  # the number of a phase, and a depth


def repetitions(throughput: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``repetitions``."""
    effects = repetition_effects(throughput)
    return rows_of(effects.assign(depth=effects.depth.mask(effects.depth == _ALL_DEPTHS)))


def first_dropped(throughput: Iterable[Row]) -> pd.DataFrame:
    """Phases and depths at which the first repetition does not count. What is told of a phase holds at all depths."""
    processes, log_time = _processes(throughput)
    effects = _of_first(processes, log_time)
    return _named(effects[effects.first_dropped], processes)[[*PHASE, "depth", "first_dropped"]]


def repetition_effects(throughput: Iterable[Row]) -> pd.DataFrame:
    """The table ``repetitions``: for each phase of a run its depths, and all depths together."""
    processes, log_time = _processes(throughput)
    effects = _of_first(processes, log_time)

    # The slope of the repetitions that are kept, of each process with two of them.
    place = log_time.groupby(level=0).cumcount()
    dropped = processes.join(effects.first_dropped, on=_AT).first_dropped
    kept = place >= dropped.reindex(place.index).astype(int)
    log_time, place = log_time[kept], place[kept]
    place = place - place.groupby(level=0).transform("mean")
    slopes = (place * log_time).groupby(level=0).sum() / (place**2).groupby(level=0).sum()
    effects = effects.join(_over_processes(processes.assign(trend=slopes), "trend").drop(columns="processes"))
    effects["drifts"] = _is_told(effects, "trend").astype("boolean").mask(effects.trend.isna())
    return _named(effects, processes)


def _processes(throughput: Iterable[Row]) -> tuple[pd.DataFrame, pd.Series[float]]:
    """Those that are tested, and the logarithm of the time of each repetition, by the process's index."""
    with_samples = (row for row in throughput if row["samples"] is not None and len(row["samples"]) >= 2)
    tested = [row for row in with_samples if problem_with(row) is None]
    processes = frame_of(tested, THROUGHPUT, *PHASE, "depth", "samples")
    phases = processes.groupby(list(PHASE), dropna=False, sort=False)
    processes["number"] = phases.ngroup()
    processes["confidence"] = 1 - 0.05 / (phases.depth.transform("nunique") + 1)

    # Times are of tokens, so that a ratio is a difference.
    rates = processes.pop("samples").explode().astype(float)
    return processes, pd.Series(-np.log(rates.to_numpy()), index=rates.index)


def _of_first(processes: pd.DataFrame, log_time: pd.Series[float]) -> pd.DataFrame:
    """What being the first of its process does to a repetition, and whether it is dropped for that."""
    place = log_time.groupby(level=0).cumcount()
    others = log_time[place > 0].groupby(level=0).mean()
    effects = _over_processes(processes.assign(first=log_time[place == 0] - others), "first")
    told = _is_told(effects, "first")
    everywhere = told & (told.index.get_level_values("depth") == _ALL_DEPTHS)
    return effects.assign(first_dropped=told | everywhere.groupby(level="number").transform("any"))


def _named(effects: pd.DataFrame, processes: pd.DataFrame) -> pd.DataFrame:
    known = processes.drop_duplicates("number")[["number", *PHASE]]
    return known.merge(effects.reset_index(), on="number").drop(columns="number")


def _over_processes(processes: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean and Student's interval of a column over the processes of each depth and of all, and how many there are."""
    both = pd.concat([processes, processes.assign(depth=_ALL_DEPTHS)])
    found = both.groupby(_AT, sort=False).agg(
        processes=("depth", "size"),
        n=(name, "count"),
        mean=(name, "mean"),
        stderr=(name, "sem"),
        confidence=("confidence", "first"),
    )
    half = found.stderr.where(found.stderr > SAME) * stdtrit(found.n - 1.0, (1 + found.confidence) / 2)
    return pd.DataFrame(
        {
            "processes": found.processes,
            name: found["mean"].where(found.n > 1),
            f"{name}_low": found["mean"] - half,
            f"{name}_high": found["mean"] + half,
        }
    )


def _is_told(effects: pd.DataFrame, name: str) -> pd.Series[bool]:
    """Whether an effect is told from 0, and is more than what arithmetic leaves."""
    return (effects[f"{name}_low"] > 1e-9) | (effects[f"{name}_high"] < -1e-9)
