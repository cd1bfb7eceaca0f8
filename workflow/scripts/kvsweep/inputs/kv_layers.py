"""What each layer of a model keeps of every token, from the GGUF header: which cache, how many values of K and V.

llama.cpp makes one KV cache for each kind of layer:

- ``full``: a cell for every token of the context
- ``window``: layers with a sliding window (or attention in chunks), a cell for every token of the window
- ``indexer``: the keys by which sparse attention picks tokens, a cell for every token of the context

Recurrent layers keep a state that does not grow. Shared layers read another layer's cache, and most next-token layers
are not part of the context that is measured: neither keeps anything.

Source: ``load_arch_hparams`` in ``src/models/*.cpp`` and ``create_memory`` in ``src/llama-model.cpp`` of llama.cpp
b11434, whose own answers to 127 headers are held against these (``tests/data/kv-layers``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvsweep.inputs import recurrent
from kvsweep.inputs.recurrent import HeaderValues
from kvsweep.inputs.windows import has_windows, windows

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


# Caches whose cells hold more or less than a token each: their sizes stand in the log only.
_COMPRESSED = ("deepseek4",)
_GEMMA3N_OWN_LAYERS = 20  # the others share the caches of these


def kv_layers(architecture: str, values: Mapping[str, Any]) -> KvLayers:
    """The layers of a model whose header has these values, by name. Raises KeyError for a name that is needed."""
    header = HeaderValues(architecture, values)
    return KvLayers(
        _own_kv_heads(header), _groups(header), _window_head_sizes(header), recurrent.recurrent_bytes(header)
    )


def plain_group(kv_heads: tuple[int, ...], head_size_k: int, head_size_v: int) -> tuple[LayerGroup, ...]:
    """All layers that keep a cache as one group; none if there is none."""
    heads = tuple(n for n in kv_heads if n)
    return (LayerGroup(FULL, heads, head_size_k, head_size_v),) if heads else ()


def is_plain(architecture: str) -> bool:
    """Whether nothing but the KV heads of each layer decides the caches of an architecture."""
    special = (
        *("deepseek32", "dots3note", "glm-dsa", "glm5-next", "hy_v4", "minimax-m3", "qwen4exp", "deepseek2"),
        *_COMPRESSED,
    )
    return not has_windows(architecture) and architecture not in special


def _own_kv_heads(header: HeaderValues) -> tuple[int, ...]:
    """KV heads of each layer that keeps a cache, 0 for the others."""
    next_tokens = 0 if recurrent.caches_next_tokens(header.architecture) else header.n_next
    own = header.n_layers - max(next_tokens, int(header.get("attention.shared_kv_layers", 0)))
    if header.architecture == "gemma3n":
        own = min(_GEMMA3N_OWN_LAYERS, header.n_layers)
    both = header.architecture == "falcon-h1"
    heads = tuple(
        n
        if layer < own
        and (both or not recurrent.is_recurrent(header, layer))
        and not recurrent.is_only_feed_forward(header, layer)
        else 0
        for layer, n in enumerate(header.kv_heads)
    )
    return (*heads, 1) if header.architecture == "graniteswitch" else heads


def _groups(header: HeaderValues) -> tuple[LayerGroup, ...] | None:
    heads = _own_kv_heads(header)
    known = windows(header)
    if known is None or header.architecture in _COMPRESSED:
        return None
    is_window, tokens = known
    found = []
    for kind, head_k, head_v, window in (
        (FULL, header.head_k, header.head_v, None),
        (WINDOW, *_window_head_sizes(header), tokens),
    ):
        own = tuple(
            n for n, windowed in zip(heads, is_window, strict=False) if n and windowed == (kind == WINDOW)
        )
        if own:
            found.append(LayerGroup(kind, own, head_k, head_v, window, not header.is_mla))
    return (*found, *_indexer(header, heads, is_window))


def _window_head_sizes(header: HeaderValues) -> tuple[int, int]:
    return (
        int(header.get("attention.key_length_swa", header.head_k)),
        int(header.get("attention.value_length_swa", header.head_v)),
    )


def _indexer(header: HeaderValues, heads: tuple[int, ...], is_window: list[bool]) -> tuple[LayerGroup, ...]:
    """One key head in each layer that picks tokens for itself."""
    size = int(header.get("attention.indexer.key_length", 0))
    if not size or (header.architecture == "hy_v4" and not header.get("attention.indexer.top_k", 0)):
        return ()
    layers = [layer for layer, n in enumerate(heads) if n and not is_window[layer]]
    if header.architecture == "minimax-m3":
        layers = [layer for layer in layers if layer >= int(header.get("leading_dense_block_count", 0))]
    types = header.get("attention.indexer.types", None)
    if isinstance(types, list):
        layers = [layer for layer in layers if layer < len(types) and types[layer]]
    elif header.architecture == "glm-dsa" and int(header.get("context_length", 0)) >= 1 << 20:
        # GLM-5.2 without the key: the first two layers, then every fourth.
        layers = [layer for layer in layers if layer < 2 or layer % 4 == 2]
    rows = 1
    if header.architecture == "glm5-next":
        rows = 3
    elif header.architecture == "qwen4exp" and header.get("attention.compress_ratios", 0):
        rows = 2
    keeps_v = not (header.is_mla or header.architecture == "qwen4exp")
    own = (1,) * len(layers)
    return (LayerGroup(INDEXER, own, size * rows, header.head_v, None, keeps_v),) if own else ()
