"""What really ran, from the sizes in the engine's log."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kvsweep.engine.log import parse_engine_log
from kvsweep.engine.logged import EngineContext, KvCache
from kvsweep.inputs.kv_layers import FULL, INDEXER, WINDOW, LayerGroup
from kvsweep.study.pairs import KNOWN_TYPES, bits_per_value
from kvsweep.tables.effective import EffectiveCache, KvShape, effective_cache, shape_of
from support import recorded


def of_groups(*groups: LayerGroup) -> KvShape:
    heads = tuple(n for group in groups if group.kind != INDEXER for n in group.kv_heads)
    sizes = {group.kind: (group.head_size_k, group.head_size_v) for group in groups}
    return KvShape(groups, heads, sizes, len(heads))


def plain(layers: int, heads: int, head_size_k: int = 128, head_size_v: int = 128) -> KvShape:
    """All layers alike."""
    return of_groups(LayerGroup(FULL, (heads,) * layers, head_size_k, head_size_v))


TINY_GQA2, TINY_GQA8, LLAMA_8B = plain(4, 2), plain(10, 1), plain(32, 8)
# 4 layers with everything, 4 with a window.
WINDOWED = of_groups(LayerGroup(FULL, (2,) * 4, 128, 128), LayerGroup(WINDOW, (2,) * 4, 128, 128, 512))


def caches(name: str, shape: KvShape) -> list[EffectiveCache]:
    """The cache of each context in a recorded log."""
    contexts = parse_engine_log(recorded(f"{name}.stderr")).contexts
    return [cache for context in contexts if (cache := effective_cache(context, shape))]


def types(cache: EffectiveCache) -> tuple[str, str]:
    return cache.k.cache_type, cache.v.cache_type


def test_a_cache_that_is_what_was_asked_for_has_its_exact_size() -> None:
    cache = caches("fork/bench-q8_0-turbo4", TINY_GQA2)[0]
    assert types(cache) == ("q8_0", "turbo4")
    # The log says 0.27 and 0.13 MiB; the exact sizes follow from 256 cells x 4 layers x 256 values.
    assert (cache.k.size_bytes, cache.v.size_bytes) == (278528, 139264)
    assert cache.size_bytes == 417792
    assert (cache.k.bits_per_value, cache.v.bits_per_value) == (8.5, 4.25)


def test_a_big_cache_on_a_gpu() -> None:
    deepest = caches("fork-cuda/bench-f16-f16", LLAMA_8B)[-1]
    assert types(deepest) == ("f16", "f16")
    assert deepest.size_bytes == 131328 * 2 * 32 * 8 * 128 * 2


def test_a_cache_that_is_logged_in_one_line_has_all_layers() -> None:
    """As ik_llama.cpp's: of 30 layers with 3 heads of 64."""
    (cache,) = caches("ik/kld-q8_0-q4_0-khad", plain(30, 3, 64, 64))
    values = 256 * 30 * 3 * 64
    assert types(cache) == ("q8_0", "q4_0")
    assert (cache.k.size_bytes, cache.v.size_bytes) == (values * 8.5 / 8, values * 4.5 / 8)
    assert (cache.k.bits_per_value, cache.v.bits_per_value) == (8.5, 4.5)


def test_mla_in_one_line_has_no_v() -> None:
    line = "llama_init_from_model: KV self size  =    9.56 MiB, c^KV (q8_0):    9.56 MiB, kv^T: not used\n"
    (context,) = parse_engine_log("llama_init_from_model: n_ctx         = 1024\n" + line).contexts
    mla = of_groups(LayerGroup(FULL, (1,) * 16, 576, 512, keeps_v=False))
    cache = effective_cache(context, mla)
    assert cache is not None
    assert (types(cache), cache.k.bits_per_value, cache.v.size_bytes) == (("q8_0", "q8_0"), 8.5, 0)
    assert cache.k.size_bytes == 1024 * 16 * 576 * 34 // 32


def test_k_that_the_engine_upgraded_by_itself() -> None:
    asked = {types(cache) for cache in caches("fork/bench-turbo3-turbo3-gqa8-upgraded", TINY_GQA8)}
    assert asked == {("q8_0", "turbo3")}
    pinned = caches("fork/bench-turbo3-turbo3-gqa8-pinned", TINY_GQA8)
    assert {types(cache) for cache in pinned} == {("turbo3", "turbo3")}
    assert {cache.k.bits_per_value for cache in pinned} == {3.125}


def test_layers_kept_at_another_type_show_in_the_size_alone() -> None:
    for cache in caches("fork/bench-turbo2-turbo2-boundary", TINY_GQA8):
        assert types(cache) == ("q8_0", "turbo2 + q8_0 layers")
        # 4 of 10 layers at 8.5 bits, 6 at 2.125; a size with two decimals says it only roughly.
        assert cache.v.bits_per_value == pytest.approx((4 * 8.5 + 6 * 2.125) / 10, rel=0.03)


