"""Which rows may stand side by side: shared by the figures and the report.

A row is a dict from column to value, None where the table has null: what `pyarrow.Table.to_pylist` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kvsweep.analysis.comparable import set_ups_differ
from kvsweep.analysis.reference import reference_engine
from kvsweep.analysis.set_ups import by_columns
from kvsweep.tables.row import SCORED, SET_UP, Row, is_published

# --- which rows may stand side by side ----------------------------------------------------------------------

# Two rows that differ in one of these measured different things: they never share a curve or a table.
# What a reader asks for first comes first in a title.
_FIRST = ("engine", "model", "machine")
SUBJECT = (*_FIRST, *(name for name in SET_UP if name not in _FIRST))
THROUGHPUT_SUBJECT = (*SUBJECT, "n_tokens")
QUALITY_SUBJECT = (*SUBJECT[:2], *SCORED, *SUBJECT[2:])
# Named only where the other columns do not tell the groups apart.
_ONLY_IF_NEEDED = ("backend", "engine_commit", "model_sha256")


class Group(NamedTuple):
    """Rows that may be compared; `title` says what sets them apart from the other groups.

    `published` are others' rows of the same model, to be drawn beside them.
    """

    title: str
    rows: tuple[Row, ...]
    published: tuple[Row, ...] = ()


class Comparison(NamedTuple):
    """All groups of a table; `shared` says what they have in common."""

    shared: str
    groups: tuple[Group, ...]

    def full_title(self, group: Group) -> str:
        """Everything that the group is about, what sets it apart first."""
        return " · ".join(part for part in (group.title, self.shared) if part)


def _described(column: str, value: Any) -> str | None:
    if value is None:
        return None if column != "engine" else "engine not stated"
    match column:
        case "source":
            return None if value == "measured" else str(value)
        case "n_ctx":
            return f"context {int(value)}"
        case "n_tokens":
            return f"{int(value)} tokens timed"
        case "engine_commit":
            return f"commit {str(value)[:9]}"
        case "model_sha256":
            return f"model {str(value)[:9]}"
    return str(value)


def compare(rows: Iterable[Row], subject: Sequence[str]) -> Comparison:
    """Split rows by the columns of `subject`, in order of appearance; name each group by what varies."""
    by_key = by_columns(rows, subject)

    def values(column: str) -> list[Any]:
        place = subject.index(column)
        return [key[place] for key in by_key]

    varying = [column for column in subject if len(set(values(column))) > 1]
    naming = [column for column in varying if column not in _ONLY_IF_NEEDED]
    for column in varying:
        told_apart = len(set(zip(*(values(name) for name in naming), strict=True)))
        if column in _ONLY_IF_NEEDED and told_apart < len(by_key):
            naming.append(column)

    def describe(key: Sequence[Any], columns: Sequence[str]) -> str:
        # Of what others published, the source says it: the engine is a whole sentence there, if anything.
        published = str(key[subject.index("source")]).startswith("published:")
        parts = (
            _described(column, key[subject.index(column)])
            for column in columns
            if not (published and column == "engine")
        )
        return " · ".join(part for part in parts if part)

    shared = [column for column in subject if column not in varying and column != "model_sha256"]
    return Comparison(
        describe(next(iter(by_key)), shared) if by_key else "",
        tuple(
            Group(f"{describe(key, naming)}{_against(group[0])}", tuple(group))
            for key, group in by_key.items()
        ),
    )


def _against(row: Row) -> str:
    """Whose f16 the numbers are from, where it is not the engine's own."""
    other = reference_engine(row) if "engine" in row else None
    return "" if other is None else f" · from the f16 of {other}"


# What must be equal for published rows to stand in the same panel as ours: the rest is what is compared.
_SAME_THING = ("model", "corpus", "n_ctx", "n_tokens", "phase")


def compare_beside_published(rows: Iterable[Row], subject: Sequence[str]) -> Comparison:
    """As `compare`, but published rows join the groups that they may be compared with (`comparable.set_ups_differ`),
    where there are any; groups of their own come last.
    """
    rows = list(rows)
    columns = [column for column in _SAME_THING if column in subject]
    decides = (*columns, "source", "model_sha256", "corpus_sha256", "engine_family")
    of_others: dict[tuple[Any, ...], list[Row]] = {}
    for row in filter(is_published, rows):
        of_others.setdefault(tuple(row.get(column) for column in decides), []).append(row)
    ours = compare((row for row in rows if not is_published(row)), subject).groups

    def joins(theirs: Row, our: Row) -> bool:
        return all(theirs[column] == our[column] for column in columns) and not set_ups_differ(our, theirs)

    beside = {
        place: [own for own in of_others.values() if joins(own[0], group.rows[0])]
        for place, group in enumerate(ours)
    }
    joined = {id(own) for found in beside.values() for own in found}
    alone = [row for own in of_others.values() if id(own) not in joined for row in own]
    shared, groups = compare([*(row for group in ours for row in group.rows), *alone], subject)
    return Comparison(
        shared,
        tuple(
            group._replace(published=tuple(row for own in beside.get(place, ()) for row in own))
            for place, group in enumerate(groups)
        ),
    )
