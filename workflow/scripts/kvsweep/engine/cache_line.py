"""The lines by which an engine says what KV cache it made, in both forms.

Format: ``src/llama-kv-cache.cpp`` of llama.cpp; one line for all layers: ik_llama.cpp, and llama.cpp until 2025-04.
"""

from __future__ import annotations

import re

from kvsweep.engine.logged import KvCache
from kvsweep.errors import UnparsableOutput

# Numbers keep their leading blanks, so that one that lost a digit is too short for its column.
_KV_SIZE = re.compile(
    r"size = ([ \d]{4,}\.\d\d) MiB \(([ \d]{6,}) cells, ([ \d]{3,}) layers, ([ \d]{2,})(?:/(\d+))? seqs\),"
    r" K \((\w+)\): ([ \d]{4,}\.\d\d) MiB, V \((\w+)\): ([ \d]{4,}\.\d\d) MiB"
)
# One line for all layers: ik_llama.cpp, and llama.cpp until 2025-04. An MLA model's K is called c^KV there, and the
# transposed copy of it kv^T.
_KV_SELF_SIZE = re.compile(
    r"KV self size  = ([ \d]{4,}\.\d\d) MiB, (?:K|c\^KV) \((\w+)\): ([ \d]{4,}\.\d\d) MiB, "
    r"(?:(?:V|kv\^T) \((\w+)\): ([ \d]{4,}\.\d\d) MiB|kv\^T: not used)"
)


def kv_cache(message: str, label: str | None) -> KvCache:
    """The cache of a line ``size = ...``; ``label``: what the engine said that it creates. Raises UnparsableOutput."""
    size, cells, layers, n_seq, n_stream, type_k, k_size, type_v, v_size = known(_KV_SIZE, message).groups()
    return KvCache(
        size_mib=padded_number(size, 7),
        cells=int(padded_number(cells, 6)),
        layers=int(padded_number(layers, 3)),
        n_seq=int(padded_number(n_seq, 2)),
        n_stream=int(n_stream) if n_stream else None,
        type_k=type_k,
        k_mib=padded_number(k_size, 7),
        type_v=type_v,
        v_mib=padded_number(v_size, 7),
        label=label,
    )


def kv_self_size(message: str, n_ctx: int | None) -> KvCache:
    """The cache of a line ``KV self size``, in a context of ``n_ctx`` tokens. Raises UnparsableOutput."""
    size, type_k, k_size, type_v, v_size = known(_KV_SELF_SIZE, message).groups()
    if n_ctx is None:
        raise UnparsableOutput("the log tells the size of a KV cache before the length of its context")
    k_mib = padded_number(k_size, 7)
    return KvCache(
        size_mib=padded_number(size, 7),
        cells=n_ctx,
        layers=None,
        n_seq=None,
        n_stream=None,
        type_k=type_k,
        k_mib=k_mib,
        type_v=type_v or type_k,
        v_mib=padded_number(v_size, 7) if v_size else 0.0,
    )


def padded_number(printed: str, width: int) -> float:
    """A number printed at ``width``, or longer and without blanks. Exact for the integers of a log."""
    digits = printed.lstrip(" ")
    if " " in digits or not digits or (len(printed) != width and (len(printed) < width or printed != digits)):
        raise UnparsableOutput(f"{printed!r} is not a number as wide as the engine prints it")
    return float(digits)


def known(pattern: re.Pattern[str], message: str) -> re.Match[str]:
    """The match of all of ``message``. Raise UnparsableOutput if it has another form."""
    match = pattern.fullmatch(message)
    if match is None:
        raise UnparsableOutput(f"the log has a line of unknown form: {message!r}")
    return match
