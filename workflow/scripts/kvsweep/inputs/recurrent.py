"""Which layers of a model keep a recurrent state in the place of a cache, and how large it is.

Source: ``load_arch_hparams`` in ``src/models/*.cpp``, ``n_embd_r`` and ``n_embd_s`` in ``src/llama-hparams.cpp`` of
llama.cpp b11434.
"""

from __future__ import annotations

from kvsweep.inputs.header_values import HeaderValues

# One layer in so many has a KV cache, the last; the others are recurrent.
_HYBRID = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
_CACHES_NEXT_TOKENS = (
    *("bailingmoe3", "falcon-h1", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2", "lfm2moe"),
    *("nemotron_h", "nemotron_h_moe", "plamo2"),
)
_RECURRENT = ("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7")


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
