"""The values of a GGUF header that decide what a model's layers keep, and which layers keep a recurrent state.

Source: ``load_hparams`` in ``src/llama-model.cpp``, ``load_arch_hparams`` in ``src/models/*.cpp``, ``n_embd_r`` and
``n_embd_s`` in ``src/llama-hparams.cpp`` of llama.cpp b11434.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# One layer in so many has a KV cache, the last; the others are recurrent.
_HYBRID = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
_CACHES_NEXT_TOKENS = (
    *("bailingmoe3", "falcon-h1", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2", "lfm2moe"),
    *("nemotron_h", "nemotron_h_moe", "plamo2"),
)
_RECURRENT = ("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7")


class HeaderValues:
    """``n_heads``: of the first layer. ``head_k``, ``head_v``: values of one head of full attention. ``kv_heads``: of
    each layer, the next-token layers (``n_next``, the last ones) included."""

    def __init__(self, architecture: str, values: Mapping[str, Any]) -> None:
        """Raises KeyError for a name that is needed."""
        self.architecture, self.values = architecture, values
        self.n_layers = int(values[f"{architecture}.block_count"]) * int(self.get("num_loops", 1))
        heads = self.get("attention.head_count", 0)
        self.n_heads = int(heads[0]) if isinstance(heads, list) else int(heads)
        self.width = int(values[f"{architecture}.embedding_length"])
        default = self.width // self.n_heads if self.n_heads else 0
        self.head_k = int(self.get("attention.key_length", default))
        self.head_v = int(self.get("attention.value_length", default))
        # A model that runs its layers several times keeps a cache for each time.
        self.kv_heads = self.of_layers(self.get("attention.head_count_kv", heads))
        # Not measured with the others, but for the router, which is another thing under the same name.
        self.n_next = int(self.get("nextn_predict_layers", 0))
        if self.n_next >= self.n_layers:
            self.n_next = 0

    def get(self, key: str, default: Any) -> Any:
        return self.values.get(f"{self.architecture}.{key}", default)

    def of_layers(self, given: Any) -> list[int]:
        """The number of each layer. A header gives one number for all layers, or a list."""
        listed = [int(n) for n in given] if isinstance(given, list) else [int(given)]
        return (listed * self.n_layers)[: self.n_layers]

    @property
    def is_mla(self) -> bool:
        return bool(self.get("attention.key_length_mla", 0) and self.get("attention.value_length_mla", 0))


def is_recurrent(header: HeaderValues, layer: int) -> bool:
    """Whether ``layer`` (from 0) keeps a recurrent state, as llama.cpp decides it for the architecture."""
    if header.architecture in _RECURRENT:
        return True
    if layer >= header.n_layers - header.n_next:
        return False
    given = header.get("attention.recurrent_layers", None)
    if given is not None:
        return bool(given[layer] if isinstance(given, list) else given)
    interval = int(header.get("full_attention_interval", _HYBRID.get(header.architecture, 1)))
    if interval > 1:
        return (layer + 1) % interval != 0
    if header.architecture == "falcon-h1":  # every layer is both
        return True
    return header.kv_heads[layer] == 0 and not is_only_feed_forward(header, layer)


def is_only_feed_forward(header: HeaderValues, layer: int) -> bool:
    """Whether a layer is neither attention nor recurrent, in an architecture whose layers are one thing each."""
    one_each = header.architecture.startswith("nemotron_h")
    return one_each and header.of_layers(header.get("feed_forward_length", 0))[layer] > 0


def caches_next_tokens(architecture: str) -> bool:
    """Whether the cache of the model itself has a place for its next-token layers, which are not run with it."""
    return architecture in _CACHES_NEXT_TOKENS


def recurrent_bytes(header: HeaderValues) -> int | None:
    """State of one sequence, kept as f32 (``n_embd_r`` and ``n_embd_s`` of llama-hparams.cpp)."""
    layers = sum(is_recurrent(header, layer) for layer in range(header.n_layers - header.n_next))
    if not layers:
        return 0
    kernel, inner, state, groups = (
        int(header.get(f"ssm.{name}", 0))
        for name in ("conv_kernel", "inner_size", "state_size", "group_count")
    )
    of_wkv, short, kda = (
        int(header.get(name, 0)) for name in ("wkv.head_size", "shortconv.l_cache", "kda.head_dim")
    )
    if of_wkv:
        values = int(header.get("token_shift_count", 2)) * header.width + header.width * of_wkv
    elif short:
        values = header.width * (short - 1)
    elif kda:
        values = 3 * (kernel - 1 if kernel else 3) * header.n_heads * kda + kda * kda * header.n_heads
    elif header.architecture == "minimax-01":
        values = header.head_k * header.head_k * header.n_heads
    elif inner:
        values = max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner
    else:
        # A layer without KV heads need not be recurrent.
        return None if header.architecture in (*_RECURRENT, *_HYBRID) else 0
    return 4 * values * layers
