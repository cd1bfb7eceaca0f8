"""Which predictions of a window the scorer scores. ``scored_positions`` of scorer/positions.cpp is the same rule."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Positions:
    """``half``: the second half of the window, as llama-perplexity scores. ``16x256``: 16 blocks of 256 tokens spread
    evenly over the window, the last one at its end. ``blocks`` is 0 for ``half``."""

    blocks: int = 0
    tokens: int = 0

    @classmethod
    def parse(cls, text: str) -> Positions:
        """The positions that ``half`` or ``16x256`` names. Raises ValueError with a sentence for anything else."""
        if text == "half":
            return cls()
        match = re.fullmatch(r"([1-9]\d{0,6})x([1-9]\d{0,6})", text)
        if match is None:
            raise ValueError(f"{text!r} is not known; write half, or BLOCKSxTOKENS such as 16x256")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.blocks}x{self.tokens}" if self.blocks else "half"

    def scored(self, n_ctx: int) -> int:
        """How many predictions of a window of ``n_ctx`` tokens are scored."""
        return sum(len(part) for part in self.ranges(n_ctx))

    def ranges(self, n_ctx: int) -> list[range]:
        """The scored positions of a window, counted from 0: after each the next token is predicted.

        Raises ValueError with a sentence where the window has fewer predictions than blocks of this size need.
        """
        last = n_ctx - 1
        if not self.blocks:
            return [range(n_ctx // 2, last)]
        if self.blocks * self.tokens > last:
            raise ValueError(f"{self} is more than the {last} predictions of a window of {n_ctx} tokens")
        ends = [last * block // self.blocks for block in range(1, self.blocks + 1)]
        return [range(end - self.tokens, end) for end in ends]
