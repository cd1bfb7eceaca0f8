"""What was measured, and on what: models and machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kvsweep.numbers import ABSENT
from kvsweep.report.parts import Entry, Grid, count, listed
from kvsweep.tables.row import Row
from kvsweep.units import format_bytes

MOST_NOTES = 20  # of set-ups that are joined or not


def models_of(models: Sequence[Row]) -> Grid:
    """Properties down, models across: a checksum is long."""

    def size(n_bytes: int | None) -> str:
        return ABSENT if n_bytes is None else format_bytes(n_bytes)

    def values_of(model: Row) -> str:
        k, v = model["kv_values_per_token_k"], model["kv_values_per_token_v"]
        return f"{count(k)} + {count(v)}"

    properties: dict[str, Callable[[Row], str | None]] = {
        "file": lambda m: m["file_name"],
        "architecture": lambda m: m["architecture"],
        "weights": lambda m: m["weight_type"],
        "parameters": lambda m: count(m["n_parameters"]),
        "layers with a KV cache": lambda m: f"{count(m['n_kv_layers'])} of {count(m['n_layers'])}",
        "heads / KV heads": lambda m: f"{count(m['n_heads'])} / {count(m['n_kv_heads'])}",
        "head size K / V": lambda m: f"{count(m['head_size_k'])} / {count(m['head_size_v'])}",
        "cached values a token, K + V": values_of,
        "vocabulary": lambda m: count(m["n_vocab"]),
        "layers by cache": _kinds,
        "recurrent state": lambda m: size(m["recurrent_bytes"]) if m["recurrent_bytes"] else None,
        "trained for a context of": lambda m: count(m["n_ctx_train"]) + _stretched(m),
        "file size": lambda m: size(m["file_bytes"]),
        "sha256": lambda m: m["model_sha256"],
    }
    return _properties("Models", "model", properties, models)


def _kinds(model: Row) -> str | None:
    """`5 full, 29 with a window of 1,024`; None where all of them are full, or it is not known."""
    kinds = model["kv_kinds"]
    if kinds is None or list(kinds) == ["full"]:
        return None
    shown = {"full": "full", "indexer": "indexer", "window": "with a window of"}
    parts = []
    for kind, layers, window in zip(kinds, model["kv_kind_layers"], model["kv_kind_windows"], strict=True):
        parts.append(f"{layers:.0f} {shown[kind]}" + (f" {window:,.0f}" if kind == "window" else ""))
    return ", ".join(parts)


def _stretched(model: Row) -> str:
    original, scaling = model["n_ctx_original"], model["rope_scaling"]
    if original is None or original == model["n_ctx_train"]:
        return ""
    return f", from {count(original)} by {scaling or 'scaling of positions'}"


def records_of(machines: Sequence[Row]) -> Grid:
    """What each machine was: another driver or power limit is another column."""

    def listed_texts(column: str) -> Callable[[Row], str]:
        return lambda m: ", ".join(str(value) for value in m[column] or [] if value is not None)

    properties: dict[str, Callable[[Row], str | None]] = {
        "slice": lambda m: m["slice"],
        "hosts": listed_texts("hosts"),
        "cells": lambda m: count(m["cells"]),
        "processor": lambda m: m["cpu"],
        "cores (physical)": lambda m: f"{count(m['cores'])} ({count(m['physical_cores'])})",
        "governor": lambda m: m["cpu_governor"],
        "memory": lambda m: None if m["memory_bytes"] is None else format_bytes(m["memory_bytes"]),
        "system": lambda m: m["system"],
        "distribution": lambda m: m["distribution"],
        "GPUs": listed_texts("gpus"),
        "GPU drivers": listed_texts("gpu_driver"),
        "GPU memory": lambda m: ", ".join(
            format_bytes(n) for n in m["gpu_memory_bytes"] or [] if n is not None
        ),
        "GPU power limits, W": listed_texts("gpu_power_limit_watts"),
        "GPU may hold": lambda m: (
            None if m["gpu_limit_bytes"] is None else format_bytes(m["gpu_limit_bytes"])
        ),
    }
    known = {
        name: text_of for name, text_of in properties.items() if any(text_of(machine) for machine in machines)
    }
    return _properties("What the machines were", "machine", known, machines)


def _properties(
    caption: str, named: str, properties: Mapping[str, Callable[[Row], str | None]], rows: Sequence[Row]
) -> Grid:
    """Properties down, one column for each row."""
    lines = tuple(
        (Entry(name), *(Entry(text_of(row) or ABSENT) for row in rows))
        for name, text_of in properties.items()
    )
    return Grid(
        caption, ("", *(row[named] or ABSENT for row in rows)), lines if rows else (), of_numbers=False
    )


def machines_of(rows: Sequence[Row], notes: Sequence[str]) -> Grid:
    """A line for each machine: the back ends, engines, models and sources of its rows."""
    names = sorted({row["machine"] for row in rows}, key=str)

    def row(name: str | None) -> tuple[Entry, ...]:
        own = [row for row in rows if row["machine"] == name]
        columns = ("backend", "engine", "model", "source")
        return (Entry(name or ABSENT), *(Entry(listed(row[column] for row in own)) for column in columns))

    return Grid(
        "Machines",
        ("machine", "back ends", "engines", "models", "sources"),
        tuple(map(row, names)),
        of_numbers=False,
        notes=tuple(notes),
    )
