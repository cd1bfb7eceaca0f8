"""The file of base log-probabilities that llama-perplexity writes with ``--kl-divergence-base``.

Format: ``tools/perplexity/perplexity.cpp`` in llama.cpp, ``perplexity`` and ``process_logits``. Little
endian: the 8 bytes ``_logits_``, uint32 n_ctx, int32 n_vocab, int32 n_chunk, int32 tokens[n_chunk x n_ctx],
then for every chunk one row of 16-bit numbers for each scored token. llama-perplexity exits with 0 even when
the disk was full, so the exact size is the proof that the file is complete.
"""

from __future__ import annotations

import struct
from pathlib import Path

from kvsweep.errors import KvsweepError

_MAGIC = b"_logits_"
_HEADER = struct.Struct("<8sIii")
_FIELDS = ("a context of {} tokens", "a vocabulary of {} tokens", "{} chunks")


def scored_tokens(n_ctx: int) -> int:
    """Tokens scored in one chunk: the second half of the window, less the one that has no successor."""
    return n_ctx - 1 - n_ctx // 2


def expected_size_bytes(n_ctx: int, n_vocab: int, n_chunk: int) -> int:
    """The size of a complete file, in bytes. A row has an even number of entries, and 4 for its scale."""
    row_bytes = 2 * (2 * ((n_vocab + 1) // 2) + 4)
    return _HEADER.size + n_chunk * (4 * n_ctx + scored_tokens(n_ctx) * row_bytes)


def check(path: Path, n_ctx: int, n_chunk: int, n_vocab: int) -> None:
    """Raise KvsweepError unless the baseline at ``path`` is complete and the one asked for."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
    except OSError as error:
        raise KvsweepError(f"the baseline {path} cannot be read: {error.strerror}") from error
    if head[: len(_MAGIC)] != _MAGIC[: len(head)]:
        raise KvsweepError(f"{path} is not a baseline of llama-perplexity: it starts with {head[:8]!r}")
    if len(head) < _HEADER.size:
        raise KvsweepError(f"the baseline {path} ends inside its header, after {len(head)} bytes")
    _, *found = _HEADER.unpack(head)
    asked = (n_ctx, n_vocab, n_chunk)
    for what, is_, should_be in zip(_FIELDS, found, asked, strict=True):
        if is_ != should_be:
            raise KvsweepError(f"the baseline {path} has {what.format(is_)}, not {what.format(should_be)}")
    size, whole = path.stat().st_size, expected_size_bytes(n_ctx, n_vocab, n_chunk)
    if size != whole:
        raise KvsweepError(
            f"the baseline {path} is {abs(size - whole)} bytes too {'long' if size > whole else 'short'}:"
            f" it has {size} bytes and must have {whole}"
        )
