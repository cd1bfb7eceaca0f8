"""Writes a GGUF model of a given shape with random Q8_0 weights: for speed and memory, which do not depend on what the
weights say. Its perplexity means nothing.

    python benchmarks/random_model.py models/random-8B-Q8_0.gguf

By default dense and shaped like an 8-billion-parameter Llama 3: a GPU needs about 10 GB for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np

BLOCK_VALUES, BLOCK_BYTES = 32, 34  # Q8_0: a half-precision scale and 32 signed bytes


class Shape(NamedTuple):
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors of llama.cpp's `llama` architecture; the last dimension lies together."""
    yield "token_embd.weight", (shape.vocabulary, shape.embedding)
    yield "output_norm.weight", (shape.embedding,)
    yield "output.weight", (shape.vocabulary, shape.embedding)
    query, key = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", (shape.embedding,)
        yield f"{block}.attn_q.weight", (query, shape.embedding)
        yield f"{block}.attn_k.weight", (key, shape.embedding)
        yield f"{block}.attn_v.weight", (key, shape.embedding)
        yield f"{block}.attn_output.weight", (shape.embedding, query)
        yield f"{block}.ffn_norm.weight", (shape.embedding,)
        yield f"{block}.ffn_gate.weight", (shape.feed_forward, shape.embedding)
        yield f"{block}.ffn_up.weight", (shape.feed_forward, shape.embedding)
        yield f"{block}.ffn_down.weight", (shape.embedding, shape.feed_forward)


def random_q8_0(rows: int, columns: int, pool: np.ndarray) -> np.ndarray:
    """``rows`` x ``columns`` values as blocks, cut from a pool of random blocks (n, 34)."""
    blocks = rows * columns // BLOCK_VALUES
    return np.resize(pool, (blocks, BLOCK_BYTES)).reshape(rows, columns // BLOCK_VALUES * BLOCK_BYTES)


def write(path: Path, shape: Shape, seed: int) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"random weights, seed {seed}")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_layer_norm_rms_eps(1e-5)
    # The `rwkv` tokenizer takes any list of tokens: all bytes, then words that no text contains.
    writer.add_tokenizer_model("rwkv")
    byte_tokens = [chr(b) if 0x20 <= b < 0x7F and b != ord("\\") else f"\\x{b:02x}" for b in range(256)]
    writer.add_token_list([*byte_tokens, *(f"<{i}>" for i in range(256, shape.vocabulary))])
    writer.add_token_types([gguf.TokenType.NORMAL] * shape.vocabulary)
    for name, size in tensors(shape):
        if len(size) == 1:
            writer.add_tensor_info(name, size, np.dtype(np.float32), 4 * size[0])
        else:
            stored = (size[0], size[1] // BLOCK_VALUES * BLOCK_BYTES)
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), stored[0] * stored[1], kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    chance = np.random.default_rng(seed)
    pool = chance.integers(0, 256, (1 << 20, BLOCK_BYTES), dtype=np.uint8)
    # Uniform bytes have a standard deviation of 74: scaled so that a layer neither dies out nor overflows.
    scale = np.float16(1 / 74 / np.sqrt(shape.embedding))
    pool[:, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    for _, size in tensors(shape):
        data = np.ones(size, dtype=np.float32) if len(size) == 1 else random_q8_0(size[0], size[1], pool)
        writer.write_tensor_data(data)
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="the GGUF file to write")
    for name, value in Shape(32, 4096, 14336, 32, 8, 128, 128256)._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--seed", type=int, default=1)
    arguments = vars(parser.parse_args())
    path, seed = arguments.pop("path"), arguments.pop("seed")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Shape(**arguments), seed)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
