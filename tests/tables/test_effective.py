"""What really ran, from the sizes in the engine's log."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kvsweep.engine.log import EngineContext, KvCache, parse_engine_log
from kvsweep.study.pairs import KNOWN_TYPES, bits_per_value
from kvsweep.tables.effective import EffectiveCache, KvShape, effective_cache
from support import recorded

TINY_GQA2 = KvShape(kv_heads=4 * 2, kv_layers=4, head_size_k=128, head_size_v=128)
TINY_GQA8 = KvShape(kv_heads=10 * 1, kv_layers=10, head_size_k=128, head_size_v=128)
LLAMA_8B = KvShape(kv_heads=32 * 8, kv_layers=32, head_size_k=128, head_size_v=128)


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


def test_streams_of_llama_perplexity_count() -> None:
    (cache,) = caches("fork/kld-turbo3-turbo3", TINY_GQA2)
    assert types(cache) == ("turbo3", "turbo3")
    assert cache.k.size_bytes == 2 * 1024 * 4 * 256 * 50 // 128


def context(*kv_caches: KvCache) -> EngineContext:
    return EngineContext(kv_caches=kv_caches)


def kv_cache(
    type_k: str, k_mib: float, type_v: str, v_mib: float, cells: int = 4096, layers: int = 4
) -> KvCache:
    return KvCache(k_mib + v_mib, cells, layers, 1, 1, type_k, k_mib, type_v, v_mib)


def test_a_log_without_a_cache() -> None:
    assert effective_cache(context(), TINY_GQA2) is None


def test_two_caches_of_a_model_with_a_sliding_window_are_one() -> None:
    shape = KvShape(kv_heads=8 * 2, kv_layers=8, head_size_k=128, head_size_v=128)
    cache = effective_cache(
        context(kv_cache("f16", 8, "f16", 8), kv_cache("f16", 2, "f16", 2, cells=1024)), shape
    )
    assert cache is not None
    assert types(cache) == ("f16", "f16")
    assert cache.size_bytes == 20 * 2**20
    assert cache.k.bits_per_value == 16


def test_two_caches_of_different_types_are_named_both() -> None:
    shape = KvShape(kv_heads=8 * 2, kv_layers=8, head_size_k=128, head_size_v=128)
    cache = effective_cache(context(kv_cache("f16", 8, "f16", 8), kv_cache("q8_0", 4.25, "f16", 8)), shape)
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
    cache = effective_cache(context(kv_cache("f16", 8, "f16", 8)), KvShape(0, 0, 128, 128))
    assert cache is not None
    assert cache.k.bits_per_value is None


SHAPES = st.builds(
    lambda layers, heads, k, v: KvShape(layers * heads, layers, k, v),
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
        name: cells * streams * shape.kv_heads * head * bits_per_value(name_of_type) / 8  # type: ignore[operator]
        for name, head, name_of_type in (("k", shape.head_size_k, type_k), ("v", shape.head_size_v, type_v))
    }
    k_mib, v_mib = (float(f"{float(sizes[name]) / 2**20:.2f}") for name in ("k", "v"))
    printed = KvCache(k_mib + v_mib, cells, shape.kv_layers, streams, streams, type_k, k_mib, type_v, v_mib)
    cache = effective_cache(context(printed), shape)
    assert cache is not None
    assert types(cache) == (type_k, type_v)
    assert (cache.k.size_bytes, cache.v.size_bytes) == (round(sizes["k"]), round(sizes["v"]))
    assert cache.k.bits_per_value == float(bits_per_value(type_k) or 0)
    assert cache.v.bits_per_value == float(bits_per_value(type_v) or 0)


@given(st.sampled_from(["turbo2", "turbo3", "turbo4"]), st.integers(1, 96), st.integers(16, 4096))
def test_a_padded_head_costs_more_bits_for_each_value(name: str, layers: int, blocks_of_cells: int) -> None:
    shape = KvShape(kv_heads=layers, kv_layers=layers, head_size_k=64, head_size_v=64)
    cells = 256 * blocks_of_cells
    nominal = float(bits_per_value(name) or 0)
    mib = round(cells * layers * 128 * nominal / 8 / 2**20, 2)
    assume(mib > 1)
    cache = effective_cache(context(kv_cache(name, mib, name, mib, cells, layers)), shape)
    assert cache is not None
    assert types(cache) == (name, name)
    assert cache.k.bits_per_value == 2 * nominal
