"""What pairs are compared with: the reference of speeds, the control of qualities, the errors that tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvsweep.analysis.row_values import quality_of
from kvsweep.study.pairs import BASELINE_PAIR, Pair, pair_order
from kvsweep.tables.row import Row, pair_of, ran_as

REFERENCES = (BASELINE_PAIR, Pair("q8_0", "q8_0"))


def reference_of(rows: Iterable[Row]) -> Pair | None:
    """The pair to compare speeds with: f16, or q8_0 where that ran at more depths."""
    depths: dict[Pair, set[int]] = {}
    for row in rows:
        pair = pair_of(row)
        if pair in REFERENCES and not ran_as(row):
            depths.setdefault(pair, set()).add(row["depth"])
    in_order = sorted(depths, key=lambda pair: pair_order(pair.ctk, pair.ctv))
    return max(in_order, key=lambda pair: len(depths[pair]), default=None)


def is_reference(row: Row, reference: Pair) -> bool:
    return pair_of(row) == reference and not ran_as(row)


def kld_error(row: Row) -> float | None:
    """Half of the 95 % interval of the mean KL divergence, in nats; None where no error is known."""
    value = quality_of(row, "kld_mean")
    return None if value is None else value.half


def top1_error(row: Row) -> float | None:
    """Half of the 95 % interval of the top-1 agreement, as a fraction; None where no error is known."""
    value = quality_of(row, "top1_agreement")
    return None if value is None else value.half


def is_control(row: Row) -> bool:
    """Whether the row is f16 against its own stored baseline: what the method shows where nothing changed.

    Against the f16 of another engine it is a result like any other: what the build itself changes.
    """
    return pair_of(row) == BASELINE_PAIR and reference_engine(row) is None


def reference_engine(row: Row) -> str | None:
    """The engine whose f16 the row is compared with, where that is another one than its own."""
    reference: str | None = row.get("reference")
    return None if reference == row["engine"] else reference


def control_of(rows: Sequence[Row]) -> Row | None:
    """The control that was measured and ran as asked for."""
    return next(
        (row for row in rows if is_control(row) and row["kld_mean"] is not None and not ran_as(row)),
        None,
    )


def mean_bits(row: Row) -> float | None:
    """(K + V)/2 in bits per cached value; None where one of them is unknown."""
    k, v = row["bits_per_value_k"], row["bits_per_value_v"]
    return None if k is None or v is None else (k + v) / 2


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both coordinates (less is better), by ascending first coordinate."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front
