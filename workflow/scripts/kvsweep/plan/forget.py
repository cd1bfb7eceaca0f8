"""Which measured cells to forget, so that the next run measures them again.

``STATUS=timeout PAIR=q8_0/q4_0`` names the cells to which both apply. Pure: nothing is removed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kvsweep.errors import KvsweepError
from kvsweep.study.cells import QualityCell, TaskCell, ThroughputCell
from kvsweep.study.complaints import nearest
from kvsweep.study.pairs import Pair
from kvsweep.tables.raw_cells import OUTCOMES, RawCell
from kvsweep.units import format_count, parse_count

KINDS = tuple(cell.kind for cell in (ThroughputCell, QualityCell, TaskCell))

# What each name says of a cell, as text; nothing where it does not apply to the cell.
_VALUES: dict[str, Callable[[RawCell], set[str]]] = {
    "STATUS": lambda raw: {outcome.status for outcome in raw.outcomes},
    "PAIR": lambda raw: {str(raw.cell.pair)},
    "DEPTH": lambda raw: {format_count(raw.cell.depth)} if isinstance(raw.cell, ThroughputCell) else set(),
    "ROUND": lambda raw: {str(raw.cell.round)} if isinstance(raw.cell, ThroughputCell) else set(),
    "CONTEXT": lambda raw: {format_count(raw.cell.n_ctx)} if isinstance(raw.cell, QualityCell) else set(),
    "ENGINE": lambda raw: {raw.cell.engine},
    "MODEL": lambda raw: {raw.cell.model},
    "TASK": lambda raw: {raw.cell.task} if isinstance(raw.cell, TaskCell) else set(),
    "KIND": lambda raw: {raw.cell.kind},
}
NAMES = tuple(_VALUES)


@dataclass(frozen=True)
class Selection:
    """The value asked for under each name, in the form in which cells give theirs."""

    wanted: Mapping[str, str]

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.wanted.items())


def parse_selection(asked: Mapping[str, str]) -> Selection:
    """The selection that ``NAME=value`` pairs ask for. Raises KvsweepError with one sentence on anything unclear.

    A name that is not known must stop: ignored, it would forget more than was asked for.
    """
    for name in asked:
        if name not in NAMES:
            raise KvsweepError(f"{name}: not known here; {nearest(name, NAMES)}.")
    wanted = {name: _normal(name, value) for name, value in asked.items() if value}
    if not wanted:
        raise KvsweepError(f"say which cells to forget, with at least one of {', '.join(NAMES)}.")
    if "CONTEXT" in wanted and (others := [name for name in ("DEPTH", "ROUND") if name in wanted]):
        raise KvsweepError(f"{others[0]} names throughput cells and CONTEXT quality cells; give one of them.")
    return Selection(wanted)


def select(cells: Iterable[RawCell], selection: Selection) -> list[RawCell]:
    """The cells to which everything in the selection applies."""
    return [
        raw for raw in cells if all(value in _VALUES[name](raw) for name, value in selection.wanted.items())
    ]


def why_nothing(cells: Sequence[RawCell], selection: Selection) -> str:
    """One sentence on why the selection names no cell, with the nearest value that does."""
    if not cells:
        return "there are no measured cells."
    for name, value in selection.wanted.items():
        there = list(dict.fromkeys(v for raw in cells for v in sorted(_VALUES[name](raw))))
        if value not in there:
            hint = _nearest_value(name, value, there) if there else f"none has a {name}"
            return f"none of the {len(cells)} measured cells has {name}={value}; {hint}."
    return f"none of the {len(cells)} measured cells has all of {selection}; each of them alone names some."


def _normal(name: str, value: str) -> str:
    try:
        if name == "PAIR":
            return str(Pair.parse(value))
        if name in ("DEPTH", "CONTEXT"):
            return format_count(parse_count(value))
        if name == "ROUND":
            return str(_round(value))
    except ValueError as error:
        raise KvsweepError(f"{name}: {error}.") from None
    valid = {"STATUS": OUTCOMES, "KIND": KINDS}.get(name)
    if valid is not None and value not in valid:
        raise KvsweepError(f"{name}: {value!r} is not known; {nearest(value, valid)}.")
    return value


def _round(value: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", value):
        raise ValueError(f"{value!r} is no round; write a number from 1 up")
    return int(value)


def _nearest_value(name: str, value: str, there: Sequence[str]) -> str:
    if name not in ("DEPTH", "CONTEXT"):
        return nearest(value, there)
    tokens = parse_count(value)
    return f"the nearest is {min(there, key=lambda text: abs(parse_count(text) - tokens))}"
