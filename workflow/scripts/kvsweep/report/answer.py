"""The answer: what to do on each set-up, and for each workload the pair to take, why, and what would change that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kvsweep.analysis.advice import PICK, UNDECIDED
from kvsweep.analysis.groups import SUBJECT
from kvsweep.analysis.recall_at_depth import format_share
from kvsweep.analysis.set_ups import by_columns
from kvsweep.numbers import ABSENT, format_between, format_number
from kvsweep.report.first import kld_with_error, sentences_of
from kvsweep.report.parts import Columns, Entry, Grid, by_set_up, number, pair_of_row, table_of, written
from kvsweep.study.pairs import pair_label
from kvsweep.tables.row import Row, with_ends
from kvsweep.units import format_bytes, format_count, plural

MOST_NAMES = 4  # of pairs that are not told apart


@dataclass(frozen=True)
class Answer:
    """One workload on one set-up. Without a pick, `why` says why there is none.

    `undecided`: the pairs that are not told apart, the best in the measured rounds first; then there is no pick.
    """

    work: str
    request: str  # what the workload is, in numbers
    pick: str
    figures: str  # what the pick gives
    why: str
    undecided: str
    decides: str
    would_change: str
    ranking: Grid


@dataclass(frozen=True)
class Answers:
    """What one set-up answers."""

    title: str
    workloads: tuple[Answer, ...]
    sentences: tuple[str, ...]  # what a person with this machine should do

    @property
    def picks(self) -> int:
        return sum(bool(answer.pick) for answer in self.workloads)

    @property
    def says_something(self) -> bool:
        return bool(self.sentences) or any(answer.pick or answer.undecided for answer in self.workloads)


def answers(advice: Sequence[Row], speed: Sequence[Row], pareto: Sequence[Row]) -> list[Answers]:
    """Set-ups in their usual order, what was measured here first; those that say something before the others."""
    by_table = [by_columns(rows, SUBJECT) for rows in (advice, speed, pareto)]
    found = []
    for title, rows in by_set_up([*advice, *speed, *pareto], SUBJECT):
        key = tuple(rows[0][name] for name in SUBJECT)
        work, speeds, front = (table.get(key, []) for table in by_table)
        workloads = tuple(_workloads(work))
        sentences = (*sentences_of(speeds, front), *_undecided(workloads))
        if workloads or sentences:
            found.append(Answers(title, workloads, sentences))
    return sorted(found, key=lambda one: not one.says_something)


def _undecided(workloads: Sequence[Answer]) -> list[str]:
    """What the data leave open, and what would decide it."""
    by_what: dict[str, list[str]] = {}
    for answer in workloads:
        if answer.undecided:
            by_what.setdefault(answer.decides, []).append(f"{answer.work} ({answer.undecided})")
    return [
        f"Undecided: {'; '.join(which)}. What would decide it: {what}." for what, which in by_what.items()
    ]


def _workloads(rows: Sequence[Row]) -> Iterable[Answer]:
    for own in by_columns(rows, ("workload",)).values():
        # Each text that was scored gives a ranking of its own.
        texts = {row["corpus"] for row in own if row["corpus"] is not None}
        if len(texts) < 2:
            yield _answer(own, "")
        else:
            for text in sorted(texts):
                yield _answer([row for row in own if row["corpus"] in (text, None)], text)


def _answer(rows: Sequence[Row], text: str) -> Answer:
    ranked = sorted(rows, key=lambda row: (row["rank"] is None, row["rank"] or 0))
    pick = next((row for row in ranked if row["verdict"] == PICK), None)
    best = [row for row in ranked if row["verdict"] == UNDECIDED]
    first = pick or next(iter(best), None)
    work = (rows[0]["title"] or rows[0]["workload"]) + (f" (KLD from {text})" if text else "")
    columns = dict(_RANKING)
    if all(row["recall"] is None for row in ranked):
        del columns[_RECALL]
    return Answer(
        work=work,
        request=_request(rows[0]),
        pick=_name(pick) if pick else "",
        figures=_figures(first) if first else "",
        why=(first["why"] if first else _why_none(ranked)) or "",
        undecided=_names(best),
        decides=(best[0]["decides"] or "") if best else "",
        would_change=(pick["would_change"] or "") if pick else "",
        ranking=table_of(f"All pairs for {work}", columns, (row for row in ranked if row["ctk"] is not None)),
    )


def _names(best: Sequence[Row]) -> str:
    """`f16 or q8_0`. Of many pairs only the first are named."""
    names = [_name(row) for row in best]
    if len(names) > MOST_NAMES + 1:
        names = [*names[:MOST_NAMES], f"one of {len(names) - MOST_NAMES} others"]
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


MOST_REASONS = 2


def _why_none(rows: Sequence[Row]) -> str:
    """The first reasons with their pairs; the others stand in the ranking."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["why"]:
            reasons.setdefault(row["why"], []).append(_name(row) if row["ctk"] is not None else "")
    said = [
        f"{', '.join(filter(None, pairs))}: {why}" if any(pairs) else why
        for why, pairs in list(reasons.items())[:MOST_REASONS]
    ]
    left_out = len(reasons) - len(said)
    return "; ".join(said) + (f"; and {plural(left_out, 'more reason')}" if left_out else "")


