"""Which layers of a model keep what, by the architecture and its header (llama.cpp b11434)."""

import json
from typing import Any

import pytest
from kvsweep.engine.sizes import window_cells
from kvsweep.inputs.kv_layers import FULL, INDEXER, WINDOW, LayerGroup, kv_layers
from support import TESTS

MODELS = [json.loads(line) for line in (TESTS / "data" / "kv-layers" / "models.jsonl").open()]
# Their caches hold more or less than a token in each cell, or their windows are not known to be used.
UNKNOWN = {"deepseek4", "lfm2moe-swa"}


def header_of(model: dict[str, Any]) -> dict[str, Any]:
    def listed(value: Any) -> Any:
        return value["of"] * value["times"] if isinstance(value, dict) else value

    return {f"{model['architecture']}.{key}": listed(value) for key, value in model["header"].items()}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_llama_cpp_keeps_what_the_header_says(model: dict[str, Any]) -> None:
    """Values of K and V in a cell, cells, windows and recurrent state, as llama.cpp itself made them."""
    found = kv_layers(model["architecture"], header_of(model))
    if model["name"] in UNKNOWN:
        assert found.groups is None
        return
    assert found.groups is not None
    own = sorted(
        (65536 if group.window is None else window_cells(group.window, 65536), group.values_k, group.values_v)
        for group in found.groups
    )
    made = sorted((cells, k, v) for cells, _, k, v in model["caches"] if k or v)
    assert [cells for cells, _, _ in own] == [cells for cells, _, _ in made]
    for (_, *ours), (_, *theirs) in zip(own, made, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert {group.window for group in found.groups} <= {None, model["window"]}
    assert (found.recurrent_bytes or 0) / 2**20 == pytest.approx(model["recurrent_mib"], abs=0.02)


def layers(architecture: str, n: int, **keys: Any) -> dict[str, Any]:
    """Values of a header; ``a__b`` is the key ``a.b``."""
    given = {
        "block_count": n, "embedding_length": 1024, "attention__head_count": 8, "attention__head_count_kv": 2,
        "attention__key_length": 128, "attention__value_length": 128, **keys,
    }  # fmt: skip
    return {f"{architecture}.{name.replace('__', '.')}": value for name, value in given.items()}


def counts(architecture: str, n: int, **keys: Any) -> dict[str, int] | None:
    """The number of layers of each kind."""
    groups = kv_layers(architecture, layers(architecture, n, **keys)).groups
    return None if groups is None else {group.kind: len(group.kv_heads) for group in groups}


WINDOW_OF_512 = {"attention__sliding_window": 512}


@pytest.mark.parametrize(
    ("architecture", "n", "keys", "full", "window"),
    [
        ("llama", 32, {}, 32, 0),
        ("gemma3", 34, WINDOW_OF_512, 5, 29),
        ("gemma3", 34, {}, 34, 0),
        ("gemma3", 34, WINDOW_OF_512 | {"attention__sliding_window_pattern": 2}, 17, 17),
        ("gemma2", 26, {}, 13, 13),  # a window of 4,096 where the header says none
        ("gpt-oss", 24, WINDOW_OF_512, 12, 12),
        ("cohere2", 32, WINDOW_OF_512, 8, 24),
        ("cohere2moe", 34, WINDOW_OF_512, 9, 25),  # the first of four is full
        ("exaone4", 64, WINDOW_OF_512, 16, 48),
        ("exaone4", 30, WINDOW_OF_512, 30, 0),  # of the 32B only
        ("llama4", 48, {}, 12, 36),
        ("llama4", 48, {"attention__sliding_window": 0}, 48, 0),
        ("smallthinker", 32, {}, 32, 0),
        ("step35", 4, WINDOW_OF_512 | {"attention__sliding_window_pattern": [1, 0, 0, 1]}, 2, 2),
        ("phi3", 32, WINDOW_OF_512, 32, 0),  # llama.cpp does not use it
        ("gemma3n", 35, WINDOW_OF_512, 4, 16),  # the last 15 share the caches of others
        (
            "gemma4",
            6,
            WINDOW_OF_512
            | {"attention__sliding_window_pattern": [1, 1, 0, 1, 1, 0], "attention__shared_kv_layers": 3},
            1,
            2,
        ),
        ("glm4moe", 47, {"nextn_predict_layers": 1}, 46, 0),
        ("exaone-moe", 49, {"nextn_predict_layers": 1, **WINDOW_OF_512}, 12, 36),
        ("nanbeige", 4, {"num_loops": 3}, 12, 0),
    ],
)
def test_full_and_window(architecture: str, n: int, keys: dict[str, Any], full: int, window: int) -> None:
    expected = {kind: count for kind, count in ((FULL, full), (WINDOW, window)) if count}
    assert counts(architecture, n, **keys) == expected


def test_layers_with_a_window_can_have_other_heads() -> None:
    values = layers(
        "gemma4", 6, attention__head_count_kv=[16] * 5 + [4], attention__key_length_swa=64,
        attention__value_length_swa=32, attention__sliding_window=1024,
        attention__sliding_window_pattern=[True] * 5 + [False],
    )  # fmt: skip
    assert kv_layers("gemma4", values).groups == (
        LayerGroup(FULL, (4,), 128, 128),
        LayerGroup(WINDOW, (16,) * 5, 64, 32, 1024),
    )


@pytest.mark.parametrize(
    ("architecture", "keys"),
    [
        ("gemma4", WINDOW_OF_512),  # it has to say which layers
        ("deepseek4", WINDOW_OF_512),  # cells that hold several tokens
        ("never-heard-of", WINDOW_OF_512),
    ],
)
def test_what_a_header_does_not_tell_is_not_guessed(architecture: str, keys: dict[str, Any]) -> None:
    assert counts(architecture, 12, **keys) is None


MLA = {
    "attention__head_count_kv": 1, "attention__key_length": 576, "attention__value_length": 512,
    "attention__key_length_mla": 256, "attention__value_length_mla": 256,
}  # fmt: skip
INDEXED = {**MLA, "attention__indexer__key_length": 128, "attention__indexer__top_k": 2048}


def test_mla_keeps_no_v() -> None:
    (group,) = kv_layers("deepseek2", layers("deepseek2", 47, **MLA)).groups or ()
    assert (group.values_k, group.values_v) == (47 * 576, 0)
    without = {name: value for name, value in MLA.items() if not name.endswith("_mla")}
    (group,) = kv_layers("deepseek2", layers("deepseek2", 47, **without)).groups or ()
    assert (group.values_k, group.values_v) == (47 * 576, 47 * 512)


@pytest.mark.parametrize(
    ("architecture", "keys", "n"),
    [
        ("deepseek32", {}, 61),
        ("glm-dsa", {"context_length": 202752}, 78),
        (
            "glm-dsa",
            {"context_length": 1 << 20},
            21,
        ),  # GLM-5.2: the others use what the one before them picked
        ("glm-dsa", {"attention__indexer__types": [1, 0] * 39}, 39),
        ("hy_v4", {"attention__indexer__types": [1] + [0] * 60}, 1),
    ],
)
def test_an_indexer_is_a_cache_of_its_own(architecture: str, keys: dict[str, Any], n: int) -> None:
    total = 78 if architecture == "glm-dsa" else 61
    main, indexer = kv_layers(architecture, layers(architecture, total, **INDEXED, **keys)).groups or ()
    assert (main.kind, len(main.kv_heads), main.values_v) == (FULL, total, 0)
    assert (indexer.kind, indexer.values_k, indexer.values_v) == (INDEXER, n * 128, 0)


def test_next_token_layers_have_neither() -> None:
    assert counts("glm-dsa", 79, **INDEXED, nextn_predict_layers=1) == {FULL: 78, INDEXER: 78}


def test_an_indexer_without_mla_keeps_v() -> None:
    keys = {"attention__indexer__key_length": 64, "leading_dense_block_count": 3}
    _, indexer = kv_layers("minimax-m3", layers("minimax-m3", 10, **keys)).groups or ()
    assert (indexer.values_k, indexer.values_v) == (7 * 64, 7 * 128)


DELTA_NET = {
    "ssm__conv_kernel": 4, "ssm__inner_size": 4096, "ssm__state_size": 128, "ssm__group_count": 16,
    "ssm__time_step_rank": 32,
}  # fmt: skip


def test_recurrent_layers_keep_a_state() -> None:
    """The sizes of a log of Qwen3.5 9B: R 2.25 MiB, S 48.00 MiB."""
    found = kv_layers("qwen35", layers("qwen35", 32, **DELTA_NET))
    assert found.kv_heads == (0, 0, 0, 2) * 8
    assert found.recurrent_bytes == int(50.25 * 2**20)
    with_next = kv_layers("qwen35", layers("qwen35", 33, **DELTA_NET, nextn_predict_layers=1))
    assert with_next.kv_heads == (*found.kv_heads, 0)
    assert with_next.recurrent_bytes == found.recurrent_bytes
    assert kv_layers("qwen35", layers("qwen35", 32)).recurrent_bytes is None


def test_which_layers_are_recurrent() -> None:
    listed = layers("qwen3next", 4, attention__recurrent_layers=[1, 0, 0, 1], **DELTA_NET)
    assert kv_layers("qwen3next", listed).kv_heads == (0, 2, 2, 0)
    by_heads = layers("jamba", 4, attention__head_count_kv=[0, 0, 8, 0], **DELTA_NET)
    assert kv_layers("jamba", by_heads).kv_heads == (0, 0, 8, 0)
    both = kv_layers("falcon-h1", layers("falcon-h1", 4, **DELTA_NET))
    assert both.kv_heads == (2, 2, 2, 2) and both.recurrent_bytes
    mlp = {"attention__head_count_kv": [0, 0, 2, 0], "feed_forward_length": [0, 4096, 0, 0]}
    nemotron = kv_layers("nemotron_h", layers("nemotron_h", 4, **mlp, **DELTA_NET))
    per_layer = (kv_layers("jamba", by_heads).recurrent_bytes or 0) // 3
    assert (nemotron.kv_heads, nemotron.recurrent_bytes) == ((0, 0, 2, 0), 2 * per_layer)


def test_a_model_without_any_cache() -> None:
    mamba = layers("mamba", 64, attention__head_count=0, attention__head_count_kv=0, **DELTA_NET)
    found = kv_layers("mamba", mamba)
    assert found.groups == () and set(found.kv_heads) == {0} and found.recurrent_bytes


def test_layers_without_attention_need_not_be_recurrent() -> None:
    deci = kv_layers("deci", layers("deci", 3, attention__head_count_kv=[8, 0, 8]))
    assert (deci.kv_heads, deci.recurrent_bytes) == ((8, 0, 8), 0)
