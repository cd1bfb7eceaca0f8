"""What a context needs in memory, and the largest that fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from kvsweep.analysis.memory import largest_contexts, memory
from kvsweep.analysis.schemas import LARGEST_CONTEXT, MEMORY
from kvsweep.tables.published import read_published
from kvsweep.tables.rows import as_table
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
    rows = both("f16", "f16", 0, compute_buffer_bytes=512 * MIB) + both("q8_0", "q8_0", 0)
    (own, *_) = (row for row in largest(rows) if row["ctk"] == "q8_0")
    assert "along f16's" in own["note"]


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