def _name(row: Row) -> str:
    return pair_label(row["ctk"], row["ctv"])


def _request(row: Row) -> str:
    """What a request of this workload is: tokens, depth, and what is acceptable."""
    parts = []
    if row["depth"]:
        parts.append(f"{format_count(row['depth'])} tokens in the cache")
    if row["prompt_tokens"] is not None:
        parts.append(f"{format_count(row['prompt_tokens'])} tokens of prompt")
    if row["generated_tokens"] is not None:
        parts.append(f"{format_count(row['generated_tokens'])} tokens generated")
    if row["highest_kld"] is not None:
        parts.append(f"mean KLD up to {format_number(row['highest_kld'])} nats")
    if row["least_recall"] is not None:
        parts.append(f"recall of {format_share(row['least_recall'])} or more")
    if row["memory_bytes"] is not None:
        parts.append(f"{format_bytes(row['memory_bytes'])} of memory")
    return ", ".join(parts)


def _figures(row: Row) -> str:
    parts = []
    if row["goal"] != "context" and row["request_seconds"] is not None:
        parts.append(f"{_with_ends(row, 'request_seconds')} s a request")
    if row["kld_mean"] is not None:
        where = f" with {format_count(row['kld_depth'])} in the cache" if row["kld_depth"] is not None else ""
        parts.append(f"mean KLD {kld_with_error(row)}{where}")
    if row["recall"] is not None:
        parts.append(f"recall {_recall(row, ' %')}")
    if row["bits_per_value"] is not None:
        parts.append(f"{format_number(row['bits_per_value'], 4)} bits per value")
    return ", ".join(parts)


def _recall(row: Row, unit: str = "") -> str:
    return format_between(*with_ends(row, "recall", 100), unit=unit)


def _with_ends(row: Row, column: str) -> str:
    return format_between(*with_ends(row, column))


def _between(column: str) -> Callable[[Row], Entry]:
    return lambda row: written(row[column], lambda _: _with_ends(row, column))


_RECALL = "recall, %"
_RANKING: Columns = {
    "pair": pair_of_row,
    "verdict": lambda row: Entry(row["verdict"], measured=row["rank"] is not None),
    "request, s": _between("request_seconds"),
    "of it prefill, s": _between("prefill_seconds"),
    "of it decode, s": _between("decode_seconds"),
    "mean KLD, nats": _between("kld_mean"),
    "bits per value": lambda row: number(row["bits_per_value"], 4),
    "memory needed": lambda row: written(row["needed_bytes"], format_bytes),
    "deepest measured": lambda row: written(row["largest_depth"], format_count),
    _RECALL: lambda row: written(row["recall"], lambda _: _recall(row)),
    "why": lambda row: Entry(row["why"] or ABSENT),
}
