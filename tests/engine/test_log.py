"""The verbose log: what really ran, why it failed, and what an engine accepts."""

import time

import pytest
from kvsweep.engine import log as engine_log
from kvsweep.engine.build_manifest import accepted_cache_types, verbose_arguments
from kvsweep.engine.logged import EngineLog, KvCache
from kvsweep.errors import UnparsableOutput
from support import RECORDED

LOGS = sorted(str(path.relative_to(RECORDED)) for path in RECORDED.rglob("*.stderr"))


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def parsed(name: str) -> EngineLog:
    return engine_log.parse_engine_log(recorded(name))


CONTEXT = """\
llama_context: constructing llama_context
llama_context: n_ctx         = 512
llama_context: n_ctx_seq     = 512
llama_context: n_batch       = 512
llama_context: n_ubatch      = 256
llama_context: flash_attn    = enabled
llama_kv_cache: layer   0: dev = CUDA0
llama_kv_cache: size =   24.00 MiB (   512 cells,   1 layers,  1/1 seqs), \
K (q5_1):   12.00 MiB, V (q5_1):   12.00 MiB
llama_kv_cache: attn_rot_k = 0, n_embd_head_k_all = 128
llama_kv_cache: attn_rot_v = 0, n_embd_head_k_all = 128
sched_reserve:      CUDA0 compute buffer size =   266.50 MiB
sched_reserve: graph splits = 66
"""


def test_a_context() -> None:
    log = engine_log.parse_engine_log(CONTEXT)
    (context,) = log.contexts
    assert context.n_ctx == 512
    assert log.kv_caches == (KvCache(24.0, 512, 1, 1, 1, "q5_1", 12.0, "q5_1", 12.0),)
    assert (context.attn_rot_k, context.attn_rot_v, context.flash_attn) == (False, False, True)
    assert context.graph_splits == 66
    assert context.kv_devices == ("CUDA0",)
    assert context.compute_buffers_mib == {"CUDA0": 266.5}


def test_a_cache_that_is_logged_in_one_line() -> None:
    """As ik_llama.cpp does, here with the argument -khad."""
    (context,) = parsed("ik/kld-q8_0-q4_0-khad.stderr").contexts
    assert context.kv_caches == (KvCache(2.29, 256, None, None, None, "q8_0", 1.49, "q4_0", 0.79),)
    assert (context.n_ctx, context.flash_attn) == (256, True)
    assert (context.attn_rot_k, context.attn_rot_v) == (True, False)
    assert (context.graph_splits, context.kv_devices) == (1, ("CPU",))
    (f16,) = parsed("ik/baseline-f16.stderr").contexts
    assert f16.kv_caches == (KvCache(45.0, 2048, None, None, None, "f16", 22.5, "f16", 22.5),)
    assert (f16.attn_rot_k, f16.attn_rot_v) == (False, False)


# The format strings of ik_llama.cpp and, with the second name, of llama.cpp until 2025-02.
ONE_LINE = """\
{name}: n_ctx         = 512
{name}: flash_attn    = 1
{name}: KV self size  = {sizes}
{name}:        CPU compute buffer size =    97.13 MiB
{name}: graph splits = 1
"""


@pytest.mark.parametrize("name", ["llama_init_from_model", "llama_new_context_with_model"])
@pytest.mark.parametrize(
    ("sizes", "cache"),
    [
        (
            "  36.56 MiB, c^KV (q8_KV):   18.28 MiB, kv^T (f16):   18.28 MiB",
            ("q8_KV", 18.28, "f16", 18.28),
        ),
        ("  18.28 MiB, c^KV (q8_0):   18.28 MiB, kv^T: not used", ("q8_0", 18.28, "q8_0", 0.0)),
        ("12345.50 MiB, K (f16): 12345.00 MiB, V (q6_0):    0.50 MiB", ("f16", 12345.0, "q6_0", 0.5)),
    ],
)
def test_forms_of_the_one_line(name: str, sizes: str, cache: tuple[str, float, str, float]) -> None:
    text = ONE_LINE.format(name=name, sizes=sizes)
    log = engine_log.parse_engine_log(text + text)
    assert len(log.contexts) == 2
    for one in log.kv_caches:
        assert (one.type_k, one.k_mib, one.type_v, one.v_mib) == cache and one.cells == 512


