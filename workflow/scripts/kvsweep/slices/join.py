"""Slices of one set-up that hold different cells of it, such as its divergences and its speeds: seen as one source.

Only then has a pair both in one table of answers. Engine with its commit, back end, machine and model with its hash
have to be the same and known, the pairs that ran the same, and no cell in two of the slices: of two measurements of one
cell none can be told to be the right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from kvsweep.slices.vetting import CELL
from kvsweep.tables.published import OtherRows
from kvsweep.tables.row import SET_UP, Row, pair_of

TABLES = ("throughput", "quality", "tasks", "task_items")
_KEY = tuple(name for name in SET_UP if name != "source")
_SAYS = {
    **{"engine": "engines' names", "engine_commit": "engines' commits", "backend": "back ends"},
    **{"machine": "machines", "model": "models' names", "model_sha256": "models' files"},
}
_Set = dict[str, list[Row]]


def joined(slices: Sequence[OtherRows]) -> list[OtherRows]:
    """The same slices. Rows of a set-up that several slices hold parts of name all of these slices as their
    ``source``."""
    names: dict[tuple[tuple[Any, ...], str], str] = {}
    for key, by_source in _set_ups({table: _all(slices, table) for table in TABLES}).items():
        groups: list[list[str]] = []
        for source in sorted(by_source, key=lambda one: (-sum(map(len, by_source[one].values())), one)):
            fitting = (
                group
                for group in groups
                if not any(prevents(by_source[source], by_source[other]) for other in group)
            )
            group = next(fitting, None)
            if group is None:
                groups.append([source])
            else:
                group.append(source)
        for group in groups:
            together = "slice:" + " + ".join(sorted(source.removeprefix("slice:") for source in group))
            names |= {(key, source): together for source in group}

    def named(row: Any) -> Any:
        return row | {"source": names[_key(row), row["source"]]}

    return [
        replace(one, **{table: tuple(map(named, getattr(one, table))) for table in TABLES}) for one in slices
    ]


def prevents(ours: _Set, theirs: _Set) -> str | None:
    """Why the parts of a set-up in two slices are not taken together; None where they are."""
    first = next(row for rows in ours.values() for row in rows)
    for name, what in (("engine_commit", "the engine's commit"), ("model_sha256", "the model's hash")):
        if first[name] is None:
            return f"{what} is not known"
    for table in TABLES:
        cells = [
            {tuple(row.get(name) for name in CELL[table]) for row in one[table]} for one in (ours, theirs)
        ]
        if common := len(cells[0] & cells[1]):
            return f"both have {common} cells of the table {table}"
    methods = [
        {(row["corpus"], row["n_ctx"]): (row["method"], row.get("reference")) for row in one["quality"]}
        for one in (ours, theirs)
    ]
    for corpus, n_ctx in methods[0].keys() & methods[1].keys():
        if methods[0][corpus, n_ctx] != methods[1][corpus, n_ctx]:
            return f"{corpus} at context {n_ctx} was scored by two methods, or against two references"
    ran = [_effective(one) for one in (ours, theirs)]
    for pair in ran[0].keys() & ran[1].keys():
        if ran[0][pair] != ran[1][pair]:
            return f"of {pair} ran {' and '.join('/'.join(one[pair]) for one in ran)}"
    return None


def together_and_apart(tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Which set-ups are made of several slices, and why others that could complete each other are not: sentences."""
    parts: dict[tuple[Any, ...], _Set] = {}
    for by_source in _set_ups(tables).values():
        for source, of_source in by_source.items():
            first = next(row for rows in of_source.values() for row in rows)
            if " + " in source:
                slices = sorted({row["slice"] for rows in of_source.values() for row in rows})
                yield (
                    f"{first['engine']} with {first['model']} on {first['machine']} is joined of the slices "
                    f"{', '.join(slices)}: the same commit, back end, machine, file and pairs, and no cell twice."
                )
            if source.startswith("slice:"):
                parts[tuple(first[name] for name in SET_UP)] = of_source
    for (one, ours), (other, theirs) in combinations(parts.items(), 2):
        if one[0] != other[0] and (one[1:] == other[1:] or _complete_each_other(ours, theirs)):
            yield f"{_shown(one)} and {_shown(other)} are not joined: {_why(one, other, ours, theirs)}."


def _why(one: tuple[Any, ...], other: tuple[Any, ...], ours: _Set, theirs: _Set) -> str:
    differ = [
        _SAYS[name] for name, a, b in zip(SET_UP, one, other, strict=True) if name != "source" and a != b
    ]
    return (
        f"their {' and '.join(differ)} differ"
        if differ
        else prevents(ours, theirs) or "there is a better match"
    )


def _complete_each_other(ours: _Set, theirs: _Set) -> bool:
    """Whether both are of one model file and one has only divergences, the other only speeds."""
    first, second = (next(row for rows in one.values() for row in rows) for one in (ours, theirs))
    same = first["model_sha256"] is not None and first["model_sha256"] == second["model_sha256"]
    has = [(bool(one["quality"]), bool(one["throughput"])) for one in (ours, theirs)]
    return same and sorted(has) == [(False, True), (True, False)]


def _shown(set_up: tuple[Any, ...]) -> str:
    said = dict(zip(SET_UP, set_up, strict=True))
    return f"{said['engine']} of {said['source'].replace(':', ' ', 1)} ({said['machine']})"


def _effective(parts: _Set) -> dict[str, tuple[str, ...]]:
    """What ran for each pair that was asked for, as far as logs say it."""
    return {
        str(pair_of(row)): (row["effective_ctk"], row["effective_ctv"])
        for rows in (parts["quality"], parts["throughput"])
        for row in rows
        if row.get("effective_ctk") and row.get("effective_ctv")
    }


def _set_ups(tables: Mapping[str, Sequence[Row]]) -> dict[tuple[Any, ...], dict[str, _Set]]:
    """Rows by set-up without its source, then by source, then by table."""
    found: dict[tuple[Any, ...], dict[str, _Set]] = {}
    for table in TABLES:
        for row in tables.get(table, ()):
            of_source = found.setdefault(_key(row), {}).setdefault(
                row["source"], {name: [] for name in TABLES}
            )
            of_source[table].append(row)
    return found


def _all(slices: Sequence[OtherRows], table: str) -> list[Row]:
    return [row for one in slices for row in getattr(one, table)]


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in _KEY)
