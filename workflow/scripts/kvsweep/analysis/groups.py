"""How values are written for readers, and which rows may be compared: shared by the figures and the report.

A row is a dict from column to value, None where the table has null: what `pyarrow.Table.to_pylist` gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from kvsweep.statistics import Interval

Row = Mapping[str, Any]

ABSENT = "–"  # what a reader sees where a table has null


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows, with None for every kind of missing value that pandas knows."""
    return [
        {
            str(name): None if pd.api.types.is_scalar(value) and pd.isna(value) else value
            for name, value in row.items()
        }
        for row in frame.to_dict(orient="records")
    ]


# --- numbers ------------------------------------------------------------------------------------------------


def _decimals_for(error: float) -> int:
    """Decimals that show an error with two significant digits; negative ones round to tens, hundreds, ..."""
    decimals = 1 - math.floor(math.log10(error))
    # 0.0996 is 0.10, not 0.100: rounding up may win a digit.
    return decimals - 1 if round(error, decimals) >= 10.0 ** (2 - decimals) else decimals


def _fixed(value: float, decimals: int) -> str:
    text = f"{round(value, decimals):,.{max(decimals, 0)}f}"
    # -0.00 says no more than 0.00; a real minus sign is as wide as the plus.
    return text.replace("-", "−") if float(text.replace(",", "")) != 0 else text.lstrip("-")


def format_number(value: float | None, significant: int = 6) -> str:
    """A number whose error is unknown: at most `significant` digits, none invented; an en dash for none."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        mantissa, exponent = f"{value:.{significant - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
    decimals = significant - 1 - math.floor(math.log10(abs(value)))
    text = _fixed(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_with_error(value: float | None, error: float | None) -> str:
    """`82.91 ± 0.41`: the value rounded to its error, the error to two significant digits.

    An unknown error is an en dash (`82.9 ± –`), an unknown value nothing but an en dash. Where there would be
    many zeros, the power of ten is set apart: `(1.20 ± 0.12)e−7`.
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    if error is None or not math.isfinite(error):
        return f"{format_number(value)} ± {ABSENT}"
    if error <= 0:
        return f"{format_number(value)} ± 0"
    largest = max(abs(value), error)
    if largest < 1e-4:
        exponent = math.floor(math.log10(largest))
        scaled = format_with_error(value / 10.0**exponent, error / 10.0**exponent)
        return f"({scaled})e{exponent}".replace("-", "−")
    decimals = _decimals_for(error)
    return f"{_fixed(value, decimals)} ± {_fixed(error, decimals)}"


def format_error(error: float | None) -> str:
    """An error alone, with two significant digits: `0.000034`, `4.2e−6`; an en dash for none."""
    if error is None or not math.isfinite(error):
        return ABSENT
    if 0 < error < 1e-5:
        return f"{error:.1e}".replace("e-0", "e-").replace("-", "−")
    return _fixed(error, _decimals_for(error)) if error > 0 else "0"


_LARGEST_PERCENTAGE = 999.0  # an end of an interval beyond it says no more than that


def format_difference(fraction: float, interval: Interval | None) -> str:
    """A relative difference in percent with its interval: `−12.3 % [−14.1, −10.4]`; `−12.3 % [–]` if unknown."""
    if interval is None:
        return f"{_signed(format_number(100 * fraction, 3))} % [{ABSENT}]"
    difference, low, high = (100 * value for value in interval)
    nearer = min(difference - low, high - difference)
    decimals = min(max(_decimals_for(nearer), 0), 2) if nearer > 0 else 2

    def end(value: float) -> str:
        limit = _LARGEST_PERCENTAGE
        return f"> +{limit:g}" if value > limit else _signed(_fixed(value, decimals))

    return f"{_signed(_fixed(difference, decimals))} % [{end(low)}, {end(high)}]"


def _signed(number: str) -> str:
    """With a plus sign, unless it has a minus or is zero."""
    return number if number.startswith("−") or not number.strip("0.,") else f"+{number}"


def in_percent(fraction: float | None) -> float | None:
    """A fraction as percent; None stays None."""
    return None if fraction is None else 100 * fraction


def larger(*errors: float | None) -> float | None:
    """The largest of the errors that are known; None where none is."""
    return max((error for error in errors if error is not None), default=None)


# --- which rows may stand side by side ----------------------------------------------------------------------

# Two rows that differ in one of these measured different things: they never share a curve or a table.
_SUBJECT = ("engine", "model", "machine", "source", "backend", "engine_commit", "model_sha256")
THROUGHPUT_SUBJECT = (*_SUBJECT, "n_tokens")
QUALITY_SUBJECT = (
    "engine",
    "model",
    "corpus",
    "n_ctx",
    "machine",
    "source",
    "backend",
    "engine_commit",
    "model_sha256",
)
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


def is_published(row: Row) -> bool:
    return str(row["source"]).startswith("published:")


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
    by_key: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        by_key.setdefault(tuple(row[column] for column in subject), []).append(row)

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
        tuple(Group(describe(key, naming), tuple(group)) for key, group in by_key.items()),
    )


# What must be equal for published rows to stand in the same panel as ours: the rest is what is compared.
_SAME_THING = ("model", "corpus", "n_ctx", "n_tokens", "phase")


def compare_beside_published(rows: Iterable[Row], subject: Sequence[str]) -> Comparison:
    """As `compare`, but published rows join the groups of the same model, where there are any; groups of their own
    come last.
    """
    rows = list(rows)
    columns = [column for column in _SAME_THING if column in subject]

    def thing(row: Row) -> tuple[Any, ...]:
        return tuple(row[column] for column in columns)

    of_others: dict[tuple[Any, ...], list[Row]] = {}
    for row in filter(is_published, rows):
        of_others.setdefault(thing(row), []).append(row)
    ours = [row for row in rows if not is_published(row)]
    measured_too = {thing(row) for row in ours}
    alone = [row for key, own in of_others.items() if key not in measured_too for row in own]
    shared, groups = compare([*ours, *alone], subject)
    return Comparison(
        shared,
        tuple(
            group
            if is_published(group.rows[0])
            else group._replace(published=tuple(of_others.get(thing(group.rows[0]), ())))
            for group in groups
        ),
    )
