"""Rows by set-up, and what stands in each of them: its divergence, its bits per value."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, TypeVar

from kvsweep.study.pairs import bits_per_value
from kvsweep.tables.published import name_of
from kvsweep.tables.row import Row

_Row = TypeVar("_Row", bound=Row)


def by_columns(rows: Iterable[_Row], columns: Iterable[str]) -> dict[tuple[Any, ...], list[_Row]]:
    """The rows that agree in these columns, in order of appearance."""
    columns = tuple(columns)
    values_of = itemgetter(*columns)
    found: dict[tuple[Any, ...], list[_Row]] = {}
    for row in rows:
        values = values_of(row)
        found.setdefault(values if len(columns) > 1 else (values,), []).append(row)
    return found


def by_name(rows: Iterable[_Row]) -> dict[str, list[_Row]]:
    """The rows of each cell (``published.name_of``); several where more than one number of tokens was timed."""
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(name_of(row), []).append(row)
    return found


def bits_by_side(row: Row) -> tuple[float | None, float | None, str] | None:
    """Bits per value of K and of V of a row's pair, and where they come from.

    ``log``: the logged sizes; a side that keeps nothing is None. ``types``: the definition of the types, where
    nothing was logged. None for a pair with a type without one.
    """
    logged = row["bits_per_value_k"], row["bits_per_value_v"]
    if logged != (None, None):
        return *logged, "log"
    known = [bits_per_value(row[side]) for side in ("ctk", "ctv")]
    if known[0] is None or known[1] is None:
        return None
    return float(known[0]), float(known[1]), "types"


def bits_of(row: Row, values_k: int | None, values_v: int | None) -> tuple[float | None, str | None]:
    """Bits per value of a row's pair, K and V weighted by their number of values, and where they come from
    (``bits_by_side``). Where the number of values is not known, K and V are taken to have as many."""
    found = bits_by_side(row)
    if found is None:
        return None, None
    weights = (values_k, values_v or 0) if values_k else (1, 1)
    sides = [(bits, weight) for bits, weight in zip(found[:2], weights, strict=True) if weight]
    if any(bits is None for bits, _ in sides) and values_k:
        return None, None
    sides = [(bits, weight) for bits, weight in sides if bits is not None]
    mean = sum(bits * weight for bits, weight in sides if bits is not None) / sum(
        weight for _, weight in sides
    )
    return mean, found[2]
