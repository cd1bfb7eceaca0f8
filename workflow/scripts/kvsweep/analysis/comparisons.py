"""Our cells beside the published ones: value, ratio with its interval, and what sets the two set-ups apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvsweep.analysis.comparable import comparability
from kvsweep.analysis.estimates import Value
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.row_values import quality_of, speed_of
from kvsweep.analysis.set_ups import by_name
from kvsweep.tables.published import QUALITIES, RATES, name_of
from kvsweep.tables.row import SET_UP, Row, is_published

UNITS = {"tokens_per_second": "tokens/s", "ppl": "", "kld_mean": "nats", "top1_agreement": "fraction"}


def compare(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``comparisons`` from all rows of throughput or of quality, published ones among them.

    Each of our rows meets each published row of the same cell: the pair that was asked for, with depth and phase or
    with the context. All else that sets two set-ups apart is listed. Each quantity that was published has a row.
    """
    rows = list(rows)
    theirs = by_name(filter(is_published, rows))
    return [
        _compared(our, their, quantity)
        for our in rows
        if not is_published(our)
        for their in theirs.get(name_of(our), [])
        for quantity in (RATES if "phase" in our else QUALITIES)
        if their["status"] != "measured" or their[quantity] is not None
    ]


def _compared(our: Row, their: Row, quantity: str) -> dict[str, Any]:
    found = comparability(our, their, quantity)
    return {
        **{name: our[name] for name in (*SET_UP, "ctk", "ctv")},
        **{name: our.get(name) for name in ("corpus", "n_ctx", "depth", "phase")},
        "quantity": quantity,
        "unit": UNITS[quantity],
        "published": their["source"],
        "published_machine": their["machine"],
        "published_model": their["model"],
        "ours": our[quantity],
        "theirs": their[quantity],
        **_ratio(our, their, quantity),
        "our_status": our["status"],
        "their_status": their["status"],
        **found._asdict(),
    }


def _ratio(our: Row, their: Row, quantity: str) -> dict[str, Any]:
    """Ours as a multiple of theirs, with the errors of both."""
    ours, theirs = our[quantity], their[quantity]
    if ours is None or not theirs:
        return {}
    return gap(_value(our, quantity), _value(their, quantity)).of_ratio


def _value(row: Row, quantity: str) -> Value:
    value = speed_of(row) if quantity == "tokens_per_second" else quality_of(row, quantity)
    assert value is not None
    return value
