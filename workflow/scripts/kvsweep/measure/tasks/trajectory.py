"""``trajectory``: the likeliest continuation of pieces of a text, token by token, to be laid beside f16's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from kvsweep.measure.tasks.item import MOST_BYTES_PER_TOKEN, Item, Words


def items(definition: dict[str, Any], words: Words, text: str) -> Iterator[Item]:
    """All of the task's, the short contexts first; pieces begin evenly spread over ``text``.

    Raises ValueError for a piece that is too short.
    """
    for context in sorted(definition["contexts"]):
        n_prompt = context - definition["tokens"]
        last = max(len(text) - n_prompt * MOST_BYTES_PER_TOKEN, 0)
        for index in range(definition["items"]):
            start = last * index // max(definition["items"] - 1, 1)
            yield Item(
                f"continue/{context}/{index:03d}",
                context,
                "continue",
                partial(_prompt, text[start : start + n_prompt * MOST_BYTES_PER_TOKEN], n_prompt, words),
                None,
                definition["tokens"],
                said={"start": start},
            )


def _prompt(piece: str, n_prompt: int, words: Words) -> list[int]:
    found = words.tokens(piece)
    if len(found) < n_prompt:
        raise ValueError(f"the text has {len(found)} tokens of the {n_prompt} that a prompt takes")
    return found[:n_prompt]
