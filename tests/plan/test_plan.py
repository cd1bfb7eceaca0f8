"""What a run will need, do and take: sizes as real engines log them, and nothing invented."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from kvsweep.engine import commands, sizes
from kvsweep.engine.bench_output import parse_bench
from kvsweep.engine.log import parse_engine_log
from kvsweep.inputs.kv_layers import FULL, WINDOW, LayerGroup
from kvsweep.inputs.model_header import ModelHeader, read_header
from kvsweep.measure.prediction import Rates
from kvsweep.plan.as_data import as_json
from kvsweep.plan.needs import Finished, ModelFile, perplexity_estimate
from kvsweep.plan.plan import Item, Known, Plan, Resources, make_plan
from kvsweep.plan.view import as_text
from kvsweep.plan.warnings import warnings
from kvsweep.study.config import parse_study
from kvsweep.study.pairs import KNOWN_TYPES, Pair
from kvsweep.tables.raw_cells import Outcome, RawCell, identity
from kvsweep.units import format_bytes
from support import Workplace, measure, recorded, run_program, write_model

GIB = 2**30
F16 = Pair("f16", "f16")


def qwen(path: Path, layers: int, heads: int, kv_heads: int) -> ModelHeader:
    """The header of one of the Qwen 3.6 models: a KV cache in every fourth layer only."""
    values = {
        "qwen35moe.context_length": 262144,
        "qwen35moe.embedding_length": 2048,
        "qwen35moe.block_count": layers,
        "qwen35moe.full_attention_interval": 4,
        "qwen35moe.attention.head_count": heads,
        "qwen35moe.attention.head_count_kv": kv_heads,
        "qwen35moe.attention.key_length": 256,
        "qwen35moe.attention.value_length": 256,
        "qwen35moe.vocab_size": 248_320,
    }
    return read_header(write_model(path, "qwen35moe", values), "models.qwen.path")


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> ModelHeader:
    """Qwen3.6-35B-A3B: 40 layers, GQA ratio 8."""
    return qwen(tmp_path_factory.mktemp("moe") / "model.gguf", 40, 16, 2)


def shape(layers: int, kv_heads: int, head: int) -> ModelHeader:
    """A header of which only the shape of the KV cache matters."""
    return ModelHeader("llama", "F16", 0, layers, 8, (kv_heads,) * layers, head, head, 259, 0)


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_the_kv_cache_of_the_paper_s_model(moe: ModelHeader) -> None:
    assert moe.kv_width_k + moe.kv_width_v == 10_240
    assert sizes.kv_bytes(moe, F16, sizes.CacheShape(1)) == 20 * 1024
    assert sizes.kv_bytes(moe, F16, sizes.CacheShape(256 * 1024)) == 5 * GIB
    assert sizes.kv_bytes(moe, Pair("q8_0", "turbo4"), sizes.CacheShape(256 * 1024)) / GIB == 5 * 6.375 / 16


def test_what_a_token_takes_in_each_cache_type(moe: ModelHeader) -> None:
    per_token = sizes.kv_bytes_per_token(moe.kv_groups or ())
    assert set(per_token) == set(KNOWN_TYPES)
    assert (per_token["f16"], per_token["q8_0"], per_token["q4_0"]) == (20_480, 10_880, 5_760)
    assert (per_token["turbo4"], per_token["turbo3"]) == (5_440, 4_000)
    for name, size in per_token.items():
        assert sizes.kv_bytes(moe, Pair(name, name), sizes.CacheShape(256)) == 256 * size
    # The fork pads the heads of its own types only: 64 values take the space of 128.
    small = sizes.kv_bytes_per_token([LayerGroup(FULL, (1,), 64, 64)])
    assert (small["q8_0"], small["turbo4"]) == (136, 136)


def test_the_kv_cache_of_the_dense_27b(tmp_path: Path) -> None:
    dense = qwen(tmp_path / "model.gguf", 64, 24, 4)
    assert dense.kv_width_k + dense.kv_width_v == 32_768
    assert sizes.kv_bytes(dense, F16, sizes.CacheShape(1)) == 64 * 1024


@pytest.mark.parametrize(
    ("name", "header", "pair"),
    [
        ("mainline/bench-f16-f16", shape(4, 2, 128), "f16"),
        ("mainline/bench-q4_0-q4_0", shape(4, 2, 128), "q4_0"),
        ("fork/bench-f16-f16", shape(4, 2, 128), "f16"),
        ("fork/bench-q8_0-turbo4", shape(4, 2, 128), "q8_0/turbo4"),
        ("fork/bench-turbo3-turbo3-gqa8-pinned", shape(10, 1, 128), "turbo3"),
        ("fork-cuda/bench-f16-f16", shape(32, 8, 128), "f16"),
    ],
)
def test_llama_bench_makes_caches_of_just_this_size(name: str, header: ModelHeader, pair: str) -> None:
    tests = parse_bench(recorded(f"{name}.jsonl"))
    contexts = parse_engine_log(recorded(f"{name}.stderr")).contexts
    assert len(tests) == len(contexts) > 2
    for test, context in zip(tests, contexts, strict=True):
        cache = sizes.bench_cache(test.n_depth, test.n_prompt + test.n_gen)
        (logged,) = context.kv_caches
        assert cache.cells == logged.cells
        assert sizes.kv_bytes(header, Pair.parse(pair), cache) / 2**20 == pytest.approx(
            logged.size_mib, abs=0.006
        )


@pytest.mark.parametrize(
    ("name", "n_ctx", "pair"),
    [
        ("fork/baseline-f16", 1024, "f16"),
        ("fork/kld-q8_0-turbo4", 1024, "q8_0/turbo4"),
        ("fork/kld-turbo3-turbo3", 1024, "turbo3"),
        ("fork/kld-context-mismatch", 512, "q8_0"),
        ("fork/baseline-corpus-too-short", 32768, "f16"),
    ],
)
def test_llama_perplexity_makes_a_cache_of_just_this_size(name: str, n_ctx: int, pair: str) -> None:
    (context,) = parse_engine_log(recorded(f"{name}.stderr")).contexts
    (logged,) = context.kv_caches
    cache = sizes.perplexity_cache(n_ctx)
    assert (cache.cells, cache.streams) == (logged.cells, logged.n_stream)
    size = sizes.kv_bytes(shape(4, 2, 128), Pair.parse(pair), cache)
    assert size / 2**20 == pytest.approx(logged.size_mib, abs=0.006)


def test_short_contexts_are_padded_in_every_stream() -> None:
    assert sizes.perplexity_cache(100) == sizes.CacheShape(cells=256, streams=20)
    assert sizes.perplexity_cache(3000) == sizes.CacheShape(cells=3072, streams=1)


def test_the_fork_pads_the_heads_of_turbo_types_only() -> None:
    header, token = shape(layers=1, kv_heads=1, head=64), sizes.CacheShape(1)
    assert sizes.kv_bytes(header, Pair("turbo4", "turbo4"), token) == 2 * 68
    assert sizes.kv_bytes(header, Pair("q8_0", "turbo4"), token) == 68 + 68
    assert sizes.kv_bytes(header, Pair("q8_0", "q8_0"), token) == 2 * 68


def test_logits_take_more_memory_than_the_cache_at_32k(moe: ModelHeader) -> None:
    row = 2 * (248_320 + 4)  # of the baseline, bytes
    reading = sizes.perplexity_host_bytes(32768, moe.n_vocab, writes_baseline=False)
    assert reading == 16384 * 248_320 * 4 + 2048 * 248_320 * 4 + 16383 * row
    assert sizes.perplexity_host_bytes(32768, moe.n_vocab, writes_baseline=True) - reading == 16385 * row


@pytest.mark.parametrize(
    ("n_ctx", "writes_baseline", "peak_rss_mib"),
    [(2048, True, 377), (2048, False, 313), (4096, True, 882), (4096, False, 756)],
)
def test_the_memory_that_llama_perplexity_really_took(
    n_ctx: int, writes_baseline: bool, peak_rss_mib: int
) -> None:
    """Measured once with the llama.cpp of llama-cpp-python 0.3.36 and a small model with a vocabulary of 32,003."""
    host_mib = sizes.perplexity_host_bytes(n_ctx, 32_003, writes_baseline) / 2**20
    weights_mib, compute_mib = 37.5, 512 * 32_003 * 4 / 2**20  # the logits of one ubatch
    assert peak_rss_mib - host_mib - weights_mib - compute_mib == pytest.approx(
        29, abs=4
    )  # the rest of the program


def test_no_logits_are_gathered_where_a_window_is_one_batch() -> None:
    assert (
        sizes.perplexity_host_bytes(512, 1000, writes_baseline=False) == 4 * 256 * 1000 * 4 + 255 * 2 * 1004
    )


def test_the_context_from_which_on_old_builds_crash(moe: ModelHeader) -> None:
    assert not sizes.baseline_overflows_int(8647, moe.n_vocab)
    assert sizes.baseline_overflows_int(8648, moe.n_vocab)


def test_the_batch_size_is_the_one_of_the_commands() -> None:
    command = commands.baseline(
        Path("llama-perplexity"), commands.PerplexityRequest("m", "c", 512), 4, Path("l")
    )
    assert command[command.index("-b") + 1] == str(sizes.N_BATCH)


# -- kinds of layers ---------------------------------------------------------------------------------------------------


def gemma(path: Path, **more: Any) -> ModelHeader:
    """Gemma 3 4B: 5 layers with everything, 29 with a window of 1,024 tokens."""
    values = {
        "gemma3.context_length": 131072, "gemma3.embedding_length": 2560, "gemma3.block_count": 34,
        "gemma3.attention.head_count": 8, "gemma3.attention.head_count_kv": 4,
        "gemma3.attention.key_length": 256, "gemma3.attention.value_length": 256,
        "gemma3.attention.sliding_window": 1024, "gemma3.vocab_size": 262144, **more,
    }  # fmt: skip
    return read_header(write_model(path, "gemma3", values), "models.gemma.path")


@pytest.mark.parametrize(("cells", "streams", "mib"), [(512, 8, 544), (33280, 1, 824), (120064, 1, 2519)])
def test_layers_with_a_window_keep_no_more_than_that(
    tmp_path: Path, cells: int, streams: int, mib: int
) -> None:
    """Eight streams of 512 cells are logged as 80 + 464 MiB."""
    size = sizes.kv_bytes(gemma(tmp_path / "m.gguf"), F16, sizes.CacheShape(cells, streams))
    assert size is not None and size / 2**20 == mib


def test_the_newest_mainline_makes_caches_of_just_this_size() -> None:
    """Gemma 3 270M on an H200, at 32K: 3 layers with everything, 15 with a window of 512 tokens."""
    header = ModelHeader(
        "gemma3", "", 0, 18, 4, (1,) * 18, 256, 256, 262144, 32768,
        (LayerGroup(FULL, (1,) * 3, 256, 256), LayerGroup(WINDOW, (1,) * 15, 256, 256, 512)),
    )  # fmt: skip
    size = sizes.kv_bytes(header, Pair("q4_0", "q4_0"), sizes.bench_cache(32768, 512))
    assert size is not None and size / 2**20 == pytest.approx(27.42 + 4.22, abs=0.01)


def test_the_plan_says_what_does_not_grow_and_what_is_beyond_training(
    tmp_path: Path, moe: ModelHeader
) -> None:
    config = CONFIG | {"throughput": CONFIG["throughput"] | {"depths": [0, "64K", "128K", "256K"]}}
    plan = plan_of(gemma(tmp_path / "m.gguf"), config=config)
    text = as_text(plan, "machine")
    assert (
        "KV cache of 20 KiB a token at f16, and of 29 layers no more than a window of 1K tokens"
        in " ".join(text.split())
    )
    beyond, behind = [line for line in warnings(plan) if line.startswith("trained")]
    assert beyond.startswith(
        "trained: depth 256K of qwen is more than the 128K tokens that it was trained for;"
    )
    assert behind.startswith(
        "trained: depth 128K with the 512 tokens that are timed there of qwen is more than the 128K tokens"
    )
    (line,) = [line for line in warnings(plan_of(moe)) if line.startswith("trained")]
    assert line.startswith("trained: depth 256K with the 512 tokens that are timed there of qwen")
    stretched = gemma(tmp_path / "s.gguf", **{"gemma3.rope.scaling.original_context_length": 32768})
    lines = [line for line in warnings(plan_of(stretched, config=config)) if line.startswith("trained")]
    assert all("(from 32K by scaling of positions)" in line for line in lines) and len(lines) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"throughput": {"depths": [0], "prompt": 262144}},
            "depth 0 with the 256K tokens that are timed there",
        ),
        (
            {"throughput": {"depths": [0, "127K"], "generate": 4096}},
            "depth 127K with the 4K tokens that are timed",
        ),
        ({"quality": {"contexts": ["256K"], "chunks": 8}}, "context 256K"),
        ({"quality": {"contexts": ["256K"], "chunks": 8, "method": "scorer"}}, "context 256K"),
        ({"tasks": {"r": {"kind": "recall", "contexts": [4096, "256K"]}}}, "context of tasks 256K"),
        (
            {"workloads": {"rag": {"depth": 0, "prompt_tokens": "256K", "generated_tokens": 1}}},
            "the workload rag",
        ),
    ],
)
def test_whatever_is_longer_than_the_model_was_trained_for_is_said(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    config = {key: value for key, value in CONFIG.items() if key not in ("quality", "throughput", "tasks")}
    plan = plan_of(gemma(tmp_path / "m.gguf"), config=config | {"throughput": {"depths": [0]}} | change)
    (line,) = [line for line in warnings(plan) if line.startswith("trained")]
    assert line.startswith(f"trained: {said}") and "128K" in line and "nothing is recommended" in line


def test_a_cache_that_the_header_does_not_tell_is_said_and_not_counted() -> None:
    unknown = dataclasses.replace(shape(4, 2, 128), kv_groups=None, architecture="new")
    plan = plan_of(unknown)
    needs = item(plan, "throughput/fork/qwen/d262144/k-f16/v-f16").needs
    assert needs is not None and needs.kv_bytes is None
    assert needs.memory_bytes("metal") == 35 * GIB
    assert any("the header of qwen does not tell the size of its KV cache (new)" in w for w in warnings(plan))
    assert "does not tell" in as_text(plan, "machine")


def test_recurrent_state_is_part_of_what_a_cell_needs(moe: ModelHeader) -> None:
    with_state = dataclasses.replace(moe, recurrent_bytes=50 * 2**20)
    before, now = (
        item(plan_of(header), "throughput/fork/qwen/d8192/k-f16/v-f16").needs for header in (moe, with_state)
    )
    assert before is not None and now is not None
    assert (now.kv_bytes or 0) - (before.kv_bytes or 0) == 50 * 2**20
    assert now.host_bytes - before.host_bytes == 50 * 2**20  # it is saved and restored


# -- plans ------------------------------------------------------------------------------------------------------------

CONFIG: dict[str, Any] = {
    "engines": {"fork": {"source": {"path": "a"}, "env": {"TURBO_AUTO_ASYMMETRIC": 0}}},
    "models": {"qwen": {"path": "models/qwen.gguf"}},
    "corpora": {"wiki": {"path": "wiki.txt"}},
    "pairs": ["f16", "q8_0/turbo4"],
    "quality": {"contexts": ["4K", "32K"], "chunks": 8},
    "throughput": {"depths": [0, "8K", "256K"], "prompt": 512, "generate": 128, "repetitions": 3},
    "limits": {"cell_hours": 1},
}
ROOMY = Resources(memory_bytes=512 * GIB, available_memory_bytes=500 * GIB, free_disk_bytes=1000 * GIB)


def plan_of(moe: ModelHeader, resources: Resources = ROOMY, **known: Any) -> Plan:
    facts = {"backends": {"fork": "metal"}, "models": {"qwen": ModelFile(moe, 35 * GIB)}, **known}
    return make_plan(parse_study(facts.pop("config", CONFIG)), Known(resources, **facts))


def item(plan: Plan, directory: str) -> Item:
    return next(i for i in (*plan.baselines, *plan.cells) if str(i.run.directory) == directory)


def raw(directory: str, status: str = "measured", **run: Any) -> dict[str, RawCell]:
    cell = identity(directory)
    assert cell is not None
    said = {name: value for name, value in vars(cell).items() if isinstance(value, str | int)} | run
    return {directory: RawCell(cell, Path(directory), said, (Outcome(None, status, None),))}


def test_sizes_of_a_throughput_cell(moe: ModelHeader) -> None:
    needs = item(plan_of(moe), "throughput/fork/qwen/d262144/k-f16/v-f16").needs
    assert needs is not None
    assert needs.kv_bytes == (256 * 1024 + 512) * 20 * 1024
    assert needs.host_bytes == 5 * GIB  # the state that is restored for every repetition
    assert needs.memory_bytes("metal") == 35 * GIB + needs.kv_bytes + 5 * GIB
    assert needs.memory_bytes("cuda") == 5 * GIB


def test_without_measured_cells_there_is_no_estimate_but_a_limit(moe: ModelHeader) -> None:
    plan = plan_of(moe)
    assert len(plan.to_do) == len(plan.without_estimate) == 3 * 2 + 2 * 2 + 2
    assert plan.longest_seconds == 12 * 3600
    said = as_text(plan, "machine")
    assert "no estimate for 12 runs" in said and "time: at most " in said


def test_without_the_model_s_file_sizes_are_unknown(moe: ModelHeader) -> None:
    plan = plan_of(moe, models={})
    assert warnings(plan) == ["models.qwen: its sizes are unknown until models/qwen.gguf is there"]
    assert as_json(plan)["totals"]["baseline_disk_bytes"] is None
    assert "sizes unknown" in as_text(plan, "machine")


def test_times_of_deep_cells_come_from_shallower_ones(moe: ModelHeader) -> None:
    curve = {0: Rates(1000, 80), 8192: Rates(1000, 80)}
    plan = plan_of(moe, curves={("fork", "qwen", F16): curve})
    estimate = item(plan, "throughput/fork/qwen/d262144/k-f16/v-f16").estimate
    assert estimate is not None
    assert estimate.seconds == pytest.approx(262144 / 1000 + 4 * 512 / 1000 + 3 * 128 / 80)
    assert estimate.basis == "measured at depth 0, 8K"
    assert item(plan, "throughput/fork/qwen/d262144/k-q8_0/v-turbo4").estimate is None


def test_a_cell_over_the_time_limit_will_be_skipped_and_costs_no_time(moe: ModelHeader) -> None:
    curve = {0: Rates(50, 80), 8192: Rates(10, 8)}
    plan = plan_of(moe, curves={("fork", "qwen", F16): curve})
    assert [str(i.run) for i in plan.skipped] == ["throughput f16 at depth 256K (fork, qwen)"]
    assert plan.longest_seconds == 11 * 3600
    assert any("at depth 256K" in line and "will be skipped" in line for line in warnings(plan))


def test_quality_times_come_from_the_same_context_or_the_nearest() -> None:
    finished = [
        Finished("fork", "qwen", 4096, 1000, 10.0),
        Finished("fork", "qwen", 4096, 1000, 30.0),
        Finished("fork", "qwen", 512, 1000, 1.0),
        Finished("mainline", "qwen", 32768, 1000, 1000.0),
    ]
    same = perplexity_estimate("fork", "qwen", 4096, 2000, finished)
    assert same is not None
    assert (same.seconds, same.basis) == (40.0, "2 measured at context 4K")
    deeper = perplexity_estimate("fork", "qwen", 32768, 1000, finished)
    assert deeper is not None
    assert (deeper.seconds, deeper.basis) == (20.0, "2 measured at context 4K")
    assert perplexity_estimate("fork", "other", 4096, 2000, finished) is None


def test_only_measured_quality_cells_tell_a_time(moe: ModelHeader) -> None:
    cell = "quality/fork/qwen/wiki/c4096/k-f16/v-f16"
    for status, expected in (("measured", 60.0), ("crashed", None)):
        plan = plan_of(moe, cells=raw(cell, status, chunks=8, wall_seconds=60.0))
        estimate = item(plan, "quality/fork/qwen/wiki/c4096/k-q8_0/v-turbo4").estimate
        assert (estimate and estimate.seconds) == expected


def test_done_is_what_has_a_record_with_the_values_of_the_configuration(moe: ModelHeader) -> None:
    cells = {
        **raw("quality/fork/qwen/wiki/c4096/k-f16/v-f16", chunks=8, wall_seconds=60.0),
        **raw("throughput/fork/qwen/d0/k-f16/v-f16", "oom", prompt=512, generate=128, repetitions=3),
        **raw("throughput/fork/qwen/d8192/k-f16/v-f16", prompt=512, generate=64, repetitions=3),
    }
    plan = plan_of(moe, cells=cells)
    assert not item(plan, "throughput/fork/qwen/d8192/k-f16/v-f16").done
    totals = as_json(plan)["totals"]
    assert (totals["throughput"]["done"], totals["throughput"]["by_status"]) == (1, {"oom": 1})
    assert (totals["quality"]["done"], totals["quality"]["cells"]) == (1, 4)
    assert "  fork: generate 64 -> 128: 1 throughput\n" in as_text(plan, "machine")


# -- warnings ---------------------------------------------------------------------------------------------------------


def test_a_baseline_that_does_not_fit_the_disk_beside_the_others(moe: ModelHeader) -> None:
    plan = plan_of(moe, Resources(512 * GIB, None, 10 * GIB))
    (line,) = [line for line in warnings(plan) if line.startswith("disk: ")]
    assert line.startswith(
        "disk: the baseline at context 32K (fork, qwen, wiki) takes 60.6 GiB and 2.43 GiB will be"
    )


def test_cells_that_do_not_fit_the_memory_are_named_by_pair(moe: ModelHeader) -> None:
    plan = plan_of(moe, Resources(44 * GIB, 30 * GIB, 1000 * GIB))
    lines = [line for line in warnings(plan) if line.startswith("memory: ")]
    assert lines[0].startswith("memory: the baseline at context 32K (fork, qwen, wiki) needs 67.8 GiB")
    assert (
        lines[1]
        == "memory: throughput of f16 at depth 256K (fork, qwen) needs 45 GiB or more, this machine has 44 GiB"
    )
    assert lines[-1].startswith(
        "memory: 8 runs of 12 need more than the 30 GiB that are free now, up to 40.8 GiB"
    )


def test_weights_that_do_not_fit_are_said_once(moe: ModelHeader) -> None:
    plan = plan_of(moe, Resources(24 * GIB, None, 1000 * GIB))
    (line,) = [line for line in warnings(plan) if line.startswith("memory: ")]
    assert (
        line
        == "memory: the weights of qwen alone take 35 GiB, this machine has 24 GiB (no cell of fork, qwen will fit)"
    )


def gpu_line(plan: Plan) -> str | None:
    return next((line for line in warnings(plan) if line.startswith("gpu: ")), None)


def test_what_a_mac_s_gpu_may_hold(moe: ModelHeader) -> None:
    """35 GiB of weights, up to 5 GiB of cache."""
    roomy = Resources(128 * GIB, 120 * GIB, 1000 * GIB)
    assert gpu_line(plan_of(moe, roomy)) is None
    told = dataclasses.replace(roomy, gpu_limit_bytes=38 * GIB)
    assert gpu_line(plan_of(moe, told)) == (
        "gpu: 1 run may need up to 40 GiB for the GPU, which may hold 38 GiB (as it was told); "
        "sudo sysctl iogpu.wired_limit_mb=43018 raises that until the next restart"
    )
    # Left to macOS, it is about three quarters; 40 GiB can be had of 48, but not with compute buffers beside them.
    small = gpu_line(plan_of(moe, Resources(48 * GIB, 40 * GIB, 1000 * GIB)))
    assert small is not None and "which may hold 36 GiB (about three quarters, if macOS decides)" in small
    assert small.endswith(" for 1 of them; the others do not fit")
    none = gpu_line(plan_of(moe, Resources(41 * GIB, 40 * GIB, 1000 * GIB)))
    assert none is not None and none.endswith("no more to give it, expect them to run out of memory")
    # It concerns no other back end, and no one who does not know the memory.
    assert gpu_line(plan_of(moe, told, backends={"fork": "cpu"})) is None
    assert gpu_line(plan_of(moe, Resources(None, None, 0, 2**30))) is None


def test_weights_on_a_graphics_card_need_no_memory_of_the_machine(moe: ModelHeader) -> None:
    plan = plan_of(moe, Resources(64 * GIB, None, 1000 * GIB), backends={"fork": "cuda"})
    assert not any(line.startswith("memory: ") for line in warnings(plan))


def test_a_baseline_that_old_builds_cannot_write(moe: ModelHeader) -> None:
    (line,) = [line for line in warnings(plan_of(moe)) if line.startswith("crash: ")]
    assert "baseline of 32768 tokens at a vocabulary of 248320" in line


@pytest.mark.parametrize(
    ("pair", "env", "expected"),
    [
        ("turbo3", {}, "may run K of turbo3 as q8_0 on qwen (GQA ratio 8)"),
        ("turbo3", {"TURBO_AUTO_ASYMMETRIC": 0}, None),
        ("q8_0/turbo3", {}, None),
        ("q8_0/turbo2", {}, "may keep V of the outer layers of q8_0/turbo2 at q8_0 on qwen"),
        ("q8_0/turbo2", {"TURBO_LAYER_ADAPTIVE": 0}, None),
    ],
)
def test_types_that_the_fork_may_change(
    moe: ModelHeader, pair: str, env: dict[str, int], expected: str | None
) -> None:
    config = {**CONFIG, "pairs": [pair], "engines": {"fork": {"source": {"path": "a"}, "env": env}}}
    lines = [line for line in warnings(plan_of(moe, config=config)) if line.startswith("types: ")]
    assert [expected in line for line in lines] == [True] if expected else not lines


# -- the machine, the text, the program -------------------------------------------------------------------------------


def test_the_table_has_a_line_for_each_pair_and_a_column_for_each_depth(moe: ModelHeader) -> None:
    lines = [" ".join(line.split()) for line in as_text(plan_of(moe), "Apple M5 Max 128GB").splitlines()]
    assert "fork (metal), qwen: 35 GiB of weights, KV cache of 20 KiB a token at f16" in lines
    assert "pair bits/value d0 d8K d256K c4K c32K done" in lines
    assert "f16 16 10 MiB 170 MiB 5.01 GiB 80 MiB 640 MiB 0/5" in lines
    assert "q8_0/turbo4 6.375 3.98 MiB 67.7 MiB 2 GiB 31.9 MiB 255 MiB 0/5" in lines


@pytest.mark.parametrize("context", [512, 4096])
def test_a_context_of_both_methods_shows_the_larger_cache(moe: ModelHeader, context: int) -> None:
    """llama-perplexity scores four windows of 512 at once, the scorer has an f16 cache beside each pair."""
    both = {"contexts": [context], "chunks": 8, "method": ["perplexity", "scorer"]}
    plan = plan_of(moe, config={**CONFIG, "quality": both})
    needs = [
        item.needs.kv_bytes or 0
        for item in plan.cells
        if item.run.kind == "quality" and str(item.run.pair) == "f16"
    ]
    assert len(set(needs)) > 1
    lines = as_text(plan, "Apple M5 Max 128GB").splitlines()
    (row,) = (line.split() for line in lines if line.startswith("  f16 "))
    assert " ".join(row[-3:-1]) == format_bytes(max(needs))
    assert "in steps of 256; by the scorer with the f16 cache beside." in "\n".join(lines)
    assert "in steps of 256." in as_text(plan_of(moe), "Apple M5 Max 128GB")


def test_a_large_configuration_makes_a_short_text(moe: ModelHeader) -> None:
    types = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
    config = {**CONFIG, "pairs": [f"{k}/{v}" for k in types for v in types]}
    config["throughput"] = {"depths": list(range(0, 130 * 1024, 1024))}
    plan = plan_of(moe, Resources(36 * GIB, None, GIB), config=config)
    assert len(plan.cells) > 10_000
    text = as_text(plan, "machine")
    assert len(text.splitlines()) < 70
    assert "57 more pairs in plan.json" in text
    assert len(as_json(plan)["cells"]) == len(plan.cells) + len(plan.baselines)


def test_the_program_on_measured_cells(with_baseline: Workplace) -> None:
    for depth in (0, 512):
        assert measure(with_baseline.throughput_command("f16/f16", depth)).returncode == 0
    assert measure(with_baseline.quality_command("f16/f16")).returncode == 0
    model = write_model(with_baseline.root / "tiny.gguf")
    done = run_plan(with_baseline, str(model))
    assert done["totals"]["throughput"] == {"cells": 6, "done": 2, "by_status": {"measured": 2}}
    assert done["totals"]["baseline_disk_bytes_to_write"] == 0
    cells = {cell["directory"]: cell for cell in done["cells"]}
    deep = cells["throughput/stand-in/tiny/d2048/k-f16/v-f16"]
    assert deep["kv_bytes"] == (2048 + 256) * 2048 * 2
    assert deep["estimate_basis"] == "measured at depth 0, 512"
    assert cells["throughput/stand-in/tiny/d2048/k-q8_0/v-q8_0"]["estimated_seconds"] is None
    assert cells["quality/stand-in/tiny/text/c1024/k-q8_0/v-q8_0"]["estimated_seconds"] > 0


def test_the_program_needs_no_engine_no_model_and_no_results(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    plan = run_plan(place, "nothing.gguf")
    assert plan["totals"]["to_do"] == 9
    assert plan["cells"][0]["kv_bytes"] is None
    shutil.rmtree(place.results)


def run_plan(place: Workplace, model: str) -> dict[str, Any]:
    """The plan.json of a small configuration of the stand-in engine."""
    config = {
        "engines": {"stand-in": {"source": {"path": "."}, "backend": "cpu", "env": {"TURBO_EXAMPLE": 1}}},
        "models": {"tiny": {"path": model}},
        "corpora": {"text": {"path": "text.txt"}},
        "pairs": ["f16", "q8_0"],
        "quality": {"contexts": ["1K"], "chunks": 8},
        "throughput": {"depths": [0, 512, "2K"], "prompt": 64, "generate": 16, "repetitions": 3},
    }
    done = run_program(
        *("make_plan.py", "--results", place.results, "--base", place.root, "--config", json.dumps(config))
    )
    assert done.returncode == 0, done.stderr
    assert "stand-in (cpu), tiny" in done.stdout
    plan: dict[str, Any] = json.loads((place.results / "plan.json").read_text())
    return plan


def test_the_longest_time_is_said_only_where_nothing_better_is_known(moe: ModelHeader) -> None:
    config = {**CONFIG, "pairs": ["f16"], "throughput": {**CONFIG["throughput"], "depths": ["256K"]}}
    config = {key: value for key, value in config.items() if key not in ("quality", "corpora")}
    curve = {0: Rates(1000, 80), 8192: Rates(1000, 80)}
    said = as_text(plan_of(moe, config=config, curves={("fork", "qwen", F16): curve}), "machine")
    assert "time: about " in said and "at most" not in said
