"""llama.cpp's reader of GGUF files, without what makes it slow: the items of long lists.

A vocabulary and its merges are hundreds of thousands of texts, of which the reader makes arrays, one by one, for twenty
seconds of a model of 250 MB. Written for gguf 0.17 and later, of whose reader it replaces one inner method; without it
a header is read slowly, and tests/inputs/test_model_header.py sees it.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
from gguf import GGUFEndian, GGUFReader, GGUFValueType

# No list of what describes a model is as long: those have an item for each layer.
_LONG = 4096


class ShortReader(GGUFReader):
    """A reader that skips the items of lists longer than ``_LONG``: their ``data`` has the right length and no
    items."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type == GGUFValueType.ARRAY:
            kind, number = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
            if int(number[0]) > _LONG:
                size = 12 + self._size_of_items(orig_offs + 12, GGUFValueType(int(kind[0])), int(number[0]))
                return size, [kind, number], range(int(number[0])), [GGUFValueType.ARRAY]
        return super()._get_field_parts(orig_offs, raw_type)

    def _size_of_items(self, start: int, kind: GGUFValueType, number: int) -> int:
        """How many bytes the items take. Raises ValueError where the file is too short for so many."""
        simple = self.gguf_scalar_to_np.get(kind)
        if simple is not None:
            end = start + number * np.dtype(simple).itemsize
        elif kind == GGUFValueType.STRING:
            end = self._end_of_texts(start, number)
        else:
            raise ValueError(f"a list of {number} items of the kind {kind.name}")
        if end > len(self.data):
            raise ValueError(f"a list of {number} items is longer than the file")
        return end - start

    def _end_of_texts(self, start: int, number: int) -> int:
        """Where the texts end, which may be behind the file's end. A text is its length, in 8 bytes, and its bytes."""
        content = memoryview(cast(Any, self.data))
        order: Literal["little", "big"] = "big" if self.endianess == GGUFEndian.BIG else "little"
        end = start
        for _ in range(number):
            if end > len(content):
                break
            end += 8 + int.from_bytes(content[end : end + 8], order)
        return end
