"""The workloads that ship with kvsweep, where a study was not measured as deep as they go."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from kvsweep.study.config import Workload
from kvsweep.tables.row import Row
from kvsweep.units import format_count


def deepest_measured(throughput: Iterable[Row]) -> int | None:
    """The deepest depth (tokens) that was measured here; None where nothing was."""
    return max(
        (row["depth"] for row in throughput if row["source"] == "measured" and row["status"] == "measured"),
        default=None,
    )


def up_to(workloads: Mapping[str, Workload], depth: int | None) -> dict[str, Workload]:
    """The same workload with no token on a fuller cache than ``depth`` (tokens; None leaves it as it is). The title
    then says so."""
    return {
        name: workload
        if depth is None or workload.depth <= depth
        else dataclasses.replace(
            workload,
            depth=depth,
            title=f"{workload.title} (at {format_count(depth)}, the deepest measured, "
            f"instead of {format_count(workload.depth)})",
        )
        for name, workload in workloads.items()
    }
