"""Small valid tables with made-up but plausible values, for tests and for looking at figures.

    rows = [throughput_row("q8_0", "turbo4", depth=8192, phase="decode", rate=75.4)]
    table = table_of("throughput", rows)

Every builder fills all columns of its schema; named arguments replace any of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, harmonic_mean
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kvsweep.statistics import drift, variance
from kvsweep.study.pairs import KNOWN_TYPES, bits_per_value
from kvsweep.tables.schemas import TABLES

BITS = {name: float(bits) for name in KNOWN_TYPES if (bits := bits_per_value(name)) is not None}
PAPER_PAIRS = [
    ("f16", "f16"),
    ("q8_0", "q8_0"),
    ("turbo3", "turbo3"),
    ("turbo4", "turbo4"),
    ("q8_0", "turbo4"),
    ("q8_0", "turbo3"),
    ("f16", "turbo4"),
]
WIDE_PAIRS = [
    *PAPER_PAIRS,
    ("q4_0", "q4_0"),
    ("q4_1", "q4_1"),
    ("iq4_nl", "iq4_nl"),
    ("q5_0", "q5_0"),
    ("q5_1", "q5_1"),
    ("q8_0", "q4_0"),
    ("q8_0", "turbo2"),
]
PAPER_DEPTHS = [0, *(1024 * k for k in (8, 32, 64, 128, 256, 512, 1024))]
VALUES_PER_TOKEN = 10_240  # of K and of V together: 10 layers x 2 KV heads x 256 x 2

_MODEL_SHA256 = "5b" * 32
_SHARED = {
    "engine": "fork-metal",
    "engine_commit": "11a241d0db78a68e0a5b99fe6f36de6683100f6a",
    "engine_family": "llama.cpp with turbo",
    "backend": "metal",
    "machine": "Apple M5 Max 128GB",
    "model": "Qwen3.6-35B-A3B-Q8_0",
    "model_sha256": _MODEL_SHA256,
    "status": "measured",
    "graph_splits": 2,
    "kv_devices": ["CUDA0"],
    "fallback": False,
    "rotated_k": False,
    "rotated_v": False,
    "peak_rss_bytes": 38 * 2**30,
    "source": "measured",
    "load_before": 0.2,
    "busy_cores_before": 0.1,
    "attempts": 1,
    "started_at": datetime(2026, 4, 25, 9, 30, tzinfo=UTC),
}


def _filled(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    names = TABLES[table].names
    unknown = set(values) - set(names)
    if unknown:
        raise KeyError(f"{table} has no columns {sorted(unknown)}")
    return {name: values.get(name) for name in names}


def _of_pair(ctk: str, ctv: str) -> dict[str, Any]:
    return {
        **_SHARED,
        "ctk": ctk,
        "ctv": ctv,
        "effective_ctk": ctk,
        "effective_ctv": ctv,
        "bits_per_value_k": BITS.get(ctk),
        "bits_per_value_v": BITS.get(ctv),
    }


def throughput_row(
    ctk: str,
    ctv: str,
    depth: int = 0,
    phase: str = "decode",
    rate: float = 80.0,
    *,
    spread: float = 0.004,
    **replaced: Any,
) -> dict[str, Any]:
    """A cell with five repetitions that scatter around `rate` (tokens/s) by `spread` (a fraction of it).

    Where `tokens_per_second` is given, it is their tokens over time.
    """
    scatter = random.Random(f"{ctk} {ctv} {depth} {phase}")
    samples = [rate * (1 + scatter.gauss(0, spread)) for _ in range(5)]
    if replaced.get("tokens_per_second"):
        samples = [x * replaced["tokens_per_second"] / harmonic_mean(samples) for x in samples]
    trend = drift(samples)
    bits = BITS.get(ctk, 8.0) + BITS.get(ctv, 8.0)
    return _filled(
        "throughput",
        {
            **_of_pair(ctk, ctv),
            "depth": depth,
            "phase": phase,
            "n_tokens": 512 if phase == "prefill" else 128,
            "tokens_per_second": fmean(samples),
            "tokens_per_second_stddev": math.sqrt(variance(samples)),
            "samples": samples,
            "repetitions": len(samples),
            "round": 1,
            "kv_bytes": int((depth + 512) * VALUES_PER_TOKEN / 2 * bits / 8),
            "wall_seconds": 30 + depth / 300,
            "command": f"llama-bench -m model.gguf -p 512 -n 128 -d {depth} -ctk {ctk} -ctv {ctv} -fa 1",
            "drift_per_repetition": trend.slope if trend else None,
            "drift_stderr": trend.stderr if trend else None,
            **replaced,
        },
    )


def rounds_at(
    ctk: str, ctv: str, rates: Iterable[float], depth: int = 0, phase: str = "decode", **replaced: Any
) -> list[dict[str, Any]]:
    """A cell with these rates (tokens/s), one in each round."""
    return [
        throughput_row(
            ctk, ctv, depth, phase, tokens_per_second=rate, samples=[rate], round=round_, **replaced
        )
        for round_, rate in enumerate(rates, start=1)
    ]


def in_rounds(
    rows: Iterable[Mapping[str, Any]], n: int = 3, between: float = 0.002, within: float = 0.0005
) -> list[dict[str, Any]]:
    """Every throughput row measured in n rounds whose rates scatter by fractions of it.

    ``between`` processes and ``within`` one are sample standard deviations; the mean over rounds is the row's rate.
    """
    found = []
    for row in rows:
        scatter = random.Random(f"{row['ctk']} {row['ctv']} {row['depth']} {row['phase']}")
        shifts = _standardized([scatter.gauss(0, 1) for _ in range(n)])
        for round_, shift in enumerate(shifts, start=1):
            rate = row["tokens_per_second"]
            if rate is None:
                found.append({**row, "round": round_})
                continue
            inside = _standardized([scatter.gauss(0, 1) for _ in range(5)])
            samples = [rate * math.exp(between * shift + within * x) for x in inside]
            found.append({**row, "round": round_, "samples": samples, "tokens_per_second": fmean(samples)})
    return found


def _standardized(values: list[float]) -> list[float]:
    """With mean 0 and sample standard deviation 1."""
    if len(values) == 1:
        return [0.0]
    mean, spread = fmean(values), math.sqrt(variance(values))
    return [(value - mean) / spread for value in values]


_STAYS_WITHOUT_VALUES = {
    *(
        "engine",
        "engine_commit",
        "backend",
        "machine",
        "model",
        "model_sha256",
        "ctk",
        "ctv",
        "depth",
        "phase",
    ),
    *(
        "n_tokens",
        "corpus",
        "n_ctx",
        "wall_seconds",
        "started_at",
        "source",
        "command",
        "load_before",
        "busy_cores_before",
        "attempts",
        "round",
    ),
}


def unmeasured(
    row: Mapping[str, Any], status: str, reason: str, log_line: str | None = None
) -> dict[str, Any]:
    """The same cell as it stands in a table when it was not measured: identity and evidence, no values."""
    emptied = {name: value if name in _STAYS_WITHOUT_VALUES else None for name, value in row.items()}
    return {**emptied, "status": status, "reason": reason, "log_line": log_line}


def quality_row(
    ctk: str,
    ctv: str,
    kld: float = 0.01,
    *,
    n_ctx: int = 4096,
    corpus: str = "wikitext-2-test",
    **replaced: Any,
) -> dict[str, Any]:
    """A cell whose other values follow from its mean KL divergence `kld` (nats) in a plausible way."""
    top1 = 1 - 0.43 * math.sqrt(kld)
    ln_ratio = 0.6 * kld
    return _filled(
        "quality",
        {
            **_of_pair(ctk, ctv),
            "corpus": corpus,
            "n_ctx": n_ctx,
            "chunks": 71,
            "ppl": 5.7438 * math.exp(ln_ratio),
            "ppl_stderr": 0.0361,
            "ppl_base": 5.7438,
            "ln_ppl_ratio": ln_ratio,
            "ln_ppl_ratio_stderr": 0.00021 + 0.03 * kld,
            "kld_mean": kld,
            "kld_mean_stderr": 0.006 * kld + 2e-6,
            "kld_median": 0.25 * kld,
            "kld_p90": 2.2 * kld,
            "kld_p95": 4.1 * kld,
            "kld_p99": 13.0 * kld,
            "kld_p999": 62.0 * kld,
            "kld_max": 610.0 * kld,
            "top1_agreement": top1,
            "top1_agreement_stderr": math.sqrt(max(top1 * (1 - top1), 0.0) / 145_000),
            "delta_p_rms": 0.2 * math.sqrt(kld),
            "wall_seconds": 610.0,
            "command": f"llama-perplexity -m model.gguf -c {n_ctx} -ctk {ctk} -ctv {ctv} --kl-divergence",
            "ppl_difference": 5.7438 * math.expm1(ln_ratio),
            "ppl_difference_stderr": 0.0012 + 0.17 * kld,
            "kld_window_stderr": 0.02 * kld + 2e-6,
            "kld_window_rounding": 2e-5,
            "ln_ppl_ratio_window_stderr": 0.0003 + 0.04 * kld,
            "ln_ppl_ratio_window_rounding": 2e-5,
            **replaced,
        },
    )


def engine_row(engine: str = "fork-metal", **replaced: Any) -> dict[str, Any]:
    return _filled(
        "engines",
        {
            "engine": engine,
            "engine_commit": _SHARED["engine_commit"],
            "backend": "metal",
            "source_kind": "git",
            "source": "https://github.com/TheTom/llama-cpp-turboquant",
            "version": "9024 (11a241d0d)",
            "compiler": "AppleClang 17.0.0",
            "cmake_options": ["-DGGML_METAL=ON", "-DLLAMA_CURL=OFF"],
            "environment": ["TURBO_LAYER_ADAPTIVE=0"],
            "cache_types": list(KNOWN_TYPES),
            "files": [f"{'ab' * 32}  llama-bench", f"{'cd' * 32}  llama-perplexity"],
            **replaced,
        },
    )


def model_row(model: str = "Qwen3.6-35B-A3B-Q8_0", **replaced: Any) -> dict[str, Any]:
    return _filled(
        "models",
        {
            "model": model,
            "model_sha256": _MODEL_SHA256,
            "file_name": f"{model}.gguf",
            "file_bytes": 36_903_138_080,
            "architecture": "qwen35moe",
            "weight_type": "Q8_0",
            "n_parameters": 34_660_610_688,
            "n_layers": 40,
            "n_kv_layers": 10,
            "n_heads": 16,
            "n_kv_heads": 2,
            "head_size_k": 256,
            "head_size_v": 256,
            "n_vocab": 248_320,
            "n_ctx_train": 262_144,
            "kv_values_per_token_k": 5_120,
            "kv_values_per_token_v": 5_120,
            "cache_types": ["f16", "q8_0", "turbo4"],
            "kv_bytes_per_token": [20_480.0, 10_880.0, 5_440.0],
            **replaced,
        },
    )


def machine_row(machine: str = "Apple M5 Max 128GB", **replaced: Any) -> dict[str, Any]:
    return _filled(
        "machines",
        {
            "machine_record": "0123456789ab",
            "machine": machine,
            "hosts": ["studio"],
            "cells": 62,
            "cpu": "Apple M5 Max",
            "cores": 18,
            "physical_cores": 18,
            "memory_bytes": 128 * 2**30,
            "system": "Darwin 25.4.0 arm64",
            "distribution": "macOS 26.4",
            "gpus": ["Apple M5 Max"],
            "gpu_cores": [40],
            "source": "measured",
            **replaced,
        },
    )


def table_of(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table in the schema of `name`."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES[name])


def frame_of(name: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as the figures get them: by way of the schema, as a pandas DataFrame."""
    frame: pd.DataFrame = table_of(name, rows).to_pandas()
    return frame