def test_layers_without_attention_are_counted_by_the_engine() -> None:
    """As in Deci's models: 53 of 80 layers have attention, and the log says 80 (llama.cpp b11434)."""
    shape = replace(plain(53, 8), n_layers=80)
    cells = 65536
    logged = kv_cache(
        "q8_0",
        53 * 8 * 128 * cells * 8.5 / 8 / 2**20,
        "q4_0",
        53 * 8 * 128 * cells * 4.5 / 8 / 2**20,
        cells,
        80,
    )
    cache = effective_cache(context(logged), shape)
    assert cache is not None and types(cache) == ("q8_0", "q4_0")
    assert (cache.k.bits_per_value, cache.v.bits_per_value) == (8.5, 4.5)


def test_streams_of_llama_perplexity_count() -> None:
    (cache,) = caches("fork/kld-turbo3-turbo3", TINY_GQA2)
    assert types(cache) == ("turbo3", "turbo3")
    assert cache.k.size_bytes == 2 * 1024 * 4 * 256 * 50 // 128


def context(*kv_caches: KvCache) -> EngineContext:
    return EngineContext(kv_caches=kv_caches)


def kv_cache(
    type_k: str,
    k_mib: float,
    type_v: str,
    v_mib: float,
    cells: int = 4096,
    layers: int = 4,
    label: str | None = None,
) -> KvCache:
    return KvCache(k_mib + v_mib, cells, layers, 1, 1, type_k, k_mib, type_v, v_mib, label)


def test_a_log_without_a_cache() -> None:
    assert effective_cache(context(), TINY_GQA2) is None


def test_two_caches_of_a_model_with_a_sliding_window_are_one() -> None:
    cache = effective_cache(
        context(
            kv_cache("f16", 8, "f16", 8, label="non-SWA"),
            kv_cache("f16", 2, "f16", 2, cells=1024, label="SWA"),
        ),
        WINDOWED,
    )
    assert cache is not None
    assert types(cache) == ("f16", "f16")
    assert cache.size_bytes == 20 * 2**20
    assert cache.k.bits_per_value == 16


def test_two_caches_of_different_types_are_named_both() -> None:
    cache = effective_cache(context(kv_cache("f16", 8, "f16", 8), kv_cache("q8_0", 4.25, "f16", 8)), WINDOWED)
    assert cache is not None
    assert types(cache) == ("f16 + q8_0", "f16")
    assert cache.k.bits_per_value == 12.25


def test_a_type_that_kvsweep_does_not_know_has_the_bits_of_its_size() -> None:
    cache = effective_cache(context(kv_cache("new9", 1.5, "f16", 8)), TINY_GQA2)
    assert cache is not None
    assert (cache.k.cache_type, cache.k.bits_per_value) == ("new9", 3.0)


def test_a_size_that_no_mixture_explains() -> None:
    cache = effective_cache(context(kv_cache("f16", 20, "f16", 8)), TINY_GQA2)
    assert cache is not None
    assert types(cache) == ("f16 + other layers", "f16")
    assert cache.k.size_bytes == 20 * 2**20


def test_a_model_without_kv_heads_has_no_bits_per_value() -> None:
    cache = effective_cache(context(kv_cache("f16", 8, "f16", 8)), plain(0, 0))
    assert cache is not None
    assert cache.k.bits_per_value is None


# -- kinds of layers ---------------------------------------------------------------------------------


def bits(cache: EffectiveCache | None) -> tuple[float | None, float | None]:
    assert cache is not None
    return cache.k.bits_per_value, cache.v.bits_per_value


def test_layers_with_a_window_have_heads_of_their_own() -> None:
    shape = of_groups(LayerGroup(FULL, (4,) * 10, 512, 512), LayerGroup(WINDOW, (16,) * 50, 256, 256, 1024))
    caches = (
        kv_cache("q5_0", 1612.19, "q5_0", 1612.19, 120064, 10, "non-SWA"),
        kv_cache("q5_0", 206.25, "q5_0", 206.25, 1536, 50, "SWA"),
    )
    cache = effective_cache(context(*caches), shape)
    assert cache is not None and types(cache) == ("q5_0", "q5_0") and bits(cache) == (5.5, 5.5)
    assert cache.k.size_bytes == (10 * 120064 * 2048 + 50 * 1536 * 4096) * 11 // 16


def test_a_cache_without_v_has_the_type_that_was_asked_for() -> None:
    mla = of_groups(LayerGroup(FULL, (1,) * 47, 576, 512, keeps_v=False))
    cache = effective_cache(context(kv_cache("f16", 1718.44, "f16", 0.0, 33280, 47)), mla)
    assert cache is not None and types(cache) == ("f16", "f16") and bits(cache) == (16, None)
    assert (cache.v.size_bytes, cache.k.size_bytes) == (0, 47 * 33280 * 576 * 2)
    # Engines from before 2026-01 keep it.
    v_mib = round(47 * 33280 * 512 * 2 / 2**20, 2)
    assert bits(effective_cache(context(kv_cache("f16", 1718.44, "f16", v_mib, 33280, 47)), mla)) == (16, 16)


def test_an_empty_v_is_told_from_a_small_one() -> None:
    small = effective_cache(context(kv_cache("f16", 0.0, "f16", 0.0, 1, 4)), TINY_GQA2)
    assert small is not None and small.v.size_bytes == 4 * 2 * 128 * 2


