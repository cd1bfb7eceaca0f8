"""What a GGUF file's header says of a model."""

from pathlib import Path

import pytest
from gguf import GGUFReader
from kvsweep.errors import KvsweepError
from kvsweep.inputs.model_header import read_header
from kvsweep.inputs.short_reader import ShortReader
from support import TINY, write_model

HYBRID = {
    "qwen35moe.context_length": 262144,
    "qwen35moe.embedding_length": 2048,
    "qwen35moe.block_count": 8,
    "qwen35moe.attention.head_count": 16,
    "qwen35moe.attention.head_count_kv": 2,
    "qwen35moe.attention.key_length": 256,
    "qwen35moe.attention.value_length": 256,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
}


def test_a_llama_with_fewer_kv_heads_than_heads(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "m.gguf"), "models.m.path")
    assert (header.architecture, header.n_layers, header.n_heads) == ("llama", 4, 4)
    assert header.n_kv_heads == (2, 2, 2, 2)
    assert (header.head_size_k, header.head_size_v) == (128, 128)
    assert (header.n_vocab, header.n_ctx_train) == (259, 131072)
    assert (header.kv_width_k, header.kv_width_v) == (1024, 1024)
    assert (header.weight_type, header.n_parameters) == ("F16", 4 * 32 + 32)


def test_what_model_json_says(tmp_path: Path) -> None:
    said = read_header(write_model(tmp_path / "m.gguf"), "models.m.path").as_dict()
    assert said["n_kv_heads"] == [2, 2, 2, 2]
    assert said["n_kv_layers"] == 4
    assert said["kv_values_per_token_k"] == said["kv_values_per_token_v"] == 1024


@pytest.mark.parametrize(
    ("interval", "layers"), [(None, (0, 0, 0, 2, 0, 0, 0, 2)), (2, (0, 2, 0, 2, 0, 2, 0, 2)), (1, (2,) * 8)]
)
def test_a_hybrid_has_a_cache_in_every_nth_layer(
    tmp_path: Path, interval: int | None, layers: tuple[int, ...]
) -> None:
    values = HYBRID | ({} if interval is None else {"qwen35moe.full_attention_interval": interval})
    header = read_header(write_model(tmp_path / "m.gguf", "qwen35moe", values), "models.m.path")
    assert header.n_kv_heads == layers
    assert header.n_kv_layers == sum(n > 0 for n in layers)
    assert header.kv_width_k == sum(layers) * 256
    assert header.n_vocab == 3


def test_kv_heads_by_layer(tmp_path: Path) -> None:
    values = TINY | {
        "llama.attention.head_count_kv": [4, 0, 2, 0],
        "llama.attention.head_count": [4, 4, 8, 4],
    }
    header = read_header(write_model(tmp_path / "m.gguf", values=values), "models.m.path")
    assert header.n_kv_heads == (4, 0, 2, 0)
    assert (header.n_kv_layers, header.n_heads, header.kv_width_k) == (2, 8, 6 * 128)


def test_without_their_own_keys_heads_are_as_in_llama_cpp(tmp_path: Path) -> None:
    left_out = ("head_count_kv", "key_length", "value_length")
    values = {name: value for name, value in TINY.items() if not name.endswith(left_out)}
    header = read_header(write_model(tmp_path / "m.gguf", values=values), "models.m.path")
    assert header.n_kv_heads == (4, 4, 4, 4)
    assert header.head_size_k == header.head_size_v == 512 // 4


def sentence(path: Path) -> str:
    with pytest.raises(KvsweepError) as caught:
        read_header(path, "models.m.path")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_file_and_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        assert sentence(path) == (
            f"models.m.path: there is no file {path}; correct the path or put the model there."
        )


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 a zip", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_another_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    assert sentence(path) == f"models.m.path: {path} is not a GGUF file (it starts with {content[:4]!r})."


def test_half_a_download(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    whole = path.read_bytes()
    # Everywhere: in the counts, in a key, in a value, in the list of tensors, in a tensor's data.
    for size in range(4, len(whole) - 1, 7):
        path.write_bytes(whole[:size])
        assert sentence(path).startswith(f"models.m.path: {path} is cut short or damaged ({size} bytes")


@pytest.mark.parametrize(
    "lacks", ["block_count", "embedding_length", "attention.head_count", "context_length"]
)
def test_a_key_that_is_needed(tmp_path: Path, lacks: str) -> None:
    values = {name: value for name, value in TINY.items() if name != f"llama.{lacks}"}
    path = write_model(tmp_path / "m.gguf", values=values)
    assert sentence(path) == (
        f"models.m.path: the header of {path} lacks 'llama.{lacks}'; kvsweep needs a language model's GGUF file."
    )


def test_a_vocabulary_is_needed(tmp_path: Path) -> None:
    values = {name: value for name, value in TINY.items() if name != "llama.vocab_size"}
    assert "lacks 'tokenizer.ggml.tokens'" in sentence(write_model(tmp_path / "m.gguf", values=values))


LONG = 5000
LISTS = {
    "tokenizer.ggml.tokens": ["a" * (n % 7) for n in range(LONG)],
    "tokenizer.ggml.scores": [float(n) for n in range(LONG)],
    "tokenizer.ggml.token_type": list(range(LONG)),
    "tokenizer.ggml.merges": ["a b"] * (LONG + 1),
}


def test_the_items_of_long_lists_are_not_read_one_by_one(tmp_path: Path) -> None:
    """What stands behind them is, and it is what llama.cpp's own reader says."""
    values = {name: value for name, value in (LISTS | TINY).items() if name != "llama.vocab_size"}
    path = write_model(tmp_path / "m.gguf", values=values)
    short, whole = ShortReader(path), GGUFReader(path)
    assert list(short.fields) == list(whole.fields)
    for name, field in whole.fields.items():
        assert len(short.fields[name].data) == len(field.data), name
        if name in LISTS:
            assert len(short.fields[name].parts) < 10
        else:
            assert short.fields[name].contents() == field.contents()
    assert [one.name for one in short.tensors] == [one.name for one in whole.tensors]
    assert read_header(path, "models.m.path").n_vocab == LONG


@pytest.mark.parametrize("name", LISTS)
def test_a_long_list_that_is_cut(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path / "m.gguf", values={**TINY, **LISTS})
    content = path.read_bytes()
    start = content.index(name.encode())
    for length in (start + len(name) + 20, start + len(name) + 2000):
        path.write_bytes(content[:length])
        assert "is cut short or damaged" in sentence(path)
