"""What each layer of a model keeps of every token, from the GGUF header: which cache, how many values of K and V.

llama.cpp makes one KV cache for each kind of layer:

- ``full``: a cell for every token of the context
- ``window``: layers with a sliding window (or attention in chunks), a cell for every token of the window
- ``indexer``: the keys by which sparse attention picks tokens, a cell for every token of the context

Recurrent layers keep a state that does not grow. Shared layers read another layer's cache, next-token layers are not
part of the context that is measured: neither keeps anything.

Source: ``load_arch_hparams`` in ``src/models/*.cpp`` and ``create_memory`` in ``src/llama-model.cpp`` of llama.cpp
b11434.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FULL, WINDOW, INDEXER = "full", "window", "indexer"


@dataclass(frozen=True)
class LayerGroup:
    """The layers of one cache: KV heads of each of them, values of K and V of one head, tokens of the window.

    ``keeps_v`` is false where V is a part of K (MLA since 2026-01, pull request 19067; older engines keep it).
    """

    kind: str
    kv_heads: tuple[int, ...]
    head_size_k: int
    head_size_v: int
    window: int | None = None
    keeps_v: bool = True

    @property
    def values_k(self) -> int:
        """Values of K of one token, over the group's layers."""
        return sum(self.kv_heads) * self.head_size_k

    @property
    def values_v(self) -> int:
        return sum(self.kv_heads) * self.head_size_v if self.keeps_v else 0


@dataclass(frozen=True)
class KvLayers:
    """``kv_heads``: of every layer, 0 where it has no cache of its own. ``groups`` and ``recurrent_bytes`` (the state
    of one sequence) are None where this header does not tell."""

    kv_heads: tuple[int, ...]
    groups: tuple[LayerGroup, ...] | None
    window_head_sizes: tuple[int, int]
    recurrent_bytes: int | None


@dataclass(frozen=True)
class _Windows:
    """How an architecture lays out its windows: of ``period`` layers one is full, the last or the first; None where
    the header has to say it, 0 where none is full. ``absent`` is the window in tokens where the header has none,
    ``fixed`` the one that it has whatever the header says."""

    period: int | None
    full_first: bool = False
    absent: int | None = None
    fixed: int | None = None


_WINDOWS = {
    "afmoe": _Windows(4),
    "cohere2": _Windows(4),
    "cohere2moe": _Windows(4, full_first=True),
    "dots3note": _Windows(None),
    "exaone-moe": _Windows(4, absent=128),
    "exaone4": _Windows(4, absent=4096),
    "gemma2": _Windows(2, absent=4096),
    "gemma3": _Windows(6),
    "gemma3n": _Windows(5),
    "gemma4": _Windows(None),
    "gpt-oss": _Windows(2),
    "granite_swa": _Windows(None),
    "laguna": _Windows(4, full_first=True),
    "lfm2": _Windows(0),
    "llama4": _Windows(4, absent=8192, fixed=8192),
    "maple": _Windows(None),
    "mellum": _Windows(4),
    "mimo2": _Windows(None),
    "muse-glimmer": _Windows(4),
    "olmo2": _Windows(4),
    "plamo3": _Windows(8),
    "smallthinker": _Windows(4, full_first=True, fixed=4096),
    "spark2_5": _Windows(None),
    "step35": _Windows(None),
}
# Their files name a window that llama.cpp does not use.
_NO_WINDOWS = (
    "deepseek2",
    "llama",
    "mistral3",
    "phi3",
    "qwen2",
    "qwen2moe",
    "qwen3",
    "qwen3moe",
    "starcoder2",
)
# One layer in so many has a KV cache, the last; the others are recurrent.
_HYBRID = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
_RECURRENT = ("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7")
# Caches whose cells hold more or less than a token each: their sizes stand in the log only.
_COMPRESSED = ("deepseek4",)
_GEMMA3N_OWN_LAYERS = 20  # the others share the caches of these


def kv_layers(architecture: str, values: Mapping[str, Any]) -> KvLayers:
    """The layers of a model whose header has these values, by name. Raises KeyError for a name that is needed."""
    header = _Header(architecture, values)
    return KvLayers(
        header.own_kv_heads(), header.groups(), header.window_head_sizes(), header.recurrent_bytes()
    )


