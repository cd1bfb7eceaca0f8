"""Which rows may be compared with each other, and which count as the pair that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from kvsweep.study.pairs import BASELINE_PAIR, Pair, bits_per_value

Row = Mapping[str, Any]
_Row = TypeVar("_Row", bound=Row)

# What must be equal for two numbers to be compared. Numbers about quality also need corpus and n_ctx.
SET_UP = ("source", "engine", "engine_commit", "backend", "machine", "model", "model_sha256")
SCORED = ("corpus", "n_ctx")


def by_columns(rows: Iterable[_Row], columns: Iterable[str]) -> dict[tuple[Any, ...], list[_Row]]:
    """The rows that agree in these columns, in order of appearance."""
    columns = tuple(columns)
    found: dict[tuple[Any, ...], list[_Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in columns), []).append(row)
    return found


def set_up_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in SET_UP}


def pair_of(row: Row) -> Pair:
    """The pair that was asked for."""
    return Pair(row["ctk"], row["ctv"])


def problem_with(row: Row) -> str | None:
    """Why a row does not count as its pair: ``ran as q8_0/turbo3``, ``work left the device``, its status.

    None if it does. What ran is not known of published numbers: they count.
    """
    ran = Pair(row["effective_ctk"] or row["ctk"], row["effective_ctv"] or row["ctv"])
    if ran != pair_of(row):
        return f"ran as {ran}"
    if row["fallback"]:
        return "work left the device"
    return None if row["status"] == "measured" else str(row["status"])


def kld_of(row: Row) -> float | None:
    """Mean KL divergence of a row that counts; 0 for f16/f16 where nobody measured it, as it is the reference."""
    kld: float | None = row["kld_mean"]
    return 0.0 if kld is None and pair_of(row) == BASELINE_PAIR else kld


def bits_of(row: Row, values_k: int | None, values_v: int | None) -> tuple[float | None, str | None]:
    """Bits per value of a row's pair, K and V weighted by their number of values, and where they come from.

    ``log``: the logged sizes. ``types``: the definition of the types, where nothing was logged. None for a type without
    one. Where the number of values is not known, K and V are taken to have as many.
    """
    weight_k, weight_v = (values_k, values_v) if values_k and values_v else (1, 1)
    logged = row["bits_per_value_k"], row["bits_per_value_v"]
    known = [bits_per_value(row[side]) for side in ("ctk", "ctv")]
    bits = logged if None not in logged else tuple(None if b is None else float(b) for b in known)
    if bits[0] is None or bits[1] is None:
        return None, None
    mean = (bits[0] * weight_k + bits[1] * weight_v) / (weight_k + weight_v)
    return mean, "log" if None not in logged else "types"
