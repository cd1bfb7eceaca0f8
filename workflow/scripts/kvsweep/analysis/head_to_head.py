"""Every two pairs of about equal bits per value against each other: quality, speed at each common depth, memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from kvsweep.analysis.estimates import EXACT, Value, exactly, on_common_rounds
from kvsweep.analysis.frames import rows_of
from kvsweep.analysis.gaps import Gap, gap
from kvsweep.analysis.kv_values import kv_values_of
from kvsweep.analysis.many import FALSE_DISCOVERIES, with_q_values
from kvsweep.analysis.pair_schemas import HEAD_TO_HEAD
from kvsweep.analysis.row_values import quality_of, speed_of
from kvsweep.analysis.set_ups import bits_of
from kvsweep.analysis.speed import ERROR_UNKNOWN, ONE_ROUND
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SET_UP, Row, pair_of, problem_with

EQUAL_BITS = 0.5  # bits per value by which equal bits may differ
# The duels that the study left open, "the head-to-head that settles it"; met whatever their bits are.
NAMED = (("q4_0", "turbo4"), ("q4_0", "turbo3"))

# Quantity: its unit, and which value is the better one.
QUANTITIES = {
    "kld_mean": ("nats", "lower"),
    "kld_p999": ("nats", "lower"),
    "top1_agreement": ("fraction", "higher"),
    "ln_ppl_ratio": ("", "lower"),
    "prefill": ("tokens/s", "higher"),
    "decode": ("tokens/s", "higher"),
    "kv_bytes_per_token": ("bytes", "lower"),
}
_QUALITY = ("kld_mean", "kld_p999", "top1_agreement", "ln_ppl_ratio")
_PLACE = ("corpus", "n_ctx", "depth", "n_tokens")


def head_to_head(
    throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row]
) -> list[dict[str, Any]]:
    """Rows of the table ``head_to_head``, of cells over rounds.

    Two pairs meet if their effective bits per value differ by at most EQUAL_BITS, or if they are NAMED, in each set-up
    that has both. Of what only one of them has there is no row.
    """
    values = measured_values(throughput, quality)
    known = contenders(throughput, quality, models)
    sizes = known[known.bytes_per_token.notna()].assign(quantity="kv_bytes_per_token")
    sizes["value"] = sizes.bytes_per_token.map(exactly)
    values = pd.concat([values, sizes[[*SET_UP, "pair", "quantity", "value"]]], ignore_index=True)
    met = _duels(known)
    if met.empty or values.empty:
        return []
    sides = [values.rename(columns={"pair": f"pair_{side}", "value": f"of_{side}"}) for side in ("a", "b")]
    found = met.merge(sides[0], on=[*SET_UP, "pair_a"]).merge(
        sides[1], on=[*SET_UP, "pair_b", "quantity", *_PLACE]
    )
    outcomes = pd.DataFrame(
        [
            _outcome(*one)
            for one in zip(found.pair_a, found.pair_b, found.quantity, found.of_a, found.of_b, strict=True)
        ]
    )
    found = pd.concat([found.drop(columns=["of_a", "of_b"]), outcomes], axis=1)
    found = found[found.value_a.notna()]
    rank = {name: place for place, name in enumerate(QUANTITIES)}
    found["_rank"] = found.quantity.map(rank)
    found = found.sort_values(["_set_up", "order", "corpus", "n_ctx", "_rank", "depth"], kind="stable")
    return rows_of(_with_q_values(found).drop(columns=["_rank", "_set_up", "t", "freedom"]), HEAD_TO_HEAD)


def measured_values(throughput: Iterable[Row], quality: Iterable[Row]) -> pd.DataFrame:
    """A row for each quantity of each cell that counts as its pair, with its ``Value``."""
    found = [
        {
            **{name: row[name] for name in (*SET_UP, "depth", "n_tokens")},
            "pair": str(pair_of(row)),
            "quantity": row["phase"],
            "value": speed_of(row),
        }
        for row in throughput
        if problem_with(row) is None
    ]
    found += [
        {
            **{name: row[name] for name in (*SET_UP, "corpus", "n_ctx")},
            "pair": str(pair_of(row)),
            "quantity": quantity,
            "value": value,
        }
        for row in quality
        if problem_with(row) is None
        for quantity in _QUALITY
        if (value := quality_of(row, quantity)) is not None
    ]
    frame = pd.DataFrame(found, columns=[*SET_UP, "pair", "quantity", *_PLACE, "value"])
    return frame.astype(dict.fromkeys(("n_ctx", "depth", "n_tokens"), "Int64"))


def contenders(throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row]) -> pd.DataFrame:
    """A row for each pair of each set-up of which a cell counts: its bits per value, and its cache's bytes a token.

    Sizes that were logged say more than the types' definition. A pair with a type of unknown size has no row.
    """
    values_of = kv_values_of(models)
    found = []
    for row in (*throughput, *quality):
        if problem_with(row) is None:
            values = values_of(row)
            bits, source = bits_of(row, *(values or (None, None)))
            size = bits * sum(values) / 8 if values and bits is not None else np.nan
            found.append((*(row[name] for name in SET_UP), str(pair_of(row)), bits, source, size))
    frame = pd.DataFrame(found, columns=[*SET_UP, "pair", "bits", "bits_from", "bytes_per_token"])
    frame = frame[frame.bits.notna()].sort_values("bits_from", kind="stable")  # log before types
    return frame.drop_duplicates([*SET_UP, "pair"], ignore_index=True)


def _duels(known: pd.DataFrame) -> pd.DataFrame:
    """Which two meet: the named ones, then the others from many bits to few; the one with more bits is a."""
    columns = ["pair", "bits", "bits_from"]
    numbered = known.assign(_set_up=known.groupby(list(SET_UP), dropna=False, sort=False).ngroup())
    numbered["parsed"] = numbered.pair.map(Pair.parse)
    numbered = numbered.sort_values(["bits", "parsed"], ascending=[False, True])
    numbered["_place"] = range(len(numbered))
    both = numbered[[*SET_UP, "_set_up", *columns, "_place"]].merge(
        numbered[["_set_up", *columns, "_place"]], on="_set_up", suffixes=("_a", "_b")
    )
    named = pd.Series(
        [NAMED.index(two) if two in NAMED else -1 for two in zip(both.pair_a, both.pair_b, strict=True)],
        index=both.index,
    )
    reverse = [two in NAMED for two in zip(both.pair_b, both.pair_a, strict=True)]
    close = (both["_place_a"] < both["_place_b"]) & (both.bits_a - both.bits_b <= EQUAL_BITS)
    met = both[(named >= 0) | (close & ~np.array(reverse, bool))].copy()
    met["_named"] = named[met.index].replace(-1, len(NAMED))
    met = met.sort_values(["_set_up", "_named", "_place_a", "_place_b"], kind="stable")
    met["order"] = met.groupby("_set_up").cumcount() + 1
    logged = met.bits_from_a == met.bits_from_b
    met["bits_from"] = met.bits_from_a.where(logged, "types")
    return met.drop(columns=["bits_from_a", "bits_from_b", "_place_a", "_place_b", "_named"])


def _outcome(pair_a: str, pair_b: str, quantity: str, a: Value, b: Value) -> dict[str, Any]:
    """One duel in one quantity; nothing where they have no round in common."""
    common = on_common_rounds(a, b)
    if common is None:
        return {"value_a": None}
    a, b = common
    between = gap(a, b)
    if between.interval == EXACT:
        between = between._replace(t=None, freedom=None)
    unit, better = QUANTITIES[quantity]
    if quantity == "ln_ppl_ratio":
        between = between._replace(ratio=None, ratio_low=None, ratio_high=None)
    lead = between.difference if better == "higher" else -between.difference
    ahead = (pair_a if lead > 0 else pair_b) if lead else None
    low, high = between.difference_low, between.difference_high
    if low is None or high is None:
        winner, verdict = None, ONE_ROUND if a.rounds is not None and len(a.rounds) == 1 else ERROR_UNKNOWN
    elif (low > 0 or high < 0) and not _covers_one(between):
        winner, verdict = ahead, "better"
    else:
        winner, verdict = None, "equal" if between.interval == EXACT else "no difference shown"
    return {
        "unit": unit,
        "better": better,
        "value_a": a.value,
        "value_b": b.value,
        **between._asdict(),
        "ahead": ahead,
        "winner": winner,
        "verdict": verdict,
    }


def _covers_one(between: Gap) -> bool:
    """Whether the ratio is not told from 1. With few and very unlike values its interval is the wider one."""
    return (
        between.ratio_low is not None
        and between.ratio_high is not None
        and between.ratio_low <= 1 <= between.ratio_high
    )


def _with_q_values(found: pd.DataFrame) -> pd.DataFrame:
    """Of many duels some are won by chance: a winner needs a rate of false discoveries below FALSE_DISCOVERIES, too."""
    found = with_q_values(found, "_set_up", "quantity")
    by_chance = (found.verdict == "better") & (found.q_value > FALSE_DISCOVERIES)
    found.loc[by_chance, "verdict"] = "no difference shown"
    found.loc[by_chance, "winner"] = None
    return found
