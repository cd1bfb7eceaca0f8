"""The pairs that no other pair beats in bits per value, KL divergence and decode speed at once.

A pair beats another if it is better in one of the three and not worse in any. Bits are exact; a divergence or a speed
is better or worse only beyond the error of the difference, so that noise wins no place on the front. Where the error of
a speed from run to run is not known (one round, published numbers), speeds within ``SAME_SPEED`` are equal. Where that
of a divergence is not (a single window) it is lower or higher only beyond a factor of ``SAME_KLD``, and within that
factor nobody is beaten: what is not known to be as good beats no one. ``margin`` says which were used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kvsweep.analysis.estimates import Value, ends_of_kld, error_of, on_common_rounds
from kvsweep.analysis.frames import rows_of
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.head_to_head import contenders
from kvsweep.analysis.row_values import kld_of, speed_of
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
    """A pair of which all three are known."""

    pair: Pair
    bits: float
    kld: Value
    decode: Value


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
    kld = decode = None
    problem = "not asked for" if score is None else problem_with(score)
    if score is not None and problem is None:
        kld, problem = kld_of(score), "not stated"
    if kld is None:
        missing.append(f"kld_mean: {problem}")
    problem = "not asked for" if speed is None else problem_with(speed)
    if speed is not None and problem is None:
        decode = speed_of(speed)
    else:
        missing.append(f"decode {'at no depth' if depth is None else f'at {format_count(depth)}'}: {problem}")
    row = {
        "ctk": pair.ctk,
        "ctv": pair.ctv,
        "bits_per_value": bits,
        "kld_mean": kld and kld.value,
        **ends_of_kld(kld),
        "decode": decode and decode.value,
        **{
            f"decode_{end}": None
            if decode is None or speed is None
            else speed.get(f"tokens_per_second_{end}")
            for end in ("low", "high")
        },
        "missing": missing,
    }
    return row, None if bits is None or kld is None or decode is None else _Candidate(pair, bits, kld, decode)


def _with_front(table: list[dict[str, Any]], candidates: Sequence[_Candidate]) -> Iterable[dict[str, Any]]:
    better: Mapping[Pair, list[str]] = {
        one.pair: [str(other.pair) for other in candidates if other is not one and _beats(other, one)]
        for one in candidates
    }
    for row in table:
        beaten_by = better.get(pair_of(row))
        one = next((one for one in candidates if one.pair == pair_of(row)), None)
        yield row | {
            "margin": None if one is None else _margin(one),
            "dominated_by": beaten_by or [],
            "on_front": None if beaten_by is None else not beaten_by,
        }


def _margin(one: _Candidate) -> str | None:
    """By how much others have to differ from values whose own error is not known; None where both errors are."""
    margins = [f"KL divergence by a factor of {SAME_KLD}"] if one.kld.half is None else []
    if one.decode.rounds is None or len(one.decode.rounds) < 2:
        margins.append(f"decode by {100 * SAME_SPEED:.0f} %")
    return ", ".join(margins) or None


def _beats(a: _Candidate, b: _Candidate) -> bool:
    if a.bits > b.bits:
        return False
    kld = _told(a.kld, b.kld)
    if kld is None or kld > 0:
        return False
    decode = _told_of_speeds(a.decode, b.decode)
    return decode >= 0 and (a.bits < b.bits or kld < 0 or decode > 0)


def _told(a: Value, b: Value) -> int | None:
    """-1 if a is lower beyond the error of the difference, 1 if higher, 0 if neither; None where that is not known."""
    difference, error = a.value - b.value, error_of([(1, a), (-1, b)])
    if error is None:
        least, most = sorted((abs(a.value), abs(b.value)))
        return (difference > 0) - (difference < 0) if most > SAME_KLD * least else None
    return (abs(difference) > error.half) * ((difference > 0) - (difference < 0))


def _told_of_speeds(a: Value, b: Value) -> int:
    common = on_common_rounds(a, b)
    a, b = common or (a, b)
    between = gap(a, b) if common and a.rounds is not None else None
    if between is None or between.ratio_low is None or between.ratio_high is None:
        ratio = a.value / b.value
        return (ratio > 1 + SAME_SPEED) - (ratio < 1 / (1 + SAME_SPEED))
    return (between.ratio_low > 1) - (between.ratio_high < 1)