@pytest.mark.parametrize(
    ("old", "new"),
    [("K (q8_0)", "Q (q8_0)"), ("   1.00 MiB, K", "  1.00 MiB, K"), ("1.00 MiB, K", "3.00 MiB, K")],
)
def test_one_line_in_another_form_is_refused(old: str, new: str) -> None:
    sizes = "   1.00 MiB, K (q8_0):    0.50 MiB, V (q8_0):    0.50 MiB"
    text = ONE_LINE.format(name="llama_init_from_model", sizes=sizes)
    assert engine_log.parse_engine_log(text).kv_caches
    with pytest.raises(UnparsableOutput):
        engine_log.parse_engine_log(text.replace(old, new))


@pytest.mark.parametrize(
    "guise",
    [
        "0.00.008.640 I {}\n",
        "I {}\n",
        "{}\r\n",
        "\x1b[34m0.00.008.640\x1b[0m \x1b[32mI \x1b[0m{}\n",
        "\x1b[34m0.00.008.640\x1b[0m \x1b[33mD {}\x1b[0m\r\n",
    ],
)
def test_time_stamps_levels_colours_and_ends_of_lines_make_no_difference(guise: str) -> None:
    dressed = "".join(guise.format(line) for line in CONTEXT.splitlines())
    assert engine_log.parse_engine_log(dressed) == engine_log.parse_engine_log(CONTEXT)


def test_every_context_of_a_process_is_kept() -> None:
    log = parsed("mainline/bench-q4_0-q4_0.stderr")
    assert len(log.contexts) == len(log.kv_caches) == 6 and all(one.graph_splits for one in log.contexts)
    assert [cache.cells for cache in log.kv_caches] == [256, 256, 768, 768, 2304, 2304]
    assert {(cache.type_k, cache.type_v) for cache in log.kv_caches} == {("q4_0", "q4_0")}
    assert log.model_buffers_mib == {"CPU_Mapped": 18.52}


def test_mainline_rotates_what_it_quantizes() -> None:
    quantized, f16 = parsed("mainline/bench-q4_0-q4_0.stderr"), parsed("mainline/bench-f16-f16.stderr")
    assert {(one.attn_rot_k, one.attn_rot_v) for one in quantized.contexts} == {(True, True)}
    assert {(one.attn_rot_k, one.attn_rot_v) for one in f16.contexts} == {(False, False)}


def test_the_engine_changes_a_cache_type() -> None:
    upgraded = parsed("fork/bench-turbo3-turbo3-gqa8-upgraded.stderr")
    assert upgraded.kv_caches[0].type_k == "q8_0"
    assert "upgrading K from turbo3 to q8_0" in upgraded.kv_upgrades[0]
    pinned = parsed("fork/bench-turbo3-turbo3-gqa8-pinned.stderr")
    assert pinned.kv_caches[0].type_k == "turbo3"
    assert pinned.kv_upgrades == ()


def test_the_engine_keeps_some_layers_at_another_type() -> None:
    log = parsed("fork/bench-turbo2-turbo2-boundary.stderr")
    assert log.kv_upgrades[-1] == "Boundary V mode 7: first2+last2 V=q8_0, rest V=turbo2"
    cache = log.kv_caches[0]
    assert (cache.type_v, cache.v_mib) == ("turbo2", 0.18)  # ten layers of turbo2 alone would be smaller


def test_attention_that_left_the_gpu_shows_in_the_graph_splits() -> None:
    fallback, f16 = (
        parsed("fork-cuda/bench-q5_1-q5_1-fallback.stderr"),
        parsed("fork-cuda/bench-f16-f16.stderr"),
    )
    assert {context.graph_splits for context in fallback.contexts} == {66}
    assert {context.graph_splits for context in f16.contexts} == {2}
    assert fallback.offloaded_layers == (33, 33)
    assert {context.kv_devices for context in fallback.contexts} == {("CUDA0",)}


