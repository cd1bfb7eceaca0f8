"""Every two pairs of about equal bits per value against each other: quality, speed at each common depth, memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kvsweep.analysis.estimates import EXACT, exactly
from kvsweep.analysis.frames import either, frame_of, rows_of
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.many import FALSE_DISCOVERIES, with_q_values
from kvsweep.analysis.pair_schemas import HEAD_TO_HEAD
from kvsweep.analysis.rates import gaps_of, rates_of
from kvsweep.analysis.row_values import quality_of
from kvsweep.analysis.set_ups import bits_of, by_columns, kv_values, model_of
from kvsweep.analysis.speed import ERROR_UNKNOWN, ONE_ROUND
from kvsweep.study.pairs import Pair
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.row import SET_UP, Row, pair_of, problem_with
from kvsweep.tables.schemas import THROUGHPUT

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
_PAIR = [*SET_UP, "ctk", "ctv"]
_PLACE = ["quantity", "corpus", "n_ctx", "depth", "n_tokens"]


def head_to_head(
    throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row]
) -> list[dict[str, Any]]:
    """Rows of the table ``head_to_head``, of cells over rounds.

    Two pairs meet if their effective bits per value differ by at most EQUAL_BITS, or if they are NAMED, in each set-up
    that has both. Of what only one of them has there is no row.
    """
    throughput, quality = (
        [row for row in rows if problem_with(row) is None] for rows in (throughput, quality)
    )
    known = contenders(throughput, quality, models)
    known["number"] = range(len(known))
    met = _duels(known)
    values = pd.concat([_qualities(quality), _sizes(known)], ignore_index=True)
    duels = [_of_speeds(met, known, throughput), _of_values(met, known, values)]
    if not any(map(len, duels)):
        return []
    found = _with_verdicts(pd.concat([one for one in duels if len(one)], ignore_index=True))
    found["_rank"] = found.quantity.map({name: place for place, name in enumerate(QUANTITIES)})
    found = found.sort_values(["_set_up", "order", "corpus", "n_ctx", "_rank", "depth"], kind="stable")
    return rows_of(found.filter(HEAD_TO_HEAD.names))


def _of_speeds(met: pd.DataFrame, known: pd.DataFrame, cells: Sequence[Row]) -> pd.DataFrame:
    """A row for each duel, phase and depth, with the gap of the two speeds."""
    values = frame_of(cells, THROUGHPUT, *_PAIR, "phase", "depth", "n_tokens")
    found = _meetings(met, known, values.rename(columns={"phase": "quantity"}))
    rates = rates_of(cells)
    between = gaps_of(*(rates[found.pop(cell).to_numpy()] for cell in ("cell_a", "cell_b")))
    return pd.concat([found, between], axis=1)[between.ratio.notna()]


def _of_values(met: pd.DataFrame, known: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """A row for each duel and value that both have, with the gap of the two; ``values`` has ``Value``."""
    found = _meetings(met, known, values)
    a, b = (values.value.iloc[found.pop(cell)] for cell in ("cell_a", "cell_b"))
    gaps = [
        {"value_a": ours.value, "value_b": theirs.value, "n": 0, **gap(ours, theirs)._asdict()}
        for ours, theirs in zip(a, b, strict=True)
    ]
    return pd.concat([found, pd.DataFrame(gaps)], axis=1)


def _meetings(met: pd.DataFrame, known: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """A row for each duel and place in which both have a value; ``cell_a``, ``cell_b``: which rows of ``values``."""
    kinds = dict.fromkeys(("n_ctx", "depth", "n_tokens"), "Int64")
    places = values.reindex(columns=[*_PAIR, *_PLACE]).astype(kinds).assign(cell=range(len(values)))
    places = places.merge(known[[*_PAIR, "number"]], on=_PAIR).drop(columns=_PAIR)
    places["_place"] = places.groupby(_PLACE, dropna=False, sort=False).ngroup()
    ours = places.rename(columns={"number": "number_a", "cell": "cell_a"})
    theirs = places[["number", "_place", "cell"]].rename(columns={"number": "number_b", "cell": "cell_b"})
    return met.merge(ours, on="number_a").merge(theirs, on=["number_b", "_place"])


def _qualities(quality: Sequence[Row]) -> pd.DataFrame:
    cells = frame_of(quality, QUALITY, *_PAIR, "corpus", "n_ctx")
    found = [
        cells.assign(quantity=name, value=pd.Series([quality_of(row, name) for row in quality], dtype=object))
        for name in _QUALITY
    ]
    return pd.concat(found).dropna(subset="value")


def _sizes(known: pd.DataFrame) -> pd.DataFrame:
    sizes = known.dropna(subset="bytes_per_token")
    return sizes[_PAIR].assign(
        quantity="kv_bytes_per_token", value=sizes.bytes_per_token.map(exactly).astype(object)
    )


def contenders(throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row]) -> pd.DataFrame:
    """A row for each pair of each set-up of which a cell counts: its bits per value, and its cache's bytes a token.

    Sizes that were logged say more than the types' definition. A pair with a type of unknown size has no row.
    """
    find = model_of(models)
    counting = (row for row in (*throughput, *quality) if problem_with(row) is None)
    found = []
    for alike in by_columns(counting, (*_PAIR, "bits_per_value_k", "bits_per_value_v")).values():
        row = alike[0]
        values = kv_values(find(row))
        bits, source = bits_of(row, values)
        size = bits * sum(values) / 8 if values and bits is not None else np.nan
        found.append((*(row[name] for name in _PAIR), str(pair_of(row)), bits, source, size))
    frame = pd.DataFrame(found, columns=[*_PAIR, "pair", "bits", "bits_from", "bytes_per_token"])
    frame = frame[frame.bits.notna()].sort_values("bits_from", kind="stable")  # log before types
    return frame.drop_duplicates([*SET_UP, "pair"], ignore_index=True)


def _duels(known: pd.DataFrame) -> pd.DataFrame:
    """Which two meet: the named ones, then the others from many bits to few; the one with more bits is a."""
    columns = ["pair", "bits", "bits_from", "number"]
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


def _with_verdicts(found: pd.DataFrame) -> pd.DataFrame:
    """With who is ahead, and who wins: beyond the error in difference and ratio, and with a rate of false discoveries
    of at most FALSE_DISCOVERIES, as of many duels some are won by chance."""
    found["unit"], found["better"] = (
        found.quantity.map({name: two[at] for name, two in QUANTITIES.items()}) for at in (0, 1)
    )
    exact = found.interval == EXACT
    found.loc[exact, ["t", "freedom"]] = np.nan
    found.loc[found.quantity == "ln_ppl_ratio", ["ratio", "ratio_low", "ratio_high"]] = np.nan
    found = with_q_values(found, "_set_up", "quantity")

    lead = found.difference.where(found.better == "higher", -found.difference)
    found["ahead"] = found.pair_a.where(lead > 0, found.pair_b.where(lead < 0))
    known = found.difference_low.notna() & found.difference_high.notna()
    told = (found.difference_low > 0) | (found.difference_high < 0)
    # With few and very unlike values the ratio's interval is the wider one.
    told &= ~((found.ratio_low <= 1) & (found.ratio_high >= 1)) & ~(found.q_value > FALSE_DISCOVERIES)
    found["winner"] = found.ahead.where(told)
    verdicts = {ONE_ROUND: ~known & (found.n == 1), ERROR_UNKNOWN: ~known, "better": told, "equal": exact}
    found["verdict"] = either("no difference shown", verdicts)
    return found
