"""Rows by set-up, the model of each, and the bits per value of its pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def model_of(models: Iterable[Row]) -> Callable[[Row], Row | None]:
    """A function that finds the row of the model of a row of another table: by hash, or by source and name without
    one."""

    def key(row: Row) -> tuple[Any, ...]:
        return (row["model_sha256"],) if row["model_sha256"] else (row["source"], row["model"])

    by_key = {key(row): row for row in models}
    return lambda row: by_key.get(key(row))


def kv_values(model: Row | None) -> tuple[int, int] | None:
    """Values of K and of V of one token over all layers; None where they are not known."""
    if model is None or not model["kv_values_per_token_k"] or model["kv_values_per_token_v"] is None:
        return None
    return model["kv_values_per_token_k"], model["kv_values_per_token_v"]


def bits_of(row: Row, values: tuple[int, int] | None) -> tuple[float | None, str | None]:
    """Bits per value of a row's pair, K and V weighted by their number of values, and where they come from
    (``bits_by_side``). Where the number of values is not known, K and V are taken to have as many."""
    found = bits_by_side(row)
    if found is None:
        return None, None
    weighted = [(bits, weight) for bits, weight in zip(found[:2], values or (1, 1), strict=True) if weight]
    sides = [(bits, weight) for bits, weight in weighted if bits is not None]
    if values and len(sides) < len(weighted):
        return None, None
    return sum(bits * weight for bits, weight in sides) / sum(weight for _, weight in sides), found[2]