@pytest.mark.parametrize(
    ("line", "prefill", "decode"),
    [
        ("sched_reserve: graph splits = 66", 66, 66),
        ("sched_reserve: graph splits = 66 (with bs=512), 2 (with bs=1)", 66, 2),
        ("llama_context: graph splits = 2", 2, 2),
        ("sched_reserve: graph: nodes = 178, splits = 3, input objects = 4, input tensors = 8", 3, 3),
        (
            "sched_reserve: graph (pp bs=512, tg bs=1): nodes = 178 / 170, splits = 3 / 5,"
            " input objects = 4 / 4, input tensors = 8 / 8",
            3,
            5,
        ),
    ],
)
def test_ways_to_print_graph_splits(line: str, prefill: int, decode: int) -> None:
    text = CONTEXT.replace("sched_reserve: graph splits = 66", line)
    (context,) = engine_log.parse_engine_log(text).contexts
    assert context.graph_splits == max(prefill, decode)


def test_what_was_not_logged_is_none() -> None:
    log = parsed("mainline/kld-q4_0-q4_0.stderr")  # this build says nothing of it without -lv 4
    assert not log.contexts and not log.kv_caches
    assert engine_log.parse_engine_log("") == EngineLog()


def test_a_cut_line_does_not_count() -> None:
    cut = CONTEXT[: CONTEXT.index("66\n") + 1]  # graph splits = 6
    assert engine_log.parse_engine_log(cut).contexts[0].graph_splits is None


def test_a_context_that_found_no_memory_has_no_cache() -> None:
    contexts = parsed("fork/bench-f16-f16-oom.stderr").contexts
    assert contexts[-1].n_ctx == 2_000_128
    assert contexts[-1].kv_caches == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("attn_rot_v = 0", "attn_rot_k = 0", "repeats a line about the KV cache"),
        ("size =   24.00", "size =   25.00", "a KV cache of 25.0 MiB with 12.0 MiB of K"),
        ("size =   24.00", "size = 2 24.00", "'2 24.00' is not a number as wide"),
        ("(   512 cells", "(   51 cells", "unknown form"),
        ("K (q5_1):   12.00", "K (q5_1):   2.00", "unknown form"),
        ("graph splits = 66", "graph splits = many", "unknown form"),
        ("n_ctx_seq ", "n_ctx ", "n_ctx twice"),
        ("llama_context: constructing llama_context\n", "", "before the first one"),
    ],
)
def test_what_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(UnparsableOutput, match=message):
        engine_log.parse_engine_log(CONTEXT.replace(old, new))


def test_rotation_that_differs_between_contexts_is_refused() -> None:
    with pytest.raises(UnparsableOutput, match="contradicts itself about the rotation of K"):
        engine_log.parse_engine_log(CONTEXT + CONTEXT.replace("attn_rot_k = 0", "attn_rot_k = 1"))


SIZE = next(line for line in CONTEXT.splitlines(keepends=True) if "cells" in line)
NAME = "llama_kv_cache_iswa: creating     SWA KV cache, size = 512 cells\n"
NEW = "llama_context: constructing llama_context\n"
IN_ONE_LINE = (
    "llama_init_from_model: KV self size  =    1.00 MiB, K (f16):    0.50 MiB, V (f16):    0.50 MiB\n"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONTEXT.replace(SIZE, SIZE + SIZE), "2 KV caches but 1 lines"),
        (CONTEXT.replace(SIZE, NAME + SIZE + NAME + SIZE), "repeats a line about the KV cache"),
        (CONTEXT.replace(SIZE, NAME + SIZE + SIZE), "repeats a line about the KV cache"),
        (CONTEXT + IN_ONE_LINE, "repeats a line about the KV cache"),
        (NEW + CONTEXT, "a context without parameters before its last one"),
        (CONTEXT + NAME + CONTEXT, "announces a KV cache and makes another context before it"),
        (CONTEXT + CONTEXT.replace(SIZE, NAME + SIZE), "contexts have different KV caches"),
        (NEW + IN_ONE_LINE, "the size of a KV cache before the length of its context"),
    ],
)
def test_lines_that_are_repeated_or_out_of_order_are_refused(text: str, message: str) -> None:
    with pytest.raises(UnparsableOutput, match=message):
        engine_log.parse_engine_log(text)


