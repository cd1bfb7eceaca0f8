"""A plan as data, for results/plan.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from kvsweep.plan.plan import Item, Known, Plan
from kvsweep.plan.warnings import warnings
from kvsweep.study.cells import BaselineRun, QualityCell
from kvsweep.study.pairs import BASELINE_PAIR


def as_json(plan: Plan) -> dict[str, Any]:
    """The whole plan, for results/plan.json. Sizes in bytes, times in seconds, null where unknown."""
    resources = plan.known.resources
    return {
        "format": 1,
        "machine": {
            "memory_bytes": resources.memory_bytes,
            "available_memory_bytes": resources.available_memory_bytes,
            "free_disk_bytes": resources.free_disk_bytes,
        },
        "totals": {
            **{
                kind: {
                    "cells": len(items),
                    "done": sum(item.done for item in items),
                    "by_status": dict(Counter(item.status for item in items if item.done and item.status)),
                }
                for kind, items in by_kind(plan).items()
            },
            "baseline_disk_bytes": disk_bytes(plan.baselines),
            "baseline_disk_bytes_to_write": disk_bytes(item for item in plan.baselines if not item.done),
            "to_do": len(plan.to_do),
            "to_be_skipped": len(plan.skipped),
            "without_estimate": len(plan.without_estimate),
            "estimated_seconds": plan.estimated_seconds,
            "longest_seconds": plan.longest_seconds,
        },
        "warnings": warnings(plan),
        "models": {
            name: {"size_bytes": model.size_bytes, **model.header.as_dict()}
            for name, model in plan.known.models.items()
        },
        "cells": [_as_row(item, plan.known) for item in (*plan.baselines, *plan.cells)],
    }


def by_kind(plan: Plan) -> dict[str, list[Item]]:
    kinds: dict[str, list[Item]] = {kind: [] for kind in ("throughput", "quality", "tasks", "baseline")}
    for item in (*plan.cells, *plan.baselines):
        kinds[item.run.kind].append(item)
    return kinds


def disk_bytes(items: Iterable[Item]) -> int | None:
    """The bytes that all items need on disk; None if the size of one is not known."""
    needed = [None if item.needs is None else item.needs.disk_bytes for item in items]
    return None if None in needed else sum(size for size in needed if size is not None)


def _as_row(item: Item, known: Known) -> dict[str, Any]:
    run, needs, estimate = item.run, item.needs, item.estimate
    pair = BASELINE_PAIR if isinstance(run, BaselineRun) else run.pair
    row: dict[str, Any] = {"directory": str(run.directory), "kind": run.kind, **vars(run)}
    row.pop("pair", None)
    if isinstance(run, QualityCell):
        row["reference"] = run.reference or run.engine
    return {
        **row,
        "ctk": pair.ctk,
        "ctv": pair.ctv,
        "done": item.done,
        "status": item.status,
        "outdated": item.outdated,
        "reason": item.reason,
        "weight_bytes": needs and needs.weight_bytes,
        "kv_bytes": needs and needs.kv_bytes,
        "host_bytes": needs and needs.host_bytes,
        "machine_memory_bytes": needs and needs.memory_bytes(known.backends.get(run.engine, "cpu")),
        "disk_bytes": needs and needs.disk_bytes,
        "estimated_seconds": None if item.done or estimate is None else estimate.seconds,
        "estimate_basis": None if item.done or estimate is None else estimate.basis,
    }
