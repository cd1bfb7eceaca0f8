"""Every two pairs of about equal bits per value against each other: quality, speed at each common depth, memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kvsweep.analysis.estimates import (
    EXACT,
    Gap,
    Value,
    gap,
    gap_by_window,
    on_common_rounds,
    quality_of,
    speed_of,
)
from kvsweep.analysis.kv_values import KvValues, kv_values_of
from kvsweep.analysis.set_ups import bits_of, by_columns
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SET_UP, pair_of, problem_with

Row = Mapping[str, Any]

EQUAL_BITS = 0.5  # bits per value by which equal bits may differ
# The duels that the study left open, "the head-to-head that settles it"; met whatever their bits are.
NAMED = (("q4_0", "turbo4"), ("q4_0", "turbo3"))

_QUALITY = (
    ("kld_mean", "nats", "lower"),
    ("kld_p999", "nats", "lower"),
    ("top1_agreement", "fraction", "higher"),
)


@dataclass
class Contender:
    """A pair in one set-up: what of it was measured as that pair."""

    pair: Pair
    bits: float
    bits_from: str
    bytes_per_token: float | None
    # (corpus, n_ctx) -> row; (phase, depth, n_tokens) -> row
    quality: dict[tuple[str, int], Row] = field(default_factory=dict)
    speed: dict[tuple[str, int, int], Row] = field(default_factory=dict)
    _rates: dict[tuple[str, int, int], Value] = field(default_factory=dict)

    def rate(self, key: tuple[str, int, int]) -> Value:
        """Tokens/s of a cell, with its error. Kept, because a pair meets many others."""
        if key not in self._rates:
            self._rates[key] = speed_of(self.speed[key])
        return self._rates[key]


def head_to_head(
    throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row]
) -> list[dict[str, Any]]:
    """Rows of the table ``head_to_head``, of cells over rounds.

    Two pairs meet if their effective bits per value differ by at most EQUAL_BITS, or if they are NAMED, in each set-up
    that has both. Of what only one of them has there is no row.
    """
    found = []
    for set_up, by_pair in contenders(throughput, quality, models).items():
        shared = dict(zip(SET_UP, set_up, strict=True))
        for order, (a, b) in enumerate(_duels(by_pair), start=1):
            duel = shared | {
                "order": order,
                "pair_a": str(a.pair),
                "pair_b": str(b.pair),
                "bits_a": a.bits,
                "bits_b": b.bits,
                "bits_from": a.bits_from if a.bits_from == b.bits_from else "types",
            }
            found += [duel | row for row in _rounds(a, b)]
    return found


def contenders(
    throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row]
) -> dict[tuple[Any, ...], dict[Pair, Contender]]:
    """Set-up -> pair -> what was measured of it. A row that ran as another pair, or elsewhere, is not one of it."""
    values = kv_values_of(models)
    rows = [row for row in (*throughput, *quality) if problem_with(row) is None]
    found: dict[tuple[Any, ...], dict[Pair, Contender]] = {}
    for set_up, of_set_up in by_columns(rows, SET_UP).items():
        by_pair: dict[Pair, Contender] = {}
        for row in of_set_up:
            pair = pair_of(row)
            known = by_pair.get(pair)
            # Sizes that were logged say more than the types' definition.
            if known is None or known.bits_from != "log":
                contender = _contender(row, values(row))
                if contender is None:
                    continue
                if known is None:
                    by_pair[pair] = known = contender
                elif contender.bits_from == "log":
                    known.bits, known.bits_from = contender.bits, contender.bits_from
                    known.bytes_per_token = contender.bytes_per_token
            if "phase" in row:
                known.speed[row["phase"], row["depth"], row["n_tokens"]] = row
            else:
                known.quality[row["corpus"], row["n_ctx"]] = row
        found[set_up] = by_pair
    return found


def _contender(row: Row, values: KvValues | None) -> Contender | None:
    bits, source = bits_of(row, *((values.k, values.v) if values else (None, None)))
    if bits is None or source is None:
        return None
    return Contender(pair_of(row), bits, source, bits * (values.k + values.v) / 8 if values else None)


def _duels(by_pair: Mapping[Pair, Contender]) -> Iterator[tuple[Contender, Contender]]:
    """The named ones, then the others from many bits to few; the one with more bits is a."""
    named = [(Pair.parse(first), Pair.parse(second)) for first, second in NAMED]
    yield from ((by_pair[a], by_pair[b]) for a, b in named if a in by_pair and b in by_pair)
    ordered = sorted(by_pair.values(), key=lambda one: (-one.bits, one.pair))
    for place, a in enumerate(ordered):
        for b in ordered[place + 1 :]:
            if a.bits - b.bits > EQUAL_BITS:
                break
            if (a.pair, b.pair) not in named and (b.pair, a.pair) not in named:
                yield a, b


def _rounds(a: Contender, b: Contender) -> Iterator[dict[str, Any]]:
    for corpus, n_ctx in sorted(a.quality.keys() & b.quality.keys()):
        rows = a.quality[corpus, n_ctx], b.quality[corpus, n_ctx]
        for quantity, unit, better in _QUALITY:
            ours, theirs = (quality_of(row, quantity) for row in rows)
            if ours is None or theirs is None:
                continue
            paired = gap_by_window(*rows) if quantity == "kld_mean" else None
            between = paired or gap(ours, theirs)
            outcome = _outcome(a, b, quantity, unit, better, ours.value, theirs.value, between)
            yield {"corpus": corpus, "n_ctx": n_ctx, **outcome}
    for key in sorted(a.speed.keys() & b.speed.keys()):
        phase, depth, n_tokens = key
        speeds = on_common_rounds(a.rate(key), b.rate(key))
        if speeds is None:
            continue
        ours, theirs = speeds
        outcome = _outcome(a, b, phase, "tokens/s", "higher", ours.value, theirs.value, gap(ours, theirs))
        if ours.rounds is not None and len(ours.rounds) == 1:
            outcome["verdict"] = "one round"
        yield {"depth": depth, "n_tokens": n_tokens, **outcome}
    if a.bytes_per_token and b.bytes_per_token:
        difference, ratio = a.bytes_per_token - b.bytes_per_token, a.bytes_per_token / b.bytes_per_token
        exact = Gap(difference, difference, difference, ratio, ratio, ratio, EXACT)
        sizes = a.bytes_per_token, b.bytes_per_token
        yield _outcome(a, b, "kv_bytes_per_token", "bytes", "lower", *sizes, exact)


def _covers_one(between: Gap) -> bool:
    """Whether the ratio is not told from 1. With few and very unlike repetitions its interval is the wider one."""
    return (
        between.ratio_low is not None
        and between.ratio_high is not None
        and between.ratio_low <= 1 <= between.ratio_high
    )


def _outcome(
    a: Contender,
    b: Contender,
    quantity: str,
    unit: str,
    better: str,
    value_a: float,
    value_b: float,
    between: Gap,
) -> dict[str, Any]:
    lead = between.difference if better == "higher" else -between.difference
    ahead = str((a if lead > 0 else b).pair) if lead else None
    low, high = between.difference_low, between.difference_high
    if low is None or high is None:
        winner, verdict = None, "error unknown"
    elif (low > 0 or high < 0) and not _covers_one(between):
        winner, verdict = ahead, "better"
    else:
        winner, verdict = None, "equal" if between.interval == EXACT else "no difference shown"
    return {
        "quantity": quantity,
        "unit": unit,
        "better": better,
        "value_a": value_a,
        "value_b": value_b,
        **between._asdict(),
        "ahead": ahead,
        "winner": winner,
        "verdict": verdict,
    }