HELP = """\
-ctk,  --cache-type-k TYPE              KV cache data type for K
                                        allowed values: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1,
                                        turbo2, turbo3, turbo4
                                        (default: f16)
                                        (env: LLAMA_ARG_CACHE_TYPE_K)
-ctkd, --cache-type-k-draft TYPE        KV cache data type for K for the draft model
                                        allowed values: f16
                                        (default: f16)
"""


def test_the_cache_types_an_engine_accepts() -> None:
    types = "f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1 turbo2 turbo3 turbo4"
    assert accepted_cache_types(HELP) == tuple(types.split())
    shorter = HELP.replace(",\n                                        turbo2, turbo3, turbo4", "")
    assert accepted_cache_types(shorter)[-1] == "q5_1"
    with pytest.raises(UnparsableOutput, match="does not list the allowed values"):
        accepted_cache_types("usage: llama-bench [options]\n")
    with pytest.raises(UnparsableOutput, match=r"lists unknown cache types: 'f32, f16, bf16 or q8_0'"):
        accepted_cache_types(
            "--cache-type-k TYPE  type\n  allowed values: f32, f16, bf16 or q8_0\n (default: f16)"
        )


def test_an_engine_that_lists_no_cache_types_says_so_when_it_is_asked() -> None:
    """As ik_llama.cpp's help does."""
    assert accepted_cache_types("  -ctk,  --cache-type-k TYPE    KV cache data type for K\n") is None


@pytest.mark.parametrize(
    ("help_text", "arguments"),
    [
        # Mainline since 2026-05-14.
        (
            "-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold. Values:\n"
            "                                         - 3: info\n"
            "                                         - 4: trace (more info)\n"
            "                                         - 5: debug\n"
            "                                        (default: 3)\n",
            ("-lv", "5"),
        ),
        # Before that.
        (
            "-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold. Values:\n"
            "                                         - 3: info\n"
            "                                         - 4: debug\n"
            "--log-prefix                            Enable prefix\n"
            "                                         - 9: debug\n",
            ("-lv", "4"),
        ),
        ("-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold. (default 0)\n", ("-lv", "4")),
        (
            "         --verbosity N            set specific verbosity level (default: 0)\n",
            ("--verbosity", "4"),
        ),
        ("a help without a word on it\n", ("-lv", "4")),
    ],
)
def test_how_much_is_logged_is_asked_for_as_the_build_says(
    help_text: str, arguments: tuple[str, str]
) -> None:
    assert verbose_arguments("usage:\n" + help_text) == arguments


def test_a_long_log_is_read_quickly() -> None:
    """There will be a hundred thousand of them. Ten times the duration on a slow machine is allowed for."""
    text = recorded("mainline/bench-q4_0-q4_0.stderr")
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        engine_log.parse_engine_log(text)
        durations.append(time.perf_counter() - started)
    assert min(durations) < 0.015


def test_a_type_that_is_cut_short_is_not_what_the_engine_said() -> None:
    line = "llama_kv_cache: Boundary V mode 7: first2+last2 V=q8_0, rest V={}\n"
    head = "llama_context: constructing llama_context\n"
    assert engine_log.parse_engine_log(head + line.format("turbo2")).kv_upgrades
    for cut in ("t", "turbo", "q8_", "iq4"):
        with pytest.raises(UnparsableOutput, match="unknown form"):
            engine_log.parse_engine_log(head + line.format(cut))