def plain_group(kv_heads: tuple[int, ...], head_size_k: int, head_size_v: int) -> tuple[LayerGroup, ...]:
    """All layers that keep a cache as one group; none if there is none."""
    heads = tuple(n for n in kv_heads if n)
    return (LayerGroup(FULL, heads, head_size_k, head_size_v),) if heads else ()


def is_plain(architecture: str) -> bool:
    """Whether nothing but the KV heads of each layer decides the caches of an architecture."""
    special = (
        "deepseek32",
        "dots3note",
        "glm-dsa",
        "glm5-next",
        "hy_v4",
        "minimax-m3",
        "qwen4exp",
        "deepseek2",
    )
    return architecture not in (*_WINDOWS, *_COMPRESSED, *special)


class _Header:
    def __init__(self, architecture: str, values: Mapping[str, Any]) -> None:
        self.architecture, self.values = architecture, values
        self.n_layers = int(values[f"{architecture}.block_count"]) * int(self.get("num_loops", 1))
        heads = values[f"{architecture}.attention.head_count"] if self.has("attention.head_count") else 0
        self.n_heads = max(heads) if isinstance(heads, list) else int(heads)
        default = int(values[f"{architecture}.embedding_length"]) // self.n_heads if self.n_heads else 0
        self.head_k = int(self.get("attention.key_length", default))
        self.head_v = int(self.get("attention.value_length", default))
        given = self.get("attention.head_count_kv", heads)
        listed = [int(n) for n in given] if isinstance(given, list) else [int(given)]
        # A model that runs its layers several times keeps a cache for each time.
        self.kv_heads = (listed * self.n_layers)[: self.n_layers]
        # Not measured with the others, but for the router, which is another thing under the same name.
        self.n_next = int(self.get("nextn_predict_layers", 0))
        if self.n_next >= self.n_layers:
            self.n_next = 0

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self.values

    def get(self, key: str, default: Any) -> Any:
        return self.values.get(f"{self.architecture}.{key}", default)

    @property
    def is_mla(self) -> bool:
        return bool(self.get("attention.key_length_mla", 0) and self.get("attention.value_length_mla", 0))

    def is_recurrent(self, layer: int) -> bool:
        if self.architecture in _RECURRENT:
            return True
        if layer >= self.n_layers - self.n_next:
            return False
        given = self.get("attention.recurrent_layers", None)
        if given is not None:
            return bool(given[layer] if isinstance(given, list) else given)
        interval = int(self.get("full_attention_interval", _HYBRID.get(self.architecture, 1)))
        if interval > 1:
            return (layer + 1) % interval != 0
        if self.architecture == "falcon-h1":  # every layer is both
            return True
        feed_forward = self.get("feed_forward_length", 0)
        has_mlp_only = isinstance(feed_forward, list) and feed_forward[layer] > 0
        only_mlp = self.architecture.startswith("nemotron_h") and has_mlp_only
        return self.kv_heads[layer] == 0 and not only_mlp

    def own_kv_heads(self) -> tuple[int, ...]:
        """KV heads of each layer that keeps a cache, 0 for the others."""
        shared = int(self.get("attention.shared_kv_layers", 0))
        own = self.n_layers - max(self.n_next, shared)
        if self.architecture == "gemma3n":
            own = min(_GEMMA3N_OWN_LAYERS, self.n_layers)
        both = self.architecture == "falcon-h1"
        heads = tuple(
            n if layer < own and (both or not self.is_recurrent(layer)) else 0
            for layer, n in enumerate(self.kv_heads)
        )
        return (*heads, 1) if self.architecture == "graniteswitch" else heads

    def windows(self) -> tuple[list[bool], int] | None:
        """Which layers have a window, and its tokens; None where that is not known."""
        layout = _WINDOWS.get(self.architecture)
        tokens = self.get("attention.sliding_window", None)
        none = [False] * (self.n_layers + 1), 0
        if layout is None:
            known = not tokens or self.architecture in _NO_WINDOWS
            return none if known else None
        n_layers = self.n_layers - self.n_next
        if tokens == 0 or (self.architecture == "exaone4" and n_layers != 64):
            return none
        if tokens is None:
            tokens = layout.absent
        if tokens is None:
            # Those that need a window do not load without one.
            return none
        tokens = layout.fixed or tokens
        pattern = self.get("attention.sliding_window_pattern", layout.period)
        if pattern is None:
            kinds = dict.fromkeys(self.kv_heads)
            if len(kinds) != 2:
                return None
            # Two kinds of layers, and the last one is always full.
            pattern = [n != self.kv_heads[-1] for n in self.kv_heads]
        if isinstance(pattern, list):
            given = [bool(one) for one in pattern]
            return (given + none[0])[: self.n_layers + 1], int(tokens)
        period = int(pattern)
        where_full = 0 if layout.full_first else period - 1
        listed = [period == 0 or layer % period != where_full for layer in range(n_layers)]
        return (listed + none[0])[: self.n_layers + 1], int(tokens)

    def groups(self) -> tuple[LayerGroup, ...] | None:
        heads = self.own_kv_heads()
        windows = self.windows()
        if windows is None or self.architecture in _COMPRESSED:
            return None
        is_window, tokens = windows
        found = []
        for kind, head_k, head_v, window in (
            (FULL, self.head_k, self.head_v, None),
            (WINDOW, *self.window_head_sizes(), tokens),
        ):
            own = tuple(
                n for n, windowed in zip(heads, is_window, strict=False) if n and windowed == (kind == WINDOW)
            )
            if own:
                found.append(LayerGroup(kind, own, head_k, head_v, window, not self.is_mla))
        return (*found, *self.indexer(heads, is_window))

    def window_head_sizes(self) -> tuple[int, int]:
        return (
            int(self.get("attention.key_length_swa", self.head_k)),
            int(self.get("attention.value_length_swa", self.head_v)),
        )

    def indexer(self, heads: tuple[int, ...], is_window: list[bool]) -> tuple[LayerGroup, ...]:
        """One key head in each layer that picks tokens for itself."""
        size = int(self.get("attention.indexer.key_length", 0))
        if not size or (self.architecture == "hy_v4" and not self.get("attention.indexer.top_k", 0)):
            return ()
        layers = [layer for layer, n in enumerate(heads) if n and not is_window[layer]]
        if self.architecture == "minimax-m3":
            layers = [layer for layer in layers if layer >= int(self.get("leading_dense_block_count", 0))]
        types = self.get("attention.indexer.types", None)
        if isinstance(types, list):
            layers = [layer for layer in layers if layer < len(types) and types[layer]]
        elif self.architecture == "glm-dsa" and int(self.get("context_length", 0)) >= 1 << 20:
            # GLM-5.2 without the key: the first two layers, then every fourth.
            layers = [layer for layer in layers if layer < 2 or layer % 4 == 2]
        rows = 1
        if self.architecture == "glm5-next":
            rows = 3
        elif self.architecture == "qwen4exp" and self.get("attention.compress_ratios", 0):
            rows = 2
        keeps_v = not (self.is_mla or self.architecture == "qwen4exp")
        own = (1,) * len(layers)
        return (LayerGroup(INDEXER, own, size * rows, self.head_v, None, keeps_v),) if own else ()

    def recurrent_bytes(self) -> int | None:
        """State of one sequence, kept as f32 (``n_embd_r`` and ``n_embd_s`` of llama-hparams.cpp)."""
        layers = sum(self.is_recurrent(layer) for layer in range(self.n_layers - self.n_next))
        if not layers:
            return 0
        width = int(self.values[f"{self.architecture}.embedding_length"])
        kernel, inner, state, groups = (
            int(self.get(f"ssm.{name}", 0))
            for name in ("conv_kernel", "inner_size", "state_size", "group_count")
        )
        of_wkv, short, kda = (
            int(self.get(name, 0)) for name in ("wkv.head_size", "shortconv.l_cache", "kda.head_dim")
        )
        if of_wkv:
            values = int(self.get("token_shift_count", 2)) * width + width * of_wkv
        elif short:
            values = width * (short - 1)
        elif kda:
            values = 3 * (kernel - 1 if kernel else 3) * self.n_heads * kda + kda * kda * self.n_heads
        elif self.architecture == "minimax-01":
            values = self.head_k * self.head_k * self.n_heads
        elif inner:
            values = max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner
        else:
            # A layer without KV heads need not be recurrent.
            return None if self.architecture in (*_RECURRENT, *_HYBRID) else 0
        return 4 * values * layers
