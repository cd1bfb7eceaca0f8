"""What one set-up says first: what a quantized cache does to speed there, and what memory it saves for which damage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.speed import FASTER, ONE_ROUND, SLOWER
from kvsweep.numbers import format_between, format_number
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.tables.row import Row, is_published, pair_of, problem_with, with_ends
from kvsweep.units import format_count, plural

_RATIO = ("ratio", "ratio_low", "ratio_high")
SMALL = 0.6  # of f16's bits: what saves memory that is worth a sentence


def sentences_of(speed: Sequence[Row], pareto: Sequence[Row]) -> list[str]:
    """At most one sentence on speed and one on memory, from rows of `speed` and `pareto` of one set-up."""
    return [*_of_speed(speed), *_of_memory(pareto)]


def _of_speed(rows: Sequence[Row]) -> Iterable[str]:
    """Decode against f16 at the depth at which the most pairs have an interval; of equals the one with the most pairs,
    then the deepest."""
    decodes = [row for row in rows if row["phase"] == "decode" and row["ratio"] is not None]
    others = [row for row in decodes if pair_of(row) != BASELINE_PAIR and problem_with(row) is None]
    if not others:
        yield from _without_reference(rows)
    if not others or is_published(others[0]):
        return
    depths = [row["depth"] for row in others]
    known = [row["depth"] for row in others if row["ratio_low"] is not None]
    depth = max(set(depths), key=lambda one: (known.count(one), depths.count(one), one))
    at = [row for row in others if row["depth"] == depth]
    timed = [row for row in rows if _is_timed(row) and row["depth"] == depth]
    every = "every quantized cache that " + (
        "was timed" if len(timed) == len(at) else "has a round in common with f16"
    )
    where = f"decode at {format_count(depth)}"
    on = f"On {at[0]['machine']} ({at[0]['backend']})"
    if all(row["verdict"] == ONE_ROUND for row in at):
        slower = [row for row in at if row["ratio"] < 1]
        what = f"the rates of {len(slower)} of {len(at)} quantized caches lay below f16's"
        if len(slower) in (0, len(at)):
            what = f"the rate of {every} lay {'below' if slower else 'above'} f16's"
        only = all(len(row["rounds"]) == 1 for row in timed)
        round_ = "the one round that was measured" if only else "the one round that both have"
        yield f"{on} {what} in {round_} ({where}: {_by(at)}); no winner is told from one round."
        return
    groups = {verdict: [row for row in at if row["verdict"] == verdict] for verdict in (FASTER, SLOWER)}
    for verdict, told in groups.items():
        if len(told) == len(at):
            yield f"{on} {every} is {verdict} than f16 ({where}: {_by(at)})."
            return
    parts = [
        f"{_count(told)} {'is' if len(told) == 1 else 'are'} {verdict} than f16 ({_by(told)})"
        for verdict, told in groups.items()
        if told
    ]
    once = sum(row["verdict"] == ONE_ROUND for row in at)
    untold = len(at) - sum(map(len, groups.values())) - once
    if untold:
        alone = f"{plural(untold, 'quantized cache')} {'is' if untold == 1 else 'are'} not told from f16"
        parts.append(f"{untold} not told from it" if parts else alone)
    if once:
        parts.append(f"{once} not told from it in the one round that both have")
    if len(timed) > len(at):
        parts.append(f"{len(timed) - len(at)} not compared with it, for want of a common round")
    yield f"{on}, {where}: {', '.join(parts)}."


def _is_timed(row: Row) -> bool:
    """Whether it is the decode speed of a quantized cache that ran as asked for."""
    return row["phase"] == "decode" and pair_of(row) != BASELINE_PAIR and problem_with(row) is None


def _without_reference(rows: Sequence[Row]) -> Iterable[str]:
    """Why nothing is compared with f16, where something was to be."""
    cells = [row for row in rows if row["phase"] == "decode" and not is_published(row)]
    others = [row for row in cells if pair_of(row) != BASELINE_PAIR]
    base = [row for row in cells if pair_of(row) == BASELINE_PAIR]
    if not others:
        return
    on = f"On {others[0]['machine']} ({others[0]['backend']})"
    if all(problem_with(row) for row in cells):
        yield f"{on} no speed was measured ({_problems(cells)})."
    elif all(problem_with(row) for row in others):
        yield f"{on} no quantized cache was measured in decode ({_problems(others)})."
    elif all(problem_with(row) for row in base):
        yield f"{on} no speed is compared with f16, which was not measured ({_problems(base) or 'not asked for'})."
    else:
        yield f"{on} no speed is compared with f16, which was measured at no depth and round that another pair has."


def _problems(rows: Sequence[Row]) -> str:
    return ", ".join(dict.fromkeys(str(problem_with(row)) for row in rows))


def _count(rows: Sequence[Row]) -> str:
    return (
        ", ".join(str(pair_of(row)) for row in rows)
        if len(rows) <= 3
        else plural(len(rows), "quantized cache")
    )


def _by(rows: Sequence[Row]) -> str:
    """`29 % [27, 31] for q8_0 to 76 % [75, 77] for q4_0`: the one that differs least, and the one that does most."""
    ordered = sorted(rows, key=lambda row: abs(row["ratio"] - 1))
    return " to ".join(
        dict.fromkeys(f"{_share(row)} for {pair_of(row)}" for row in (ordered[0], ordered[-1]))
    )


def _share(row: Row) -> str:
    """By how much of f16's speed a pair is away from it, in its own direction."""
    share, low, high = (None if row[end] is None else 100 * (row[end] - 1) for end in _RATIO)
    assert share is not None
    if share < 0:
        share, low, high = -share, (None if high is None else -high), (None if low is None else -low)
    return format_between(share, low, high, unit=" %")


def _of_memory(rows: Sequence[Row]) -> Iterable[str]:
    """The pair with the least damage among those that are much smaller than f16; at the largest context scored."""
    known = [row for row in rows if row["kld_mean"] is not None and row["bits_per_value"] is not None]
    deepest = max((row["n_ctx"] or 0 for row in known), default=0)
    small = [row for row in known if row["n_ctx"] == deepest and row["bits_per_value"] <= SMALL * 16]
    if not small or is_published(small[0]):
        return
    best = min(small, key=lambda row: (row["kld_mean"], row["bits_per_value"]))
    least = min(small, key=lambda row: (row["bits_per_value"], row["kld_mean"]))
    said = [_saving(best), *([_saving(least)] if least is not best else [])]
    yield f"Memory: {'; '.join(said)}."


def _saving(row: Row) -> str:
    share = format_number(100 * row["bits_per_value"] / 16, 2)
    return f"{pair_of(row)} takes {share} % of f16's cache for a mean KL divergence of {kld_with_error(row)}"


def kld_with_error(row: Row) -> str:
    """A mean KL divergence with the ends of its interval, and words where it has none: a number alone looks certain."""
    value, low, high = with_ends(row, "kld_mean")
    known = low is not None or is_published(row)
    return f"{format_between(value, low, high)} nats" + ("" if known else " (its error is not known)")
