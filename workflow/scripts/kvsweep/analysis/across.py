"""The same cell on two machines, engines or slices: how it stands on each of them against its own f16.

Speeds of two machines are compared as multiples of each one's own f16 at the same depth, divergences as each one's
distance from its own f16, or from that of the engine of ``quality.reference``. Two cells that are not comparable
(``comparable.py``) have a row that says why, and no ratio.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from kvsweep.analysis.comparable import Comparability, comparability, model_check
from kvsweep.analysis.estimates import OVER_ROUNDS, ROUNDED, Value
from kvsweep.analysis.frames import rows_of
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.reference import reference_engine
from kvsweep.analysis.row_values import quality_of
from kvsweep.analysis.set_ups import by_columns
from kvsweep.analysis.speed import against_f16
from kvsweep.tables.row import SET_UP, Row, is_published, problem_with, source_order

RELATIVE_SPEED = "speed relative to f16"
UNITS = {RELATIVE_SPEED: "", "kld_mean": "nats", "top1_agreement": "fraction"}
_BOTH = "95 % of both, in quadrature"
_WITH_PUBLISHED = f"{OVER_ROUNDS} and {ROUNDED}"


def across(speeds: Sequence[Row], quality: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Rows of the table ``across``: of cells of ``speed.over_rounds``, and of quality by one method.

    What was measured here comes first, what others published last; published numbers are not compared with each other.
    """
    relative = against_f16(speeds, fallback=True)
    ratios = [{**speeds[at], **ratio} for at, ratio in zip(relative.index, rows_of(relative), strict=True)]
    ratios = list(filter(_counts, ratios))
    for one, other in _couples(ratios, ("ctk", "ctv", "depth", "phase")):
        found = comparability(one, other)
        values = _sides(*((of["ratio"], of["ratio_low"], of["ratio_high"]) for of in (one, other)))
        yield _row(one, other, RELATIVE_SPEED, found) | values | _of_ratios(found, one, other)
    for ours, theirs in _couples([row for row in quality if _counts(row)], ("ctk", "ctv", "n_ctx")):
        for quantity in ("kld_mean", "top1_agreement"):
            here, there = (quality_of(row, quantity) for row in (ours, theirs))
            if here is None or there is None:
                continue
            found = comparability(ours, theirs, quantity)
            values = _sides(*map(_with_ends, (here, there)))
            ratio = {} if found.comparable is False else gap(here, there).of_ratio
            yield _row(ours, theirs, quantity, found) | values | ratio


def _counts(row: Row) -> bool:
    return problem_with(row, fallback=True) is None


def _couples(rows: Iterable[Row], cell: Sequence[str]) -> Iterator[tuple[Row, Row]]:
    """Two rows each of one cell of one model and two set-ups."""
    for alike in by_columns(rows, cell).values():
        alike.sort(key=source_order)
        for ours, theirs in combinations(alike, 2):
            apart = any(ours[name] != theirs[name] for name in SET_UP)
            if apart and not is_published(ours) and model_check(ours, theirs).same is not False:
                yield ours, theirs


def _of_ratios(found: Comparability, one: Row, other: Row) -> dict[str, Any]:
    """One relative speed over another, on the logarithm.

    Two that were measured have no round in common, so that their errors are independent of each other: the halves of
    the two intervals in quadrature hold the truth in 95 % at least, also where one side has far fewer rounds, of which
    Welch and Satterthwaite's hold it in 90 %. What the digits of a published one leave open is a bound: it is added.
    """
    if found.comparable is False:
        return {}
    ratio = {"ratio": one["ratio"] / other["ratio"]}
    if None in (one["ratio_high"], other["ratio_high"]):
        return ratio
    ours, theirs = (math.log(side["ratio_high"] / side["ratio_low"]) / 2 for side in (one, other))
    published = other["ratio_interval"] == ROUNDED
    half = ours + theirs if published else math.hypot(ours, theirs)
    ends = {"ratio_low": ratio["ratio"] * math.exp(-half), "ratio_high": ratio["ratio"] * math.exp(half)}
    return ratio | ends | {"interval": _WITH_PUBLISHED if published else _BOTH}


_Ends = tuple[float, float | None, float | None]


def _sides(ours: _Ends, theirs: _Ends) -> dict[str, float | None]:
    """The columns of both values with their intervals."""
    return {
        f"{side}{end}": number
        for side, value in (("value", ours), ("other_value", theirs))
        for end, number in zip(("", "_low", "_high"), value, strict=True)
    }


def _with_ends(value: Value) -> _Ends:
    found, half = value.value, value.half
    return (found, None, None) if half is None else (found, max(found - half, 0.0), found + half)


def _row(ours: Row, theirs: Row, quantity: str, found: Comparability) -> dict[str, Any]:
    return {
        **{name: ours[name] for name in (*SET_UP, "ctk", "ctv")},
        **{f"other_{name}": theirs[name] for name in SET_UP},
        **{name: ours.get(name) for name in ("corpus", "n_ctx", "depth", "phase")},
        "quantity": quantity,
        "unit": UNITS[quantity],
        **found._asdict(),
        "reference": _reference(ours, theirs),
    }


def _reference(ours: Row, theirs: Row) -> str:
    """Which f16 the two values are from, for a person."""
    others = [reference_engine(row) for row in (ours, theirs)]
    if others == [None, None]:
        return "each its own f16"
    engines = [other or row["engine"] for other, row in zip(others, (ours, theirs), strict=True)]
    return f"the f16 of {' and of '.join(dict.fromkeys(engines))}"
