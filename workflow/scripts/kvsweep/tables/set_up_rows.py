"""Rows of what measured: engines, models and machines, from their records."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from kvsweep.engine.sizes import kv_bytes_per_token
from kvsweep.inputs.kv_layers import LayerGroup
from kvsweep.inputs.model_header import groups_in_manifest
from kvsweep.machine.description import machine_record
from kvsweep.tables.columns import known_in
from kvsweep.tables.set_up_schemas import ENGINES, MACHINES, MODELS

Row = dict[str, Any]


def engine_row(build: Mapping[str, Any]) -> Row:
    """``build`` is build.json."""
    return {
        **known_in(build, ENGINES),
        "engine_commit": build["commit"],
        "environment": [f"{name}={value}" for name, value in build["environment"].items()],
        "files": [f"{digest}  {name}" for name, digest in build["files"].items()],
        "arguments": [shlex.join([program, *given]) for program, given in build.get("arguments", {}).items()]
        or None,
    }


def model_row(model: Mapping[str, Any]) -> Row:
    """``model`` is model.json."""
    groups = groups_in_manifest(model)
    per_token = {} if groups is None else kv_bytes_per_token(groups)
    return {
        **known_in(model, MODELS),
        "cache_types": list(per_token) or None,
        "kv_bytes_per_token": list(per_token.values()) or None,
        "model_sha256": model["sha256"],
        "file_name": model["path"].replace("\\", "/").rpartition("/")[2],
        "file_bytes": model["size_bytes"],
        "n_kv_heads": max(model["n_kv_heads"], default=None),
        **_caches(groups),
        "source": "measured",
    }


def _caches(groups: tuple[LayerGroup, ...] | None) -> Row:
    """The layers of a model by the caches that they are in, as the columns of the table."""
    if groups is None:
        return {}
    return {
        "kv_kinds": [group.kind for group in groups],
        "kv_kind_layers": [len(group.kv_heads) for group in groups],
        "kv_kind_values_k": [group.values_k for group in groups],
        "kv_kind_values_v": [group.values_v for group in groups],
        "kv_kind_windows": [group.window for group in groups],
    }


def machine_row(machine: Mapping[str, Any], hosts: Iterable[str], n_cells: int) -> Row:
    """``machine`` is what run.json says of it; ``hosts`` are those that are alike, on which ``n_cells`` ran."""
    gpus = machine.get("gpus", [])
    of_each = (
        *("arch", "driver", "memory_bytes", "power_limit_watts", "max_clock_mhz", "max_memory_clock_mhz"),
        "cores",
    )
    return {
        **known_in(machine, MACHINES),
        "machine_record": machine_record(machine),
        "machine": machine["name"],
        "hosts": sorted(hosts),
        "cells": n_cells,
        "gpus": [gpu["name"] for gpu in gpus],
        **{f"gpu_{name}": [gpu.get(name) for gpu in gpus] for name in of_each},
        "source": "measured",
    }
