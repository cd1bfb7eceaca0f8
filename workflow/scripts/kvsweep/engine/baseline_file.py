"""The file of base log-probabilities that llama-perplexity writes with ``--kl-divergence-base``.

Format: ``tools/perplexity/perplexity.cpp`` in llama.cpp, ``perplexity`` and ``process_logits``. Little
endian: the 8 bytes ``_logits_``, uint32 n_ctx, int32 n_vocab, int32 n_chunk, int32 tokens[n_chunk x n_ctx],
then for every chunk one row of 16-bit numbers for each scored token. llama-perplexity exits with 0 even when
the disk was full, so the exact size is the proof that the file is complete.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from kvsweep.errors import KvsweepError

_MAGIC = b"_logits_"
_HEADER = struct.Struct("<8sIii")


def scored_tokens(n_ctx: int) -> int:
    """Tokens scored in one chunk: the second half of the window, less the one that has no successor."""
    return n_ctx - 1 - n_ctx // 2


def expected_size_bytes(n_ctx: int, n_vocab: int, n_chunk: int) -> int:
    """The size of a complete file, in bytes. A row has an even number of entries, and 4 for its scale."""
    row_bytes = 2 * (2 * ((n_vocab + 1) // 2) + 4)
    return _HEADER.size + n_chunk * (4 * n_ctx + scored_tokens(n_ctx) * row_bytes)


@dataclass(frozen=True)
class BaselineHeader:
    """What a baseline file says about itself: tokens per window, entries in the vocabulary, windows."""

    n_ctx: int
    n_vocab: int
    n_chunk: int

    @property
    def size_bytes(self) -> int:
        """The size that the whole file must have, in bytes."""
        return expected_size_bytes(self.n_ctx, self.n_vocab, self.n_chunk)


def read_header(path: Path) -> BaselineHeader:
    """The header of the baseline file at ``path``; KvsweepError if it is missing or not such a file."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
    except OSError as error:
        raise KvsweepError(f"the baseline {path} cannot be read: {error.strerror}") from error
    if head[: len(_MAGIC)] != _MAGIC[: len(head)]:
        raise KvsweepError(f"{path} is not a baseline of llama-perplexity: it starts with {head[:8]!r}")
    if len(head) < _HEADER.size:
        raise KvsweepError(f"the baseline {path} ends inside its header, after {len(head)} bytes")
    _, n_ctx, n_vocab, n_chunk = _HEADER.unpack(head)
    if n_ctx <= 0 or n_vocab <= 0 or n_chunk <= 0:
        raise KvsweepError(
            f"the baseline {path} claims a context of {n_ctx}, a vocabulary of {n_vocab} and {n_chunk} chunks"
        )
    return BaselineHeader(n_ctx, n_vocab, n_chunk)


def check(path: Path, n_ctx: int, n_chunk: int, n_vocab: int | None = None) -> BaselineHeader:
    """The header of a baseline that is complete and the one asked for; else KvsweepError says why not."""
    header = read_header(path)
    for what, found, asked in (
        ("a context of {} tokens", header.n_ctx, n_ctx),
        ("{} chunks", header.n_chunk, n_chunk),
        ("a vocabulary of {} tokens", header.n_vocab, n_vocab),
    ):
        if asked is not None and found != asked:
            raise KvsweepError(f"the baseline {path} has {what.format(found)}, not {what.format(asked)}")
    size = path.stat().st_size
    if size != header.size_bytes:
        difference = size - header.size_bytes
        raise KvsweepError(
            f"the baseline {path} is {abs(difference)} bytes too {'long' if difference > 0 else 'short'}:"
            f" it has {size} bytes and must have {header.size_bytes}"
        )
    return header
