"""The workloads that ship with kvsweep, where a study was not measured as deep as they go."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from kvsweep.study.config import Workload
from kvsweep.tables.row import Row, is_measured
from kvsweep.units import format_count


def as_deep_as_measured(workloads: Mapping[str, Workload], throughput: Iterable[Row]) -> dict[str, Workload]:
    """The same workloads with no token on a fuller cache than the deepest that was measured here, if any was. The title
    then says so."""
    measured = (row for row in throughput if row["source"] == "measured" and is_measured(row))
    depth: int | None = max((row["depth"] for row in measured), default=None)
    found = dict(workloads)
    for name, asked in workloads.items():
        if depth is not None and asked.depth > depth:
            instead = (
                f"(at {format_count(depth)}, the deepest measured, instead of {format_count(asked.depth)})"
            )
            found[name] = dataclasses.replace(asked, depth=depth, title=f"{asked.title} {instead}")
    return found
