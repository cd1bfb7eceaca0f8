"""Runs in the shape of public bug reports (tests/data/cases), each with what has to come out of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from kvsweep.inputs import model_header
from kvsweep.measure.record import Recorded
from kvsweep.study.cells import QualityCell, ThroughputCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import rows as tables
from kvsweep.tables.rows import Row
from kvsweep.tables.where_it_ran import mark_fallback
from support import TESTS

CASES = TESTS / "data" / "cases"
MIB = 2**20

GEMMA_4_VALUES = 10 * 120064 * 4 * 512 + 50 * 1536 * 16 * 256  # of K, and as many of V


def both(**columns: Any) -> dict[str, dict[str, Any]]:
    """The same of prefill and decode."""
    return {"prefill": columns, "decode": columns}


EXPECTED: dict[str, dict[str, dict[str, Any]]] = {
    "01-gemma4-iswa-heads-f16": both(
        status="measured", effective_ctk="f16", effective_ctv="f16", bits_per_value_k=16, bits_per_value_v=16,
        kv_bytes=2 * GEMMA_4_VALUES * 2,
    ),
    "01-gemma4-iswa-heads-q5_0": both(
        status="measured", effective_ctk="q5_0", effective_ctv="q5_0", bits_per_value_k=5.5, bits_per_value_v=5.5,
        kv_bytes=2 * GEMMA_4_VALUES * 5.5 / 8,
    ),
    "02-gemma3-iswa-8-streams": both(
        status="measured", effective_ctk="f16", effective_ctv="f16", bits_per_value_k=16, bits_per_value_v=16,
        kv_bytes=(80 + 464) * MIB,
    ),
    "03-mla-no-v-f16": both(
        status="measured", effective_ctk="f16", effective_ctv="f16", bits_per_value_k=16, kv_bytes=47 * 33280 * 576 * 2
    ),
    # Rotated is what is said of the main cache; the indexer's always is.
    "04-glm52-indexer-f16": both(
        status="measured", effective_ctk="f16", effective_ctv="f16", kv_bytes=(78 * 576 + 21 * 128) * 65536 * 2,
        rotated_k=False,
    ),
    "04-glm52-indexer-q8_0-78": both(
        status="measured", effective_ctk="q8_0", effective_ctv="q8_0",
        kv_bytes=(78 * 576 + 78 * 128) * 65536 * 8.5 / 8, rotated_k=True,
    ),
    "05-split-gguf-three-lines": both(
        status="measured", model_buffer_bytes=round(108340.20 * MIB), fallback=False
    ),
    "06-amx-two-mapped-files": both(
        status="measured", model_buffer_bytes=round((9264.66 + 45358.97 + 47139.54) * MIB)
    ),
    "07-metal-last-buffer-bench": {
        "prefill": {
            "status": "oom",
            "log_line": "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
            "tokens_per_second": None,
        },
        "decode": {"status": "measured", "tokens_per_second": pytest.approx(50, rel=1e-6)},
    },
    "07-metal-last-buffer-kld": {
        "quality": {"status": "oom", "kld_mean": None, "top1_agreement": None, "ppl": None}
    },
    "08-gdb-on-stdout": {
        "prefill": {"status": "measured", "tokens_per_second": pytest.approx(999.678606)},
        "decode": {"status": "crashed", "log_line": "/src/ggml/src/ggml-cuda/fattn.cu:585: fatal error"},
    },
    "09-cuda-copy": both(
        status="unsupported", log_line="ggml_cuda_cpy_fn: unsupported type combination (q4_0 to f32)"
    ),
    "09-cuda-refuses-pair": both(
        status="unsupported", log_line="Unsupported KV type combination for head_size 128."
    ),
    "10-kld-header-for-each-chunk": {"quality": {"status": "measured", "kld_mean": 0.009668}},
    "10-kld-percentiles-2024": {
        "quality": {
            "status": "measured", "kld_mean": 0.009668, "ppl": 6.240860, "top1_agreement": 0.9549,
            "kld_p99": 0.043141, "kld_median": 0.006356, "kld_p95": None, "kld_p90": None,
        }
    },
    "11-sycl-host": both(status="oom"),
    "11-sycl-out-of-resources": both(
        status="crashed",
        log_line="level_zero backend failed with error: 40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)",
    ),
    "12-retry-measured": both(
        status="measured", effective_ctk="f16", effective_ctv="f16", graph_splits=3, kv_devices=["CUDA0", "CUDA1"]
    ),
    "13-turbo-upgraded": both(
        status="measured", effective_ctk="q8_0", effective_ctv="turbo4", bits_per_value_k=8.5, bits_per_value_v=4.25
    ),
    "14-fallback-q4_1-q4_0": both(status="measured", graph_splits=66, fallback=True),
    "15-decode-no-slot": {
        "prefill": {"status": "measured"},
        "decode": {"status": "crashed", "log_line": "test_prompt: failed to decode prompt batch, res = 1"},
    },
    "16-kld-huge-ppl": {
        "quality": {"status": "measured", "ppl": 9868.042664, "kld_mean": 2.161451, "ppl_base": 9598.540914}
    },
    "16-kld-n_seq-capped": {"quality": {"status": "measured", "kld_mean": 0.009668}},
    "17-hybrid-qwen35": both(
        status="measured", effective_ctk="q8_0", effective_ctv="q8_0", bits_per_value_k=8.5, bits_per_value_v=8.5,
        rotated_k=True, rotated_v=True, kv_bytes=round(144.5 * MIB),
    ),
    "17-newest-rotation-lines": both(status="measured", rotated_k=True, rotated_v=True, fallback=False),
    # It must not stand in a row whose back end is cuda without a mark.
    "18-cuda-build-runs-on-cpu": both(status="measured", fallback=True),
}  # fmt: skip


def manifest(directory: Path) -> dict[str, Any]:
    """model.json, from the case's fields of the GGUF header."""
    fields = json.loads((directory / "model.json").read_text())
    header = model_header._header(fields["general.architecture"], fields, [])
    return {"model": "m", "sha256": "cd34", "size_bytes": 0, **header.as_dict()}


