"""What a context needs in memory, and the largest that fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from kvsweep.analysis.memory import largest_contexts, memory
from kvsweep.analysis.schemas import LARGEST_CONTEXT, MEMORY
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import read_published
from support import ROOT
from synthetic_tables import model_row, throughput_row, unmeasured

Row = dict[str, Any]
K, MIB, GIB = 1024, 2**20, 2**30
PUBLISHED = read_published(ROOT / "resources" / "published")
WEIGHTS = 36_903_138_080  # of the synthetic model


def cells(rows: Iterable[Row]) -> dict[tuple[str, str, int], Row]:
    table = as_table(memory(rows, [model_row()]), MEMORY).to_pylist()
    return {(row["ctk"], row["ctv"], row["depth"]): row for row in table}


def largest(rows: Iterable[Row], *memories: int) -> list[Row]:
    table: list[Row] = as_table(largest_contexts(rows, [model_row()], memories), LARGEST_CONTEXT).to_pylist()
    return table


def both(ctk: str, ctv: str, depth: int, **more: Any) -> list[Row]:
    """Prefill and decode of a cell on a machine of 128 GiB."""
    more = {"machine_memory_bytes": 128 * GIB} | more
    return [throughput_row(ctk, ctv, depth, phase, **more) for phase in ("prefill", "decode")]


def test_what_was_logged_counts() -> None:
    rows = both(
        "q8_0", "q8_0", 8 * K, kv_bytes=100 * MIB, compute_buffer_bytes=300 * MIB, model_buffer_bytes=34 * GIB
    )
    rows[1] |= {"kv_bytes": 97 * MIB, "compute_buffer_bytes": 20 * MIB}
    row = cells(rows)["q8_0", "q8_0", 8 * K]
    assert (row["kv_bytes"], row["kv_from"]) == (100 * MIB, "log")
    assert (row["compute_bytes"], row["compute_from"]) == (300 * MIB, "log")
    assert row["needed_bytes"] == 34 * GIB + 400 * MIB
    assert (row["machine_memory_bytes"], row["fits"], row["surprise"]) == (128 * GIB, True, None)
    assert row["kv_bytes_per_token"] == 10_880


def test_what_ran_out_is_computed_and_marked_if_it_fits() -> None:
    rows = both("f16", "f16", 0, compute_buffer_bytes=200 * MIB) + both(
        "f16", "f16", 8 * K, compute_buffer_bytes=201 * MIB
    )
    rows += [unmeasured(row, "oom", "no memory") for row in both("f16", "f16", 256 * K)]
    row = cells(rows)["f16", "f16", 256 * K]
    assert (row["status"], row["kv_from"], row["compute_from"]) == ("oom", "computed", "log, at other depths")
    assert row["kv_bytes"] == (256 * K + 512) * 20_480
    # From 512 tokens at depth 0 one MiB for each 8K.
    assert row["compute_bytes"] == pytest.approx(200 * MIB + 32 * MIB, rel=1e-6)
    assert row["weights_bytes"] == WEIGHTS
    assert row["surprise"] == "ran out although it fits"


def test_memory_of_a_device_is_what_it_said_was_free() -> None:
    cuda = {"backend": "cuda", "machine_memory_bytes": 512 * GIB}
    row = cells(both("q8_0", "q8_0", 0, device_free_bytes=24 * GIB, **cuda))["q8_0", "q8_0", 0]
    assert (row["machine_memory_bytes"], row["fits"]) == (24 * GIB, False)
    assert row["surprise"] == "ran although it does not fit"
    silent = cells(both("q8_0", "q8_0", 0, **cuda))["q8_0", "q8_0", 0]
    assert (silent["machine_memory_bytes"], silent["fits"]) == (None, None)  # the host's is not the card's


def test_a_cache_of_another_pair_says_nothing_of_this_one() -> None:
    upgraded = both("turbo3", "turbo3", 8 * K, effective_ctk="q8_0", bits_per_value_k=8.5, kv_bytes=99)
    row = cells(upgraded)["turbo3", "turbo3", 8 * K]
    assert (row["remark"], row["kv_bytes"], row["kv_from"]) == ("ran as q8_0/turbo3", None, None)
    fell_back = cells(both("f16", "turbo4", 0, fallback=True, kv_bytes=MIB))["f16", "turbo4", 0]
    assert (fell_back["remark"], fell_back["kv_bytes"]) == ("work left the device", MIB)


def test_the_largest_context() -> None:
    rows = both("f16", "f16", 0, compute_buffer_bytes=512 * MIB) + both(
        "f16", "f16", 64 * K, compute_buffer_bytes=512 * MIB
    )
    own, small, tight = largest(rows, 24 * GIB, WEIGHTS + 512 * MIB + 20_480 * 1000)
    assert (own["memory_is"], own["memory_bytes"]) == ("the machine's own", 128 * GIB)
    assert own["largest_context"] == (128 * GIB - WEIGHTS - 512 * MIB) // 20_480 // 256 * 256
    assert own["note"].startswith("beyond the 256K that the model was trained for")
    assert small["largest_context"] == 0  # not even the weights
    assert tight["largest_context"] == 768
    assert (own["deepest_measured"], own["shallowest_oom"]) == (64 * K, None)


def test_what_is_not_known_is_said() -> None:
    (row, _) = largest(both("q8_0", "q8_0", 0), 24 * GIB)
    assert row["compute_bytes"] is None
    assert "compute buffers are not known and left out" in row["note"]
    unknown = both("q8_0", "q8_0", 0, model="another", model_sha256="00" * 32)
    (row, _) = largest(unknown, 24 * GIB)
    assert (row["largest_context"], row["note"]) == (None, "the weights' size is not known")


def test_buffers_of_a_pair_without_any_are_those_of_another() -> None:
    rows = both("f16", "f16", 8 * K, compute_buffer_bytes=512 * MIB) + both("q8_0", "q8_0", 0)
    (own, *_) = (row for row in largest(rows) if row["ctk"] == "q8_0")
    assert "along f16's" in own["note"]


# -- kinds of layers ------------------------------------------------------------------------------------------


def of_model(model: Row, rows: Iterable[Row], *memories: int) -> list[Row]:
    shared = {"model": model["model"], "model_sha256": model["model_sha256"]}
    rows = [row | shared for row in rows]
    table: list[Row] = as_table(largest_contexts(rows, [model], memories), LARGEST_CONTEXT).to_pylist()
    return table


# Gemma 3 4B: 5 layers with everything, 29 with a window of 1,024 tokens; 4 KV heads of 256 values.
GEMMA = model_row() | {
    "architecture": "gemma3", "n_ctx_train": 128 * K, "file_bytes": 7 * GIB,
    "kv_values_per_token_k": 34 * 1024, "kv_values_per_token_v": 34 * 1024,
    "kv_kinds": ["full", "window"], "kv_kind_values_k": [5 * 1024, 29 * 1024],
    "kv_kind_values_v": [5 * 1024, 29 * 1024], "kv_kind_windows": [None, 1024],
}  # fmt: skip


def test_layers_with_a_window_do_not_grow() -> None:
    rows = both("f16", "f16", 8 * K, compute_buffer_bytes=512 * MIB)
    (_, row) = of_model(GEMMA, rows, 24 * GIB)
    windows = 29 * 1536 * 2048 * 2  # 1,024 tokens and one micro-batch
    assert row["kv_bytes_per_token"] == 20 * K
    assert row["largest_context"] == (24 * GIB - 7 * GIB - 512 * MIB - windows) // (20 * K) // 256 * 256
    # More than six times what it was trained for: nobody is told to use that.
    assert row["recommended_context"] == 128 * K
    assert "beyond the 128K that the model was trained for" in row["note"]


def test_the_logged_caches_count_where_the_header_does_not_tell() -> None:
    unknown = GEMMA | {"kv_kinds": None, "kv_values_per_token_k": None, "kv_values_per_token_v": None}
    logged = {
        "cache_kinds": ["full", "window"], "cache_cells": [8704, 1536], "cache_streams": [1, 1],
        "cache_bytes": [8704 * 20 * K, 1536 * 29 * 4096], "bits_per_value_k": None, "bits_per_value_v": None,
    }  # fmt: skip
    rows = both("f16", "f16", 8 * K, compute_buffer_bytes=512 * MIB, **logged)
    (_, from_log) = of_model(unknown, rows, 24 * GIB)
    (_, from_header) = of_model(GEMMA, both("f16", "f16", 8 * K, compute_buffer_bytes=512 * MIB), 24 * GIB)
    assert from_log["largest_context"] == from_header["largest_context"]
    (_, nothing) = of_model(unknown, both("f16", "f16", 8 * K, compute_buffer_bytes=512 * MIB), 24 * GIB)
    assert (nothing["largest_context"], nothing["note"]) == (None, "the KV cache's size is not known")


def test_a_cache_without_v() -> None:
    mla = GEMMA | {
        "architecture": "deepseek2", "kv_kinds": ["full"], "kv_kind_values_k": [47 * 576],
        "kv_kind_values_v": [0], "kv_kind_windows": [None], "kv_values_per_token_v": 0,
    }  # fmt: skip
    rows = both("q8_0", "q8_0", 8 * K, bits_per_value_k=8.5, bits_per_value_v=None)
    assert of_model(mla, rows)[0]["kv_bytes_per_token"] == 47 * 576 * 8.5 / 8


def test_recurrent_state_is_needed_too() -> None:
    rows = both(
        "f16", "f16", 8 * K, compute_buffer_bytes=512 * MIB, kv_bytes=200 * MIB, recurrent_bytes=50 * MIB
    )
    row = cells(rows)["f16", "f16", 8 * K]
    assert row["kv_bytes"] == 200 * MIB
    assert row["needed_bytes"] == WEIGHTS + 762 * MIB


# -- how compute buffers grow ---------------------------------------------------------------------------------


def with_compute(ctk: str, depth: int, decode_mib: float, prefill_mib: float) -> list[Row]:
    """A cell of which the two tests, 256 tokens apart, have compute buffers of these sizes."""
    prefill, decode = both(ctk, ctk, depth)
    prefill["compute_buffer_bytes"], decode["compute_buffer_bytes"] = (
        round(mib * MIB) for mib in (prefill_mib, decode_mib)
    )
    return [prefill, decode]


def test_buffers_that_begin_to_grow_within_the_deepest_cell() -> None:
    """Flat to 8K, then 3,072 bytes a token: between the depths there is hardly a slope."""
    rows = with_compute("f16", 0, 500, 500) + with_compute("f16", 32 * K, 501, 501.75)
    (row,) = [row for row in largest(rows, WEIGHTS + 4 * GIB) if "own" not in row["memory_is"]]
    expected = 501.75 * MIB + 3072 * (row["largest_context"] - (32 * K + 512))
    assert row["compute_bytes"] == pytest.approx(expected, rel=1e-6)


def test_the_steepest_slope_of_the_set_up_counts() -> None:
    rows = with_compute("f16", 32 * K, 500, 500) + with_compute("q8_0", 32 * K, 501, 501.75)
    small = WEIGHTS + 4 * GIB
    (row,) = [row for row in largest(rows, small) if row["ctk"] == "f16" and row["memory_bytes"] == small]
    assert row["compute_bytes"] > 500 * MIB


def test_beyond_a_cell_of_one_test_nothing_is_known() -> None:
    rows = with_compute("f16", 32 * K, 500, 500)[:1]
    own, small = largest(rows, WEIGHTS + 600 * MIB)
    assert (own["largest_context"], own["recommended_context"]) == (None, None)
    assert "compute buffers are not known beyond 33280 tokens, which fit" in own["note"]
    assert small["largest_context"] == 100 * MIB // 20_480 // 256 * 256  # that is nearer than the cell
    assert "cell" not in small["note"]


def test_the_paper_ran_out_where_the_account_says_it_fits() -> None:
    rows = as_table(memory(PUBLISHED.throughput, PUBLISHED.models), MEMORY).to_pylist()
    marked = [(row["ctk"], row["depth"]) for row in rows if row["surprise"]]
    assert marked == [("f16", 256 * K), ("q8_0", 512 * K)]
    skipped = [row for row in rows if row["status"] == "skipped"]
    assert {(row["ctk"], row["ctv"], row["depth"]) for row in skipped} == {
        ("f16", "turbo4", n * K) for n in (256, 512)
    }
    table = as_table(
        largest_contexts(PUBLISHED.throughput, PUBLISHED.models, []), LARGEST_CONTEXT
    ).to_pylist()
    (q8_0,) = [row for row in table if (row["ctk"], row["ctv"]) == ("q8_0", "q8_0")]
    assert (q8_0["deepest_measured"], q8_0["shallowest_oom"]) == (256 * K, 512 * K)
    assert "ran out of memory from 5.01 GiB of KV cache on" in q8_0["note"]
    assert "the largest that ran had 3.99 GiB" in q8_0["note"]
