"""Raw records to table rows: what was measured, how it ended, what really ran."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kvsweep.machine.conditions import Conditions
from kvsweep.measure.record import Recorded
from kvsweep.study.cells import QualityCell, ThroughputCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import quality_schemas, schemas, set_up_schemas
from kvsweep.tables import rows as tables
from kvsweep.tables.columns import as_table
from kvsweep.tables.set_up_rows import engine_row, machine_row, model_row
from kvsweep.tables.where_it_ran import PEER_COLUMNS, mark_fallback
from support import recorded

BUILD = {
    "engine": "e", "commit": "69d8e4be4", "backend": "cpu", "source_kind": "git", "source": "git url 69d8e4be4",
    "version": "version: 1", "compiler": "g++ 14", "cmake_options": ["GGML_METAL=OFF"], "environment": {"TURBO_X": "0"},
    "cache_types": ["f16", "q8_0"], "files": {"llama-bench": "ab12"},
}  # fmt: skip


def model(layers: int, kv_heads: int, vocabulary: int = 259) -> dict[str, Any]:
    """model.json of a model whose heads have 128 values."""
    return {
        "model": "m", "path": "/models/tiny.gguf", "size_bytes": 19423232, "sha256": "cd34", "architecture": "llama",
        "weight_type": "F16", "n_parameters": 9707008, "n_layers": layers, "n_kv_layers": layers, "n_heads": 8,
        "n_kv_heads": [kv_heads] * layers, "head_size_k": 128, "head_size_v": 128, "n_vocab": vocabulary,
        "n_ctx_train": 131072, "kv_values_per_token_k": layers * kv_heads * 128,
        "kv_values_per_token_v": layers * kv_heads * 128,
    }  # fmt: skip


TINY_GQA2, TINY_GQA8, LLAMA_8B = model(4, 2), model(10, 1), model(32, 8, 128256)

RUN = {
    "format": 1, "ctk": "f16", "ctv": "f16", "engine": "e", "model": "m", "model_sha256": "cd34",
    "command": ["llama-bench", "-m", "my model.gguf"], "environment": {"TURBO_X": "0"},
    "machine": {"name": "AMD EPYC 2 cores 24GB", "host": "node1", "memory_bytes": 24 * 2**30},
    "conditions": Conditions(
        "AC Power", 100, False, "nominal", ("power limit",), ("chrome (process 7)",), 2**34, 0
    )._asdict(),
    "load_before": 0.5, "busy_cores_before": 0.1, "killed_for_memory": False, "attempts": 1,
    "started_at": "2026-11-23T14:51:20.123+00:00", "wall_seconds": 4.5,
    "suspended_seconds": 0.0, "peak_rss_bytes": 10**9, "exit_status": 0,
    "signal": None, "ended_by": None, "time_limit_seconds": 3600,
}  # fmt: skip


def bench(
    name: str, depth: int, *, tests: slice = slice(0, 2), **run: Any
) -> tuple[ThroughputCell, Recorded]:
    """The cell of one depth, cut out of a recorded run of several: its results, and its part of the log."""
    log_head, *log = recorded(f"{name}.stderr").split("llama_context: constructing llama_context\n")
    results = [(line, json.loads(line)) for line in recorded(f"{name}.jsonl").splitlines()]
    of_depth = [index for index, (_, result) in enumerate(results) if result["n_depth"] == depth][tests]
    first = results[of_depth[0]][1]
    stdout = "".join(f"{results[index][0]}\n" for index in of_depth)
    stderr = "llama_context: constructing llama_context\n".join(
        [log_head, *(log[index] for index in of_depth)]
    )
    prompt, generate = (512, 128) if name.startswith("fork-cuda") else (128, 16)
    asked = {"depth": depth, "prompt": prompt, "generate": generate, "repetitions": 3}
    cell = ThroughputCell("e", "m", depth, Pair(first["type_k"], first["type_v"]))
    return cell, Recorded(Path("cell"), RUN | asked | run, stdout, stderr)


def kl(name: str, pair: str, **run: Any) -> tuple[QualityCell, Recorded]:
    cell = QualityCell("e", "m", "c", 1024, Pair.parse(pair))
    texts = (recorded(f"{name}.{stream}") for stream in ("stdout", "stderr"))
    return cell, Recorded(Path("cell"), RUN | {"n_ctx": 1024, "chunks": 8} | run, *texts)


def test_a_measured_throughput_cell() -> None:
    prefill, decode = tables.throughput_rows(*bench("fork/bench-q8_0-turbo4", 512), BUILD, TINY_GQA2)
    assert (prefill["phase"], decode["phase"]) == ("prefill", "decode")
    assert (prefill["n_tokens"], decode["n_tokens"]) == (128, 16)
    for row in (prefill, decode):
        assert (row["status"], row["reason"], row["log_line"]) == ("measured", None, None)
        assert (row["ctk"], row["ctv"], row["depth"]) == ("q8_0", "turbo4", 512)
        assert (row["effective_ctk"], row["effective_ctv"]) == ("q8_0", "turbo4")
        assert (row["bits_per_value_k"], row["bits_per_value_v"]) == (8.5, 4.25)
        assert row["kv_bytes"] == 768 * 4 * 256 * (34 / 32 + 68 / 128)
        assert (row["rotated_k"], row["rotated_v"], row["graph_splits"]) == (False, False, 1)
        assert row["repetitions"] == len(row["samples"]) == 3
        assert row["started_at"] == datetime(2026, 11, 23, 14, 51, 20, 123000, tzinfo=UTC)
        assert row["command"] == "TURBO_X=0 llama-bench -m 'my model.gguf'"
        assert (row["machine"], row["source"]) == ("AMD EPYC 2 cores 24GB", "measured")
    assert prefill["tokens_per_second"] > decode["tokens_per_second"] > 0


def test_prefill_measured_and_decode_failed() -> None:
    cell, record = bench("fork/bench-f16-f16-oom", 512, tests=slice(0, 1), exit_status=1)
    no_memory = recorded("fork/bench-f16-f16-oom.stderr").splitlines(keepends=True)[-3:]
    record = record._replace(stderr=record.stderr + "".join(no_memory))
    prefill, decode = tables.throughput_rows(cell, record, BUILD, TINY_GQA2)
    assert prefill["status"] == "measured"
    assert decode["status"] == "oom"
    assert decode["log_line"] == "alloc_tensor_range: failed to allocate CPU buffer of size 8192524288"
    assert "tokens_per_second" not in decode and "kv_bytes" not in decode


def test_no_result_at_all() -> None:
    cell, record = bench("fork/bench-f16-f16", 0, exit_status=None, signal="SIGSEGV")
    record = record._replace(stdout="", stderr="boom\n")
    rows = tables.throughput_rows(cell, record, BUILD, TINY_GQA2)
    assert [(row["phase"], row["status"]) for row in rows] == [("prefill", "crashed"), ("decode", "crashed")]
    assert rows[0]["reason"] == "llama-bench ended without this result (SIGSEGV)"
    assert rows[0]["log_line"] == "boom"


def test_a_skipped_cell_knows_nothing_of_a_process() -> None:
    cell, record = bench("fork/bench-f16-f16", 0)
    of_a_process = (
        "started_at",
        "wall_seconds",
        "peak_rss_bytes",
        "exit_status",
        "signal",
        "ended_by",
        "load_before",
        "busy_cores_before",
    )
    run = {name: value for name, value in record.run.items() if name not in of_a_process}
    record = Recorded(record.directory, run | {"skipped": "predicted to take 7 h", "attempts": 0}, "", "")
    for row in tables.throughput_rows(cell, record, BUILD, TINY_GQA2):
        assert (row["status"], row["reason"]) == ("skipped", "predicted to take 7 h")
        assert row["started_at"] is None and row["wall_seconds"] is None
    as_table(tables.throughput_rows(cell, record, BUILD, TINY_GQA2), schemas.THROUGHPUT)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depth": 2048}, "llama-bench reports pp128 tg0 at depth 512, which was not asked for"),
        ({"pair": Pair("q8_0", "q8_0")}, "llama-bench reports q8_0/turbo4, q8_0 was asked for"),
        ({"pair": Pair("turbo4", "q8_0")}, "llama-bench reports q8_0/turbo4, turbo4/q8_0 was asked for"),
        ({"repetitions": 5}, "llama-bench reports 3 repetitions, 5 were asked for"),
        ({"prompt": 512}, "llama-bench reports pp128 tg0 at depth 512, which was not asked for"),
        ({"generate": 32}, "llama-bench reports pp0 tg16 at depth 512, which was not asked for"),
    ],
)
def test_a_result_that_was_not_asked_for_is_a_failure(change: dict[str, Any], sentence: str) -> None:
    cell, record = bench("fork/bench-q8_0-turbo4", 512)
    fields = {name: change[name] for name in ("depth", "pair") if name in change}
    run = record.run | {
        name: change[name] for name in ("repetitions", "prompt", "generate") if name in change
    }
    cell, record = dataclasses.replace(cell, **fields), record._replace(run=run)
    for row in tables.throughput_rows(cell, record, BUILD, TINY_GQA2):
        assert row["status"] == "crashed"
        assert row["reason"] == f"{sentence} (exit status 0)"
        assert "tokens_per_second" not in row


def test_a_log_that_contradicts_itself_is_a_failure() -> None:
    cell, record = bench("fork/bench-q8_0-turbo4", 512)
    record = record._replace(stderr=record.stderr.replace("K (q8_0)", "K ?q8_0?"))
    for row in tables.throughput_rows(cell, record, BUILD, TINY_GQA2):
        assert row["status"] == "crashed"
        assert row["reason"].startswith("the engine's log cannot be trusted")


def test_what_really_ran_can_differ_from_what_was_asked_for() -> None:
    upgraded = tables.throughput_rows(*bench("fork/bench-turbo3-turbo3-gqa8-upgraded", 0), BUILD, TINY_GQA8)
    assert {(row["ctk"], row["effective_ctk"], row["effective_ctv"]) for row in upgraded} == {
        ("turbo3", "q8_0", "turbo3")
    }
    boundary = tables.throughput_rows(*bench("fork/bench-turbo2-turbo2-boundary", 512), BUILD, TINY_GQA8)
    assert {(row["ctv"], row["effective_ctv"]) for row in boundary} == {("turbo2", "turbo2 + q8_0 layers")}


def test_rotation_is_read_from_the_log() -> None:
    rows = tables.throughput_rows(*bench("mainline/bench-q4_0-q4_0", 0), BUILD, TINY_GQA2)
    assert {(row["rotated_k"], row["rotated_v"]) for row in rows} == {(True, True)}


def cuda_rows(*names: str) -> list[tables.Row]:
    build = BUILD | {"backend": "cuda"}
    return [row for name in names for row in tables.throughput_rows(*bench(name, 0), build, LLAMA_8B)]


def test_more_graph_splits_than_f16_are_a_fallback() -> None:
    rows = cuda_rows("fork-cuda/bench-f16-f16", "fork-cuda/bench-q5_1-q5_1-fallback")
    mark_fallback(rows, "throughput")
    assert {tuple(row["kv_devices"]) for row in rows} == {("CUDA0",)}
    assert [(row["ctk"], row["graph_splits"], row["fallback"]) for row in rows] == [
        ("f16", 2, False), ("f16", 2, False), ("q5_1", 66, True), ("q5_1", 66, True),
    ]  # fmt: skip


def test_cache_layers_on_another_device_than_f16s_are_a_fallback() -> None:
    rows: list[dict[str, Any]] = [
        dict.fromkeys(PEER_COLUMNS["quality"]) | {"ctk": ctk, "ctv": ctk, "kv_devices": devices}
        for ctk, devices in (("f16", ["CUDA0"]), ("q8_0", ["CUDA0", "CPU"]), ("q4_0", ["CUDA0"]))
    ]
    mark_fallback(rows, "quality")
    assert [row["fallback"] for row in rows] == [False, True, False]


def test_a_log_by_itself_shows_that_work_left_the_device() -> None:
    (prefill, decode) = cuda_rows("fork-cuda/bench-q5_1-q5_1-fallback")
    assert prefill["fallback"] and decode["fallback"]
    assert prefill["fallback_why"] == "66 graph splits: they grow with the layers"
    f16 = cuda_rows("fork-cuda/bench-f16-f16")
    assert [(row["fallback"], row["fallback_why"]) for row in f16] == [(False, None)] * 2


def test_a_run_that_logs_nothing_and_names_no_device() -> None:
    cell, record = bench("fork-cuda/bench-f16-f16", 0)
    cuda = BUILD | {"backend": "cuda"}
    silent = record._replace(stderr="")
    assert all(row.get("fallback") is None for row in tables.throughput_rows(cell, silent, cuda, LLAMA_8B))
    without = silent._replace(stdout=silent.stdout.replace('"NVIDIA H200"', '""'))
    for row in tables.throughput_rows(cell, without, cuda, LLAMA_8B):
        assert (row["status"], row["fallback_why"]) == ("measured", "llama-bench names no device")


def test_llama_bench_that_reports_the_types_that_ran() -> None:
    """The fork since 2026-08. Its log has to say that it took other types by itself."""
    cell, record = bench("fork/bench-turbo3-turbo3-gqa8-upgraded", 0)
    reported = record.stdout.replace('"type_k": "turbo3"', '"type_k": "q8_0"')
    assert reported != record.stdout
    for row in tables.throughput_rows(cell, record._replace(stdout=reported), BUILD, TINY_GQA8):
        assert (row["status"], row["effective_ctk"], row["effective_ctv"]) == ("measured", "q8_0", "turbo3")


@pytest.mark.parametrize("backend", ["cpu", "auto"])
def test_an_engine_for_the_processor_has_no_fallback_by_itself(backend: str) -> None:
    """Nor have ready binaries of which nobody has said what they were built for."""
    rows = tables.throughput_rows(*bench("fork/bench-f16-f16", 0), BUILD | {"backend": backend}, TINY_GQA2)
    assert all(row.get("fallback") is None for row in rows)
    table = as_table(rows, schemas.THROUGHPUT)
    assert table.column("fallback").to_pylist() == [None] * 2


def test_a_measured_quality_cell() -> None:
    row = tables.quality_row(*kl("fork/kld-q8_0-turbo4", "q8_0/turbo4"), BUILD, TINY_GQA2)
    assert (row["status"], row["corpus"], row["n_ctx"], row["chunks"]) == ("measured", "c", 1024, 8)
    assert (row["ppl"], row["kld_mean"], row["top1_agreement"]) == (1548.003798, 0.320245, 0.46159)
    assert (row["effective_ctk"], row["effective_ctv"], row["graph_splits"]) == ("q8_0", "turbo4", 1)
    assert 0 < row["kld_window_stderr"] < 0.05
    assert 0 < row["kld_window_rounding"] < row["kld_window_stderr"]


def test_the_control() -> None:
    row = tables.quality_row(*kl("fork/kld-f16-f16-control", "f16"), BUILD, TINY_GQA2)
    assert row["status"] == "measured"
    assert row["kld_mean"] == pytest.approx(0, abs=1e-5)
    assert row["top1_agreement"] == 1


def test_other_windows_than_asked_for_are_a_failure() -> None:
    row = tables.quality_row(*kl("fork/kld-q8_0-q8_0", "q8_0", chunks=70), BUILD, TINY_GQA2)
    assert (row["status"], row["reason"]) == (
        "crashed",
        "8 windows were scored, 70 were asked for (exit status 0)",
    )
    assert "ppl" not in row


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fork/kld-baseline-truncated", "failed reading log-probs for chunk"),
        ("fork/kld-context-mismatch", "failed to decode"),
    ],
)
def test_exit_status_0_without_a_result_is_a_failure(name: str, said: str) -> None:
    row = tables.quality_row(*kl(name, "q8_0"), BUILD, TINY_GQA2)
    assert row["status"] == "crashed"
    assert said in row["reason"]


def test_buffers_as_the_log_has_them_on_the_device_where_there_is_one() -> None:
    prefill, decode = tables.throughput_rows(*bench("fork-cuda/bench-f16-f16", 0), BUILD, LLAMA_8B)
    mib = 2**20
    assert prefill["compute_buffer_bytes"] == round(258.50 * mib)  # not CUDA_Host's 17.01
    assert decode["compute_buffer_bytes"] == round(64.62 * mib)
    assert {row["model_buffer_bytes"] for row in (prefill, decode)} == {round(7605.33 * mib)}
    assert prefill["device_free_bytes"] == 142_629 * mib
    (on_host, _) = tables.throughput_rows(*bench("fork/bench-f16-f16", 0), BUILD, TINY_GQA2)
    assert on_host["compute_buffer_bytes"] == round(2.69 * mib)
    assert on_host["model_buffer_bytes"] == round(18.52 * mib)
    assert on_host["device_free_bytes"] is None
    assert on_host["machine_memory_bytes"] == 24 * 2**30


def test_a_machine() -> None:
    gpu = {"vendor": "nvidia", "name": "NVIDIA H100", "memory_bytes": 2**36, "driver": "580.1", "arch": "9.0"}
    record = {
        "name": "m",
        "host": "node1",
        "cpu": "Intel Xeon",
        "cores": 16,
        "gpus": [gpu, {"name": "other"}],
    }
    row = machine_row(record, {"node2", "node1"}, 7)
    assert (row["machine"], row["hosts"], row["cells"]) == ("m", ["node1", "node2"], 7)
    assert (row["gpus"], row["gpu_driver"], row["gpu_memory_bytes"]) == (
        ["NVIDIA H100", "other"], ["580.1", None], [2**36, None],
    )  # fmt: skip
    assert as_table([row], set_up_schemas.MACHINES).num_rows == 1
    # Of a record from before there were details, what there is.
    assert machine_row({"name": "m", "host": "h"}, ["h"], 1)["gpus"] == []


def test_every_row_fits_its_schema_and_says_everything_by_itself() -> None:
    throughput = tables.throughput_rows(*bench("fork/bench-q8_0-turbo4", 512), BUILD, TINY_GQA2)
    quality = [tables.quality_row(*kl("fork/kld-q8_0-turbo4", "q8_0/turbo4"), BUILD, TINY_GQA2)]
    mark_fallback(quality, "quality")
    for rows, schema in ((throughput, schemas.THROUGHPUT), (quality, quality_schemas.QUALITY)):
        table = as_table(rows, schema)
        assert table.schema.equals(schema, check_metadata=True)
        absent = {name for name in schema.names if table.column(name).null_count}
        of_others = {name for name in schema.names if name.endswith("_rounding") and "window" not in name}
        of_others |= {"slice", "made_from"} | {"reference_commit", "corpus_sha256"} & set(schema.names)
        of_others |= {"likely_engine_commit", "device_free_bytes", "recurrent_bytes"} & set(
            schema.names
        )  # published; with a device; of recurrent layers
        of_the_scorer = {
            name for name in schema.names if "_by_depth" in name or name.endswith(("_low", "_high"))
        }
        of_the_scorer |= {"scored_tokens", "kld_block_stderr", "depth_tokens", "by_position"} & set(
            schema.names
        )
        assert absent == {"reason", "log_line", "fallback", "fallback_why"} | of_others | of_the_scorer
    assert as_table([engine_row(BUILD)], set_up_schemas.ENGINES).to_pylist() == [
        {
            "engine": "e", "engine_commit": "69d8e4be4", "backend": "cpu", "source_kind": "git",
            "source": "git url 69d8e4be4", "version": "version: 1", "compiler": "g++ 14",
            "cmake_options": ["GGML_METAL=OFF"], "environment": ["TURBO_X=0"], "cache_types": ["f16", "q8_0"],
            "files": ["ab12  llama-bench"], "arguments": None, "slice": None, "made_from": None,
        }
    ]  # fmt: skip
    (row,) = as_table([model_row(TINY_GQA2)], set_up_schemas.MODELS).to_pylist()
    assert (row["file_name"], row["n_kv_heads"], row["kv_values_per_token_k"]) == ("tiny.gguf", 2, 1024)
    # What the header of this model has not, and what a slice's rows have.
    unknown = {"recurrent_bytes", "rope_scaling", "n_ctx_original", "slice", "made_from"}
    assert {n for n in row if row[n] is None} == unknown


def test_no_rows_are_a_table_too() -> None:
    assert as_table([], quality_schemas.QUALITY).num_rows == 0


def test_a_column_without_a_schema_is_a_bug() -> None:
    with pytest.raises(ValueError, match="columns without a schema: \\['speed'\\]"):
        as_table([{"speed": 1}], schemas.THROUGHPUT)