def rows_of(directory: Path) -> dict[str, Row]:
    """The rows of a case, by phase."""
    given = json.loads((directory / "cell.json").read_text())
    run = {
        **{"format": 1, "engine": "e", "model": "m", "model_sha256": "cd34", "attempts": 1},
        **{
            "command": ["engine", "-ngl", "99"],
            "environment": {},
            "conditions": {},
            "machine": {"name": "there"},
        },
        **{"prompt": 512, "generate": 128, "repetitions": 3},
        **{"ended_by": None, "killed_for_memory": False, "time_limit_seconds": 10800, "wall_seconds": 60.0},
        **given,
    }
    build = {"engine": "e", "commit": "abc1234", "backend": given["backend"]}
    pair = Pair(given["ctk"], given["ctv"])
    name = "bench.jsonl" if given["kind"] == "throughput" else "stdout.log"
    recorded = Recorded(
        directory, run, (directory / name).read_text(), (directory / "stderr.log").read_text()
    )
    cell: ThroughputCell | QualityCell
    if given["kind"] == "throughput":
        cell = ThroughputCell("e", "m", given["depth"], pair)
        rows = tables.throughput_rows(cell, recorded, build, manifest(directory))
        mark_fallback(rows, "throughput")
        return {row["phase"]: row for row in rows}
    cell = QualityCell("e", "m", "c", given["n_ctx"], pair)
    row = tables.quality_row(cell, recorded, build, manifest(directory))
    mark_fallback([row], "quality")
    return {"quality": row}


def test_every_case_is_expected() -> None:
    assert {path.parent.name for path in CASES.glob("*/cell.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_comes_out(name: str) -> None:
    rows = rows_of(CASES / name)
    assert set(rows) == set(EXPECTED[name])
    for phase, expected in EXPECTED[name].items():
        found = {column: rows[phase].get(column) for column in expected}
        assert found == expected, phase
