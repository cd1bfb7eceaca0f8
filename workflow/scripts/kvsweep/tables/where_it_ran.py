"""What really ran, and where: the columns of a row that the engine's log fills, and whether work left the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kvsweep.engine.bench_output import BenchTest
from kvsweep.engine.logged import EngineContext, EngineLog, on_device
from kvsweep.engine.off_device import evidence
from kvsweep.measure.record import Recorded
from kvsweep.tables.effective import KINDS, effective_cache, shape_of

Row = dict[str, Any]

# What ``mark_fallback`` looks at.
FALLBACK_COLUMNS = ("ctk", "ctv", "graph_splits", "kv_devices", "fallback", "fallback_why")
PEER_COLUMNS = {
    "throughput": ("engine", "model", "machine", "depth", "phase"),
    "quality": ("engine", "model", "machine", "corpus", "n_ctx"),
    "tasks": ("engine", "model", "machine", "task"),
}

# What of a model's file is weights that are loaded, at least, and how long its header can be.
_LOADED_SHARE, _HEADER_BYTES = 0.85, 32 * 2**20


def weights_on_device(log: EngineLog, model: Mapping[str, Any]) -> int | None:
    """Bytes of weights on the device, as logged; None where the log leaves out part of the file.

    Some builds print only the last of several mapped files (from b6791 on, issue 16762). A file also has names and the
    vocabulary, and layers that are not loaded.
    """
    logged = sum(log.model_buffers_mib.values()) * 2**20
    least = _LOADED_SHARE * (model.get("size_bytes", 0) - _HEADER_BYTES)
    return on_device(log.model_buffers_mib) if logged >= least else None


def mark_fallback(rows: Iterable[Row], table: str) -> None:
    """Complete ``fallback`` of a table's rows, which their own logs decided, by their f16/f16 row (``PEER_COLUMNS``).

    Work left the device, too, where the graph has more splits than that row's, or layers of the cache lie on a device
    where that row has none. Null where neither a row's own log nor such a row tells.
    """
    rows = list(rows)

    def same(row: Row) -> object:
        return tuple(row[name] for name in PEER_COLUMNS[table])

    references = {same(row): row for row in rows if row["ctk"] == row["ctv"] == "f16"}
    for row in rows:
        reference = references.get(same(row), {})
        signs, compared = [], False
        if row.get("graph_splits") is not None and reference.get("graph_splits") is not None:
            compared = True
            if row["graph_splits"] > reference["graph_splits"]:
                signs.append(
                    f"{row['graph_splits']} graph splits, and f16/f16 has {reference['graph_splits']}"
                )
        if row.get("kv_devices") and reference.get("kv_devices"):
            compared = True
            if elsewhere := sorted(set(row["kv_devices"]) - set(reference["kv_devices"])):
                signs.append(f"KV cache on {', '.join(elsewhere)}, where f16/f16 has none")
        if signs and not row.get("fallback"):
            row |= {"fallback": True, "fallback_why": "; ".join(signs)}
        elif compared and row.get("fallback") is None:
            row["fallback"] = False


def _what_ran(context: EngineContext, model: Mapping[str, Any]) -> Row:
    """The columns that a context's log fills: types that ran, sizes in bytes, rotation, splits, devices."""
    cache = effective_cache(context, shape_of(model))
    assert cache is not None
    return {
        "effective_ctk": cache.k.cache_type,
        "effective_ctv": cache.v.cache_type,
        "kv_bytes": cache.size_bytes,
        "bits_per_value_k": cache.k.bits_per_value,
        "bits_per_value_v": cache.v.bits_per_value,
        "rotated_k": context.attn_rot_k,
        "rotated_v": context.attn_rot_v,
        "graph_splits": context.graph_splits,
        "kv_devices": list(context.kv_devices) or None,
        **_logged_caches(context),
    }


def where_it_ran(
    context: EngineContext,
    log: EngineLog,
    recorded: Recorded,
    build: Mapping[str, Any],
    model: Mapping[str, Any],
) -> Row:
    """What a context's log says of what ran, and what the log alone says of a fallback.

    Nothing of a fallback if the engine was built for no device or for an unknown one (``auto``).
    """
    row = _what_ran(context, model)
    if build["backend"] not in (None, "cpu", "auto"):
        found = evidence(context, log, recorded.stderr, recorded.run["command"], model.get("architecture"))
        row |= {"fallback": found.fallback, "fallback_why": "; ".join(found.signs) or None}
    return row


def _logged_caches(context: EngineContext) -> Row:
    """Each KV cache of a context by itself, and the recurrent state, as they were logged."""
    caches, recurrent = context.kv_caches, context.recurrent_mib
    return {
        "cache_kinds": [KINDS.get(cache.label or "main") for cache in caches] or None,
        "cache_layers": [cache.layers for cache in caches] or None,
        "cache_cells": [cache.cells for cache in caches] or None,
        "cache_streams": [cache.n_stream or 1 for cache in caches] or None,
        "cache_bytes": [round(cache.size_mib * 2**20) for cache in caches] or None,
        "cache_rotated_k": [k for k, _ in context.rotations] or None,
        "cache_rotated_v": [v for _, v in context.rotations] or None,
        "recurrent_bytes": None if recurrent is None else round(recurrent * 2**20),
    }


def names_no_device(test: BenchTest, build: Mapping[str, Any]) -> bool:
    """Whether llama-bench names no device although it would: of other back ends' devices older builds say nothing."""
    return build["backend"] in ("cuda", "hip") and test.gpu_info is None
