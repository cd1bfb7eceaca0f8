"""The pairs that no other pair beats in bits per value, KL divergence and decode speed at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kvsweep.analysis.head_to_head import Contender, contenders
from kvsweep.analysis.set_ups import by_columns, kld_of
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SET_UP, Problem, pair_of, problem_with
from kvsweep.units import format_count

Row = Mapping[str, Any]


def pareto(
    throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row], depth: int | None = None
) -> list[dict[str, Any]]:
    """Rows of the table ``pareto``: each pair of each set-up, corpus and context that was asked for.

    ``depth`` is that of the decode speed; None takes the deepest one at which every pair that was measured at all was
    measured, or the one that most have. Values are compared as they are: who is ahead by less than the errors is in
    ``head_to_head``.
    """
    throughput, quality = list(throughput), list(quality)
    found = []
    asked = by_columns([*throughput, *quality], SET_UP)
    by_set_up = contenders(throughput, quality, models)
    for set_up, rows in asked.items():
        measured = by_set_up.get(set_up, {})
        n_tokens = _usual_length(measured.values())
        at = _common_depth(measured.values(), n_tokens) if depth is None else depth
        scored = by_columns((row for row in rows if "phase" not in row), ("corpus", "n_ctx"))
        for (corpus, n_ctx), of_text in (scored or {(None, None): []}).items():
            pairs = dict.fromkeys(map(pair_of, rows))
            reasons = {pair_of(row): problem_with(row) for row in of_text}
            speeds = {
                pair_of(row): problem_with(row)
                for row in rows
                if row.get("phase") == "decode" and row["depth"] == at
            }
            shared = dict(zip(SET_UP, set_up, strict=True)) | {"corpus": corpus, "n_ctx": n_ctx, "depth": at}
            table = [
                shared
                | _values(
                    pair, measured.get(pair), (corpus, n_ctx), ("decode", at, n_tokens), reasons, speeds
                )
                for pair in pairs
            ]
            _mark_front(table)
            found += table
    return found


def _values(
    pair: Pair,
    contender: Contender | None,
    text: tuple[Any, Any],
    speed: tuple[Any, Any, Any],
    reasons: Mapping[Pair, Problem | None],
    speeds: Mapping[Pair, Problem | None],
) -> dict[str, Any]:
    quality = contender.quality.get(text) if contender else None
    decode = contender.speed.get(speed) if contender else None
    missing = []
    if contender is None:
        missing.append("bits_per_value: nothing of this pair was measured")
    kld = None if quality is None else kld_of(quality)
    if kld is None:
        missing.append(
            f"kld_mean: {reasons.get(pair) or ('not stated' if pair in reasons else 'not asked for')}"
        )
    if decode is None:
        place = "at no depth" if speed[1] is None else f"at {format_count(speed[1])}"
        missing.append(f"decode {place}: {speeds.get(pair) or 'not asked for'}")
    return {
        "ctk": pair.ctk,
        "ctv": pair.ctv,
        "bits_per_value": contender and contender.bits,
        "bits_from": contender and contender.bits_from,
        "kld_mean": kld,
        "decode": decode and decode["tokens_per_second"],
        "missing": missing,
    }


def _mark_front(table: list[dict[str, Any]]) -> None:
    """Set ``on_front`` and ``dominated_by``."""
    complete = [row for row in table if not row["missing"]]
    for row in table:
        better = [other for other in complete if row in complete and _dominates(other, row)]
        row["dominated_by"] = [str(pair_of(other)) for other in better]
        row["on_front"] = None if row["missing"] else not better


def _dominates(a: Row, b: Row) -> bool:
    """Whether a is as good as b in all three and better in one."""
    ours = (-a["bits_per_value"], -a["kld_mean"], a["decode"])
    theirs = (-b["bits_per_value"], -b["kld_mean"], b["decode"])
    return ours != theirs and all(x >= y for x, y in zip(ours, theirs, strict=True))


def _usual_length(measured: Iterable[Contender]) -> int | None:
    """The number of tokens that most decode cells timed."""
    lengths = Counter(n for one in measured for phase, _, n in one.speed if phase == "decode")
    return lengths.most_common(1)[0][0] if lengths else None


def _common_depth(measured: Iterable[Contender], n_tokens: int | None) -> int | None:
    """The deepest depth that the most pairs have."""
    depths = Counter(
        depth for one in measured for phase, depth, n in one.speed if phase == "decode" and n == n_tokens
    )
    return max(depths, key=lambda depth: (depths[depth], depth), default=None)
