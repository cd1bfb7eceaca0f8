"""The answer: for each workload the pair to take, why, what comes next, and what would change that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvsweep.analysis.groups import SUBJECT
from kvsweep.numbers import ABSENT, format_number
from kvsweep.report.parts import Entry, Grid, by_set_up, plural
from kvsweep.study.pairs import pair_label
from kvsweep.tables.row import Row
from kvsweep.units import format_bytes, format_count

PICK, RUNNER_UP = "pick", "runner-up"

RANKING_COLUMNS = (
    "pair",
    "verdict",
    "request, s",
    "of it prefill, s",
    "of it decode, s",
    "mean KLD, nats",
    "bits per value",
    "memory needed",
    "deepest measured",
    "why",
)


@dataclass(frozen=True)
class Answer:
    """One workload on one set-up. Without a pick, `why` says why there is none."""

    work: str
    request: str  # what the workload is, in numbers
    pick: str
    figures: str  # what the pick gives
    why: str
    runner_up: str
    runner_up_why: str
    would_change: str
    ranking: Grid


@dataclass(frozen=True)
class Answers:
    """What one set-up answers."""

    title: str
    workloads: tuple[Answer, ...]

    @property
    def picks(self) -> int:
        return sum(bool(answer.pick) for answer in self.workloads)


def answers(advice: Sequence[Row]) -> list[Answers]:
    """Set-ups in their usual order; those that have a pick come before those that have none."""
    found = [Answers(title, tuple(_workloads(rows))) for title, rows in by_set_up(advice, SUBJECT)]
    return sorted(found, key=lambda one: not one.picks)


def _workloads(rows: Sequence[Row]) -> Iterable[Answer]:
    by_workload: dict[str, list[Row]] = {}
    for row in rows:
        by_workload.setdefault(row["workload"], []).append(row)
    for own in by_workload.values():
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
    second = next((row for row in ranked if row["verdict"] == RUNNER_UP), None)
    work = (rows[0]["title"] or rows[0]["workload"]) + (f" (KLD from {text})" if text else "")
    why = pick["why"] if pick else _why_none(ranked)
    lines = tuple(_line(row) for row in ranked if row["ctk"] is not None)
    return Answer(
        work=work,
        request=_request(rows[0]),
        pick=_name(pick) if pick else "",
        figures=_figures(pick) if pick else "",
        why=why or "",
        runner_up=_name(second) if second else "",
        runner_up_why=(second["why"] or "") if second else "",
        would_change=(pick["would_change"] or "") if pick else "",
        ranking=Grid(f"All pairs for {work}", RANKING_COLUMNS, lines),
    )


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
    if row["memory_bytes"] is not None:
        parts.append(f"{format_bytes(row['memory_bytes'])} of memory")
    return ", ".join(parts)


def _figures(row: Row) -> str:
    parts = []
    if row["goal"] != "context" and row["request_seconds"] is not None:
        parts.append(f"{_seconds(row)} s a request")
    if row["kld_mean"] is not None:
        parts.append(f"mean KLD {format_number(row['kld_mean'], 3)} nats")
    if row["bits_per_value"] is not None:
        parts.append(f"{format_number(row['bits_per_value'], 4)} bits per value")
    return ", ".join(parts)


def _seconds(row: Row) -> str:
    low, high = row["request_seconds_low"], row["request_seconds_high"]
    interval = "" if low is None or high is None else f" [{format_number(low, 3)}, {format_number(high, 3)}]"
    return format_number(row["request_seconds"], 3) + interval


def _line(row: Row) -> tuple[Entry, ...]:
    def number(column: str, digits: int = 3) -> Entry:
        return Entry(format_number(row[column], digits), value=row[column])

    def text(value: str | None) -> str:
        return value or ABSENT

    return (
        Entry(_name(row)),
        Entry(row["verdict"], measured=row["rank"] is not None),
        Entry(ABSENT if row["request_seconds"] is None else _seconds(row), value=row["request_seconds"]),
        number("prefill_seconds"),
        number("decode_seconds"),
        number("kld_mean"),
        number("bits_per_value", 4),
        Entry(
            ABSENT if row["needed_bytes"] is None else format_bytes(row["needed_bytes"]),
            value=row["needed_bytes"],
        ),
        Entry(
            ABSENT if row["largest_depth"] is None else format_count(row["largest_depth"]),
            value=row["largest_depth"],
        ),
        Entry(text(row["why"])),
    )
