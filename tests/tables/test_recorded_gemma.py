"""Rows from recorded runs of a sliding-window model on a GPU: mainline of 2026-10 and the fork."""

import json
from pathlib import Path
from typing import Any

import pytest
from kvsweep.inputs import model_header
from kvsweep.measure.record import Recorded
from kvsweep.study.cells import QualityCell, ThroughputCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import rows as tables
from support import RECORDED, recorded

RUNS = RECORDED / "h200-gemma"
# The header of Gemma 3 270M: every sixth layer sees all tokens, the others 512.
GEMMA = {
    "context_length": 32768, "embedding_length": 640, "block_count": 18, "attention.head_count": 4,
    "attention.head_count_kv": 1, "attention.key_length": 256, "attention.value_length": 256,
    "attention.sliding_window": 512, "vocab_size": 262144,
}  # fmt: skip
BUILD = {"engine": "e", "commit": "abc", "backend": "cuda"}
RUN = {
    "format": 1, "engine": "e", "model": "m", "model_sha256": "ab", "attempts": 1, "command": ["engine"],
    "environment": {}, "conditions": {}, "machine": {"name": "there"}, "ended_by": None, "killed_for_memory": False,
    "time_limit_seconds": 3600, "wall_seconds": 60.0, "exit_status": 0, "signal": None, "chunks": 16, "n_ctx": 4096,
}  # fmt: skip
BITS = {"f16": 16, "q8_0": 8.5, "q4_0": 4.5, "turbo4": 4.25}


def model() -> dict[str, Any]:
    fields = {f"gemma3.{name}": value for name, value in GEMMA.items()}
    return {
        "model": "m",
        "sha256": "ab",
        "size_bytes": 0,
        **model_header._header("gemma3", fields, []).as_dict(),
    }


def check(row: dict[str, Any], pair: Pair, rotated: bool, cells: int) -> None:
    """What every run has in common: all on the device, and caches of the size that the types and the cells give."""
    assert (row["status"], row["reason"]) == ("measured", None)
    assert (row["effective_ctk"], row["effective_ctv"]) == (pair.ctk, pair.ctv)
    assert (row["bits_per_value_k"], row["bits_per_value_v"]) == (BITS[pair.ctk], BITS[pair.ctv])
    assert row["kv_bytes"] == (3 * cells + 15 * 1024) * 256 * (BITS[pair.ctk] + BITS[pair.ctv]) / 8
    assert (row["rotated_k"], row["rotated_v"]) == (rotated, rotated)
    assert row["cache_rotated_k"] == [rotated, rotated]
    assert (row["kv_devices"], row["graph_splits"]) == (["CUDA0"], 2)
    assert (row["fallback"], row["fallback_why"]) == (False, None)


@pytest.mark.parametrize("name", sorted(path.stem for path in RUNS.glob("*.jsonl")))
def test_speed(name: str) -> None:
    first, second = map(json.loads, recorded(f"h200-gemma/{name}.jsonl").splitlines())
    pair = Pair(first["type_k"], first["type_v"])
    asked = {"repetitions": 3, "prompt": first["n_prompt"], "generate": second["n_gen"]}
    streams = (recorded(f"h200-gemma/{name}.{ending}") for ending in ("jsonl", "stderr"))
    cell = ThroughputCell("e", "m", first["n_depth"], pair)
    rows = tables.throughput_rows(cell, Recorded(Path("cell"), RUN | asked, *streams), BUILD, model())
    for row, cells in zip(rows, (33280, 33024), strict=True):
        check(row, pair, name.startswith("mainline") and pair.ctk != "f16", cells)
        assert row["tokens_per_second"] > 100
        assert row["model_buffer_bytes"] == round(235.20 * 2**20)


@pytest.mark.parametrize("name", sorted(path.stem for path in RUNS.glob("*.stdout")))
def test_quality(name: str) -> None:
    pair = Pair(*name.split("-")[-2:])
    streams = (recorded(f"h200-gemma/{name}.{ending}") for ending in ("stdout", "stderr"))
    row = tables.quality_row(
        QualityCell("e", "m", "c", 4096, pair), Recorded(Path("cell"), RUN, *streams), BUILD, model()
    )
    check(row, pair, name.startswith("mainline") and pair.ctk != "f16", 4096)
    assert row["kld_mean"] == pytest.approx(0, abs=1e-6) if pair.ctk == "f16" else row["kld_mean"] > 0.1