@pytest.mark.parametrize("layers", [21, 78])
def test_an_indexer_belongs_to_the_layers_that_the_engine_says(layers: int) -> None:
    """The header may not say which layers share one."""
    shape = of_groups(
        LayerGroup(FULL, (1,) * 78, 576, 512, keeps_v=False),
        LayerGroup(INDEXER, (1,) * 78, 128, 512, keeps_v=False),
    )
    caches = (
        kv_cache("q8_0", 2983.5, "q8_0", 0.0, 65536, 78, "main"),
        kv_cache("q8_0", layers * 8.5, "q8_0", 0.0, 65536, layers, "indexer"),
    )
    cache = effective_cache(context(*caches), shape)
    assert cache is not None and types(cache) == ("q8_0", "q8_0") and bits(cache) == (8.5, None)


def test_builds_without_caches_for_windows_have_one_for_all_layers() -> None:
    cache = effective_cache(context(kv_cache("f16", 16, "f16", 16, layers=8)), WINDOWED)
    assert bits(cache) == (16, 16)


def test_more_layers_than_the_header_tells_of_are_like_them() -> None:
    """Builds that keep the next-token layer with the others."""
    cache = effective_cache(context(kv_cache("f16", 10, "f16", 10, layers=5)), TINY_GQA2)
    assert cache is not None and types(cache) == ("f16", "f16") and bits(cache) == (16, 16)


@pytest.mark.parametrize(("type_k", "mib"), [("q8_0", 9.0), ("new9", 9.0)])
def test_of_a_shape_that_is_not_known_nothing_is_said_but_name_and_size(type_k: str, mib: float) -> None:
    cache = effective_cache(
        context(kv_cache(type_k, mib, type_k, mib, layers=3, label="compressed")), WINDOWED
    )
    assert cache is not None and types(cache) == (type_k, type_k)
    assert bits(cache) == (None, None) and cache.size_bytes == round(2 * mib * 2**20)


def test_a_model_json_of_an_older_kvsweep() -> None:
    """It lacks the kinds of layers: of a model with one kind that is enough, of another the sizes have to prove it."""
    old = {"n_kv_heads": [2] * 8, "head_size_k": 128, "head_size_v": 128}
    assert shape_of({"architecture": "llama", **old}).groups == plain(8, 2).groups
    gemma = shape_of({"architecture": "gemma3", **old})
    assert gemma.groups is None
    caches = (kv_cache("f16", 2, "f16", 2, 1024, 7, "SWA"), kv_cache("f16", 2, "f16", 2, 4096, 1, "non-SWA"))
    assert bits(effective_cache(context(*caches[1:]), gemma)) == (16, 16)
    assert bits(effective_cache(context(*caches), gemma)) == (None, None)  # 7 layers of a window take 3.5 MiB


SHAPES = st.builds(
    plain,
    st.integers(1, 96),
    st.integers(1, 16),
    st.sampled_from([64, 128, 192, 256]),
    st.sampled_from([64, 128, 192, 256]),
)


@given(
    st.sampled_from(KNOWN_TYPES),
    st.sampled_from(KNOWN_TYPES),
    SHAPES,
    st.integers(1, 4096),
    st.integers(1, 4),
)
def test_a_pure_cache_is_recognised_by_its_printed_size(
    type_k: str, type_v: str, shape: KvShape, blocks_of_cells: int, streams: int
) -> None:
    cells = 256 * blocks_of_cells
    sizes = {
        name: cells * streams * sum(shape.kv_heads) * head * bits_per_value(name_of_type) / 8
        for name, head, name_of_type in zip("kv", shape.head_sizes[FULL], (type_k, type_v), strict=True)
    }
    k_mib, v_mib = (float(f"{float(sizes[name]) / 2**20:.2f}") for name in ("k", "v"))
    layers = len(shape.kv_heads)
    printed = KvCache(k_mib + v_mib, cells, layers, streams, streams, type_k, k_mib, type_v, v_mib)
    cache = effective_cache(context(printed), shape)
    assert cache is not None
    assert types(cache) == (type_k, type_v)
    assert (cache.k.size_bytes, cache.v.size_bytes) == (round(sizes["k"]), round(sizes["v"]))
    assert cache.k.bits_per_value == float(bits_per_value(type_k) or 0)
    assert cache.v.bits_per_value == float(bits_per_value(type_v) or 0)


@given(st.sampled_from(["turbo2", "turbo3", "turbo4"]), st.integers(1, 96), st.integers(16, 4096))
def test_a_padded_head_costs_more_bits_for_each_value(name: str, layers: int, blocks_of_cells: int) -> None:
    shape = plain(layers, 1, 64, 64)
    cells = 256 * blocks_of_cells
    nominal = float(bits_per_value(name) or 0)
    mib = round(cells * layers * 128 * nominal / 8 / 2**20, 2)
    assume(mib > 1)
    cache = effective_cache(context(kv_cache(name, mib, name, mib, cells, layers)), shape)
    assert cache is not None
    assert types(cache) == (name, name)
    assert cache.k.bits_per_value == 2 * nominal
