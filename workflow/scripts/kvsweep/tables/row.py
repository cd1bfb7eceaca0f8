"""What a row of a table is about: its set-up, the pair that was asked for, and whether it counts as that pair.

Light on purpose: who asks for this must not load a parser or pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from kvsweep.study.pairs import Pair, effective_pair

Row = Mapping[str, Any]
_Row = TypeVar("_Row", bound=Row)

# What must be equal for two numbers to be compared. Numbers about quality also need equal text and context.
SET_UP = ("source", "engine", "engine_commit", "backend", "machine", "model", "model_sha256")
SCORED = ("corpus", "n_ctx")


class Why(Enum):
    """Why a row does not count as its pair."""

    ANOTHER_PAIR = "another pair ran"
    LEFT_DEVICE = "work left the device"
    NOT_MEASURED = "not measured"


class Problem(NamedTuple):
    """Why a row does not count, and the same for a person: ``ran as q8_0/turbo3``, or the status."""

    why: Why
    text: str

    def __str__(self) -> str:
        return self.text


def pair_of(row: Row) -> Pair:
    """The pair that was asked for."""
    return Pair(row["ctk"], row["ctv"])


def ran_as(row: Row) -> Pair | None:
    """The pair that ran instead of the one that was asked for; None where it is the same, or unknown."""
    ran = effective_pair(row["ctk"], row["ctv"], row["effective_ctk"], row["effective_ctv"])
    return None if ran is None else Pair(*ran)


def problem_with(
    row: Row, *, among: tuple[str, ...] = ("measured",), fallback: bool = False
) -> Problem | None:
    """Why a row does not count as its pair; None if it counts. Published rows count, though what ran is not known of
    them.

    ``among``: statuses that count; ``fallback``: whether work may have left the device.
    """
    ran = ran_as(row)
    if ran is not None:
        return Problem(Why.ANOTHER_PAIR, f"ran as {ran}")
    if row["fallback"] and not fallback:
        return Problem(Why.LEFT_DEVICE, Why.LEFT_DEVICE.value)
    return None if row["status"] in among else Problem(Why.NOT_MEASURED, str(row["status"]))


def one_method(rows: Iterable[_Row]) -> list[_Row]:
    """Rows of quality in which no pair stands twice: where a context was measured by llama-perplexity and by the
    scorer, those of llama-perplexity, so that all pairs of a context are compared by one method. Likewise those against
    the engine's own f16 where there are others, against another engine's."""
    rows = list(rows)
    same = (*SET_UP, *SCORED)
    own = {tuple(row[name] for name in same) for row in rows if row.get("reference") in (None, row["engine"])}
    rows = [
        row
        for row in rows
        if row.get("reference") in (None, row["engine"]) or tuple(row[name] for name in same) not in own
    ]
    by_tool = {tuple(row[name] for name in same) for row in rows if row.get("method") != "scorer"}
    return [
        row
        for row in rows
        if row.get("method") != "scorer" or tuple(row[name] for name in same) not in by_tool
    ]


def by_method(rows: Iterable[_Row]) -> list[list[_Row]]:
    """Rows of quality, separated by the tool that measured them and by the engine whose f16 they are compared with."""
    found: dict[tuple[bool, object], list[_Row]] = {}
    for row in rows:
        reference = row.get("reference")
        is_own = reference in (None, row["engine"])
        found.setdefault((row.get("method") == "scorer", None if is_own else reference), []).append(row)
    return list(found.values())


def with_ends(row: Row, column: str, factor: float = 1.0) -> tuple[Any, float | None, float | None]:
    """A value of a row and the ends of its interval, in units of which the table's has ``factor``; None where not
    known."""
    value, low, high = (
        None if (number := row[f"{column}{end}"]) is None else factor * number
        for end in ("", "_low", "_high")
    )
    return value, low, high


def is_measured(row: Row) -> bool:
    return bool(row["status"] == "measured")


def is_published(row: Row) -> bool:
    return str(row["source"]).startswith("published:")


def source_order(row: Row) -> int:
    """Sort key: what was measured here comes first, what others published last."""
    return 0 if row["source"] == "measured" else 2 if is_published(row) else 1
