"""The pairs that no other pair beats in bits per value, KL divergence and decode speed at once.

A pair beats another if it is better in one of the three and not worse in any. Bits are exact; a divergence or a speed
is better or worse only beyond the error of the difference, so that noise wins no place on the front. Where the error of
a speed from run to run is not known (one round, published numbers), speeds within ``SAME_SPEED`` are equal. Where that
of a divergence is not (a single window) it is lower or higher only beyond a factor of ``SAME_KLD``, and within that
factor nobody is beaten: what is not known to be as good beats no one. ``margin`` says which were used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kvsweep.analysis.estimates import ROUNDED, Value, ends_of_kld, error_of
from kvsweep.analysis.frames import rows_of
from kvsweep.analysis.head_to_head import contenders
from kvsweep.analysis.rates import gaps_of, rates_of
from kvsweep.analysis.row_values import kld_of
from kvsweep.analysis.set_ups import by_columns
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SCORED, SET_UP, Row, pair_of, problem_with
from kvsweep.units import format_count

# In one window of 2K to 32K tokens the ratio of two pairs' divergences was at most 1.32 times as far off as that of all
# windows (1.15 times in 95 % of 2,784 such ratios of the slices that are shipped).
SAME_KLD = 1.5
SAME_SPEED = 0.05  # what decode of one cell differed by between processes of one machine


@dataclass(frozen=True)
class _Candidate:
    """A pair of which all three are known; ``decode`` is a row of a cell over rounds."""

    pair: Pair
    bits: float
    kld: Value
    decode: Row


def pareto(
    throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row], depth: int | None = None
) -> list[dict[str, Any]]:
    """Rows of the table ``pareto``: each pair of each set-up, corpus and context asked for; of cells over rounds.

    ``depth`` is that of the decode speed; None takes the deepest one at which every pair that was measured at all was
    measured, or the one that most have.
    """
    throughput, quality = list(throughput), list(quality)
    bits = {
        tuple(row[name] for name in (*SET_UP, "pair")): (row["bits"], row["bits_from"])
        for row in rows_of(contenders(throughput, quality, models))
    }
    found: list[dict[str, Any]] = []
    for set_up, rows in by_columns([*throughput, *quality], SET_UP).items():
        decodes = [row for row in rows if row.get("phase") == "decode"]
        n_tokens, common = _usual([row for row in decodes if problem_with(row) is None])
        at = common if depth is None else depth
        speeds = {pair_of(row): row for row in decodes if (row["depth"], row["n_tokens"]) == (at, n_tokens)}
        scored = by_columns((row for row in rows if "phase" not in row), SCORED)
        for text, of_text in (scored or {(None, None): []}).items():
            scores = {pair_of(row): row for row in of_text}
            shared = dict(zip((*SET_UP, *SCORED), (*set_up, *text), strict=True)) | {"depth": at}
            candidates, table = [], []
            for pair in dict.fromkeys(map(pair_of, rows)):
                of_pair, source = bits.get((*set_up, str(pair)), (None, None))
                row, candidate = _row(pair, of_pair, scores.get(pair), speeds.get(pair), at)
                table.append(shared | row | {"bits_from": source})
                candidates += [candidate] if candidate else []
            found += _with_front(table, candidates)
    return found


def _usual(decodes: Sequence[Row]) -> tuple[int | None, int | None]:
    """The number of tokens that most decode cells timed, and the deepest depth that the most pairs have with it."""
    if not decodes:
        return None, None
    frame = pd.DataFrame(decodes, columns=["n_tokens", "depth"])
    n_tokens = frame.n_tokens.value_counts(sort=True).index[0]
    depths = frame.depth[frame.n_tokens == n_tokens].value_counts()
    return int(n_tokens), int(depths.index[depths == depths.max()].max())


def _row(
    pair: Pair, bits: float | None, score: Row | None, speed: Row | None, depth: int | None
) -> tuple[dict[str, Any], _Candidate | None]:
    missing = [] if bits is not None else ["bits_per_value: nothing of this pair was measured"]
    kld = None if score is None else kld_of(score)
    if kld is None:
        why = "not asked for" if score is None else problem_with(score) or "not stated"
        missing.append(f"kld_mean: {why}")
    problem = "not asked for" if speed is None else problem_with(speed)
    if problem is not None:
        speed = None
        missing.append(f"decode {'at no depth' if depth is None else f'at {format_count(depth)}'}: {problem}")
    row = {
        "ctk": pair.ctk,
        "ctv": pair.ctv,
        "bits_per_value": bits,
        "kld_mean": kld and kld.value,
        **ends_of_kld(kld),
        **{f"decode{end}": speed and speed.get(f"tokens_per_second{end}") for end in ("", "_low", "_high")},
        "missing": missing,
    }
    return row, None if bits is None or kld is None or speed is None else _Candidate(pair, bits, kld, speed)


def _with_front(table: list[dict[str, Any]], candidates: Sequence[_Candidate]) -> Iterable[dict[str, Any]]:
    faster = _told_of_speeds([one.decode for one in candidates])
    found = {
        one.pair: (
            _margin(one),
            [str(other.pair) for of_other, other in zip(faster[:, at], candidates, strict=True)
             if other is not one and _beats(other, one, of_other)],
        )
        for at, one in enumerate(candidates)
    }  # fmt: skip
    for row in table:
        margin, beaten_by = found.get(pair_of(row), (None, None))
        on_front = None if beaten_by is None else not beaten_by
        yield row | {"margin": margin, "dominated_by": beaten_by or [], "on_front": on_front}


def _margin(one: _Candidate) -> str | None:
    """By how much others have to differ from values whose own error is not known; None where both errors are."""
    margins = [f"KL divergence by a factor of {SAME_KLD}"] if one.kld.half is None else []
    if len(one.decode["rounds"]) < 2:
        margins.append(f"decode by {100 * SAME_SPEED:.0f} %")
    return ", ".join(margins) or None


def _beats(a: _Candidate, b: _Candidate, faster: int) -> bool:
    """``faster``: 1 if a is told to be faster than b, -1 if slower."""
    if a.bits > b.bits or faster < 0:
        return False
    kld = _told(a.kld, b.kld)
    return kld is not None and kld <= 0 and (a.bits < b.bits or kld < 0 or faster > 0)


def _told(a: Value, b: Value) -> int | None:
    """-1 if a is lower beyond the error of the difference, 1 if higher, 0 if neither; None where that is not known."""
    difference, error = a.value - b.value, error_of([(1, a), (-1, b)])
    if error is None or error.kind == ROUNDED:
        least, most = sorted((abs(a.value), abs(b.value)))
        return (difference > 0) - (difference < 0) if most > SAME_KLD * least else None
    return (abs(difference) > error.half) * ((difference > 0) - (difference < 0))


def _told_of_speeds(cells: Sequence[Row]) -> NDArray[Any]:
    """1 where the cell of the row is faster than that of the column, -1 where it is slower, 0 where neither is told."""
    rates, places = rates_of(cells), np.indices((len(cells), len(cells))).reshape(2, -1)
    between = gaps_of(*(rates[place] for place in places))
    # Those without a round in common are compared as those are whose error is not known.
    ratio = between.ratio.fillna(pd.Series(np.divide(*(rates.means()[place] for place in places))))
    unknown = (between.n == 0) | between.ratio_low.isna()
    low = between.ratio_low.mask(unknown, ratio / (1 + SAME_SPEED))
    high = between.ratio_high.mask(unknown, ratio * (1 + SAME_SPEED))
    return ((low > 1).astype(int) - (high < 1)).to_numpy().reshape(len(cells), len(cells))
