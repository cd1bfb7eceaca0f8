"""Our cells beside the published ones: value, ratio with its interval, and what sets the two set-ups apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kvsweep.analysis.estimates import Value, gap, quality_of, speed_of
from kvsweep.tables.published import LIKELY_COMMIT, QUALITIES, RATES, name_of
from kvsweep.tables.row import SET_UP, is_published

Row = Mapping[str, Any]

UNITS = {"tokens_per_second": "tokens/s", "ppl": "", "kld_mean": "nats", "top1_agreement": "fraction"}


def compare(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``comparisons`` from all rows of throughput or of quality, published ones among them.

    Each of our rows meets each published row of the same cell: the pair that was asked for, with depth and phase or
    with the context. All else that sets two set-ups apart is listed. Each quantity that was published has a row.
    """
    rows = list(rows)
    theirs: dict[str, list[Row]] = {}
    for row in filter(is_published, rows):
        theirs.setdefault(name_of(row), []).append(row)
    return [
        _compared(our, their, quantity)
        for our in rows
        if not is_published(our)
        for their in theirs.get(name_of(our), [])
        for quantity in (RATES if "phase" in our else QUALITIES)
        if their["status"] != "measured" or their[quantity] is not None
    ]


def _compared(our: Row, their: Row, quantity: str) -> dict[str, Any]:
    checks = list(_checks(our, their))
    differs = [check.both() for check in checks if check.same is False]
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
        "comparable": not differs,
        "differs": differs,
        "unknown": [check.what for check in checks if check.same is None],
    }


def _ratio(our: Row, their: Row, quantity: str) -> dict[str, Any]:
    """Ours as a multiple of theirs, with the errors of both."""
    ours, theirs = our[quantity], their[quantity]
    if ours is None or not theirs:
        return {}
    between = gap(_value(our, quantity), _value(their, quantity))
    return {name: getattr(between, name) for name in ("ratio", "ratio_low", "ratio_high", "interval")}


def _value(row: Row, quantity: str) -> Value:
    value = speed_of(row) if quantity == "tokens_per_second" else quality_of(row, quantity)
    assert value is not None
    return value


class _Check(NamedTuple):
    """Something that decides a value, on both sides; ``same`` is None where a side does not say."""

    what: str
    same: bool | None
    ours: object
    theirs: object

    def both(self) -> str:
        return f"{self.what}: ours {_shown(self.ours)}, theirs {_shown(self.theirs)}"


def _shown(value: object) -> str:
    if value is None:
        return "not stated"
    return "yes" if value is True else "no" if value is False else str(value)


def _checks(our: Row, their: Row) -> Iterable[_Check]:
    def check(what: str, column: str) -> _Check:
        mine, other = our.get(column), their.get(column)
        return _Check(what, None if mine is None or other is None else bool(mine == other), mine, other)

    by_hash = check("model", "model_sha256")
    # The hash decides; where the names differ too, they say more to a person.
    by_name = check("model", "model")
    yield by_name if by_hash.same is None or (by_name.same is False and by_hash.same is False) else by_hash
    yield _commit(our, their)
    yield check("back end", "backend")
    yield check("machine", "machine")
    yield _effective_pair(our, their)
    yield check("work left the device", "fallback")
    if "phase" in our:
        yield check("tokens timed", "n_tokens")
    else:
        yield check("corpus", "corpus")
        yield check("windows", "chunks")


def _commit(our: Row, their: Row) -> _Check:
    mine, other, likely = our["engine_commit"], their["engine_commit"], their[LIKELY_COMMIT]
    if mine and other:
        return _Check("engine commit", mine == other, mine, other)
    # That ours equals the likely one would prove nothing; another one is another.
    same = False if mine and likely and mine != likely else None
    return _Check("engine commit", same, mine, f"likely {likely}" if likely else None)


def _effective_pair(our: Row, their: Row) -> _Check:
    """Types that are known to have run must be those that ran, or were asked for, on the other side."""
    ran = [tuple(row[f"effective_{side}"] or row[side] for side in ("ctk", "ctv")) for row in (our, their)]
    known = all(row[f"effective_{side}"] for row in (our, their) for side in ("ctk", "ctv"))
    same = False if ran[0] != ran[1] else True if known else None
    return _Check("effective pair", same, *("/".join(types) for types in ran))
