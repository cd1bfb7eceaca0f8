"""What the size of a KV cache follows from, for the rows of the other tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kvsweep.tables.row import Row


class KvValues(NamedTuple):
    """Values of K and of V of one token over all layers."""

    k: int
    v: int


def model_of(models: Iterable[Row]) -> Callable[[Row], Row | None]:
    """A function that finds the row of the model of a row of another table: by hash, or by source and name without
    one."""
    rows = list(models)
    by_hash = {row["model_sha256"]: row for row in rows if row["model_sha256"]}
    by_name = {(row["source"], row["model"]): row for row in rows if not row["model_sha256"]}

    def find(row: Row) -> Row | None:
        if row["model_sha256"]:
            return by_hash.get(row["model_sha256"])
        return by_name.get((row["source"], row["model"]))

    return find


def kv_values_of(models: Iterable[Row]) -> Callable[[Row], KvValues | None]:
    """A function from a row of another table to its model's values; None where the model is not known."""
    find = model_of(models)

    def values(row: Row) -> KvValues | None:
        model = find(row)
        if model is None or not model["kv_values_per_token_k"] or model["kv_values_per_token_v"] is None:
            return None
        return KvValues(model["kv_values_per_token_k"], model["kv_values_per_token_v"])

    return values