def write_tables(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """NAME.parquet for every table of the schemas; those not given are empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        pq.write_table(tables.get(name, table_of(name, [])), folder / f"{name}.parquet")


def _slowdown(ctk: str, ctv: str) -> float:
    """Made-up relative cost of reading the cache: fewer bits are cheaper to load and dearer to unpack."""
    unpack = 0.12 * (ctk != "f16") + 0.12 * (ctv != "f16") + 0.25 * ("turbo3" in (ctk, ctv))
    return (BITS[ctk] + BITS[ctv]) / 32 + unpack


def study(pairs: Iterable[tuple[str, str]] = PAPER_PAIRS) -> dict[str, pa.Table]:
    """A whole study: every pair at every depth of the paper; cells out of memory, a fallback pair, an upgraded
    pair, a drifting cell, a noisy one and one under load.
    """
    pairs = list(pairs)
    speeds = []
    for ctk, ctv in pairs:
        for depth in PAPER_DEPTHS:
            for phase, start in (("prefill", 2900.0), ("decode", 82.9)):
                cost = _slowdown(ctk, ctv) * depth / (14_000 if phase == "prefill" else 110_000)
                row = throughput_row(ctk, ctv, depth, phase, start / (1 + cost))
                if (ctk, ctv) == ("f16", "turbo4"):
                    rate = start * (0.9 if depth == 0 else 70 / (70 + depth / 35))
                    row = throughput_row(ctk, ctv, depth, phase, rate, fallback=depth > 0, graph_splits=22)
                    if depth > 131_072:
                        row = unmeasured(row, "skipped", "slower than the limit of the configuration at 128K")
                if (ctk, ctv) == ("turbo3", "turbo3"):
                    row["effective_ctk"], row["bits_per_value_k"] = "q8_0", 8.5
                if depth * (BITS[ctk] + BITS[ctv]) > 1024 * 256 * 18:
                    row = unmeasured(
                        row,
                        "oom",
                        "the device had no memory for the compute buffers",
                        "ggml_metal_graph_compute: command buffer 1 failed with status 5",
                    )
                speeds.append(row)
    noisy, drifting, loaded = speeds[19], speeds[4], speeds[21]
    noisy["samples"] = [one * noisy["tokens_per_second"] for one in (0.89, 1.0, 1.11)]
    noisy["tokens_per_second_stddev"] = 0.11 * noisy["tokens_per_second"]
    drifting |= {"drift_per_repetition": -0.021, "drift_stderr": 0.0031}
    loaded["busy_cores_before"] = 2.7
    divergence = {"f16": 0.0, "q8_0": 0.0016, "q5_1": 0.003, "q5_0": 0.0042, "q4_1": 0.0079, "q4_0": 0.0089}
    divergence |= {"iq4_nl": 0.0081, "turbo4": 0.0131, "turbo3": 0.0199, "turbo2": 0.061}
    qualities = []
    for ctk, ctv in pairs:
        kld = 0.55 * divergence[ctk] + 0.45 * divergence[ctv] or 3.1e-7
        row = quality_row(ctk, ctv, kld)
        if (ctk, ctv) == ("turbo3", "turbo3"):
            row["effective_ctk"], row["bits_per_value_k"] = "q8_0", 8.5
        qualities.append(row)
    qualities[-1] = unmeasured(
        qualities[-1],
        "timeout",
        "no end after 3600 s",
        "kl_divergence: 12.41 seconds per pass - ETA 58 minutes",
    )
    return {
        "machines": table_of("machines", [machine_row()]),
        "engines": table_of("engines", [engine_row()]),
        "models": table_of("models", [model_row()]),
        "throughput": table_of("throughput", speeds),
        "quality": table_of("quality", qualities),
        "tasks": table_of("tasks", []),
        "task_items": table_of("task_items", []),
    }
