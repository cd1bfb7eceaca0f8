"""The values of a GGUF header that decide what a model's layers keep, as llama.cpp reads them.

Source: ``load_hparams`` in ``src/llama-model.cpp`` of llama.cpp b11434.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HeaderValues:
    """``n_heads``: of the first layer. ``head_k``, ``head_v``: values of one head of full attention. ``kv_heads``: of
    each layer, the next-token layers (``n_next``, the last ones) included."""

    def __init__(self, architecture: str, values: Mapping[str, Any]) -> None:
        """Raises KeyError for a name that is needed."""
        self.architecture, self.values = architecture, values
        self.n_layers = int(values[f"{architecture}.block_count"]) * int(self.get("num_loops", 1))
        heads = values[f"{architecture}.attention.head_count"] if self.has("attention.head_count") else 0
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

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self.values

    def get(self, key: str, default: Any) -> Any:
        return self.values.get(f"{self.architecture}.{key}", default)

    def of_layers(self, given: Any) -> list[int]:
        """A number of each layer, which the header gives for all of them or one by one."""
        listed = [int(n) for n in given] if isinstance(given, list) else [int(given)]
        return (listed * self.n_layers)[: self.n_layers]

    @property
    def is_mla(self) -> bool:
        return bool(self.get("attention.key_length_mla", 0) and self.get("attention.value_length_mla", 0))
