"""Which rows may stand side by side: shared by the figures and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

from kvsweep.analysis.comparable import set_ups_differ
from kvsweep.analysis.reference import reference_engine
from kvsweep.analysis.set_ups import by_columns
from kvsweep.tables.row import SCORED, SET_UP, Row, is_published

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


def tokens_timed(n_tokens: int) -> str:
    """`128 tokens timed`"""
    return f"{n_tokens} token{'' if n_tokens == 1 else 's'} timed"


_WORDS: dict[str, Callable[[Any], str]] = {
    **{"n_ctx": "context {}".format, "n_tokens": tokens_timed},
    **{"engine_commit": "commit {:.9}".format, "model_sha256": "model {:.9}".format},
}


def _in_words(column: str, value: Any) -> str | None:
    if value is None:
        return None if column != "engine" else "engine not stated"
    return None if (column, value) == ("source", "measured") else _WORDS.get(column, str)(value)


def compare(rows: Iterable[Row], subject: Sequence[str]) -> Comparison:
    """Split rows by the columns of `subject`, in order of appearance; name each group by what varies."""
    groups = list(by_columns(rows, subject).values())

    def told_apart(columns: Sequence[str]) -> int:
        return len({tuple(own[0][column] for column in columns) for own in groups})

    varying = [column for column in subject if told_apart([column]) > 1]
    naming = [column for column in varying if column not in _ONLY_IF_NEEDED]
    for column in varying:
        if column in _ONLY_IF_NEEDED and told_apart(naming) < len(groups):
            naming.append(column)
    shared = [column for column in subject if column not in varying and column != "model_sha256"]
    return Comparison(
        _described(groups[0][0], shared) if groups else "",
        tuple(Group(_described(own[0], naming) + _against(own[0]), tuple(own)) for own in groups),
    )


def _described(row: Row, columns: Sequence[str]) -> str:
    # Of what others published, the source says it: the engine is a whole sentence there, if anything.
    columns = [column for column in columns if not (column == "engine" and is_published(row))]
    parts = (_in_words(column, row[column]) for column in columns)
    return " · ".join(part for part in parts if part)


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

    beside = [{key: own for key, own in of_others.items() if joins(own[0], group.rows[0])} for group in ours]
    alone = {key: own for key, own in of_others.items() if not any(key in found for found in beside)}
    in_order = chain(*(group.rows for group in ours), *alone.values())
    shared, groups = compare(in_order, subject)
    published = [tuple(chain(*found.values())) for found in beside]
    return Comparison(
        shared,
        tuple(
            group._replace(published=own)
            for group, own in zip(groups, chain(published, repeat(())), strict=False)
        ),
    )
