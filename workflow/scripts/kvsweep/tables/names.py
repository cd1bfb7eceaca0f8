"""The Parquet tables by name. Apart from their schemas, because the workflow names them and must not load pyarrow."""

from __future__ import annotations

MEASURED = ("machines", "engines", "models", "throughput", "quality", "tasks", "task_items")

ANALYSIS = (
    "claims",
    "speed",
    "repetitions",
    "comparisons",
    "across",
    "head_to_head",
    "pareto",
    "k_or_v",
    "crossovers",
    "memory",
    "bandwidth",
    "largest_context",
    "advice",
    "depth",
    "agreement",
    "task_shares",
)
