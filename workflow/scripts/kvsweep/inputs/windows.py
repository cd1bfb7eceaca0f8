"""Which layers of a model have a sliding window (or attention in chunks), and of how many tokens.

Source: ``load_arch_hparams`` in ``src/models/*.cpp`` of llama.cpp b11434.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvsweep.inputs.recurrent import HeaderValues


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
_NO_WINDOWS = "deepseek2 llama mistral3 phi3 phimoe qwen2 qwen2moe qwen3 qwen3moe starcoder2".split()


def has_windows(architecture: str) -> bool:
    return architecture in _WINDOWS


def windows(header: HeaderValues) -> tuple[list[bool], int] | None:
    """Which layers have a window, and its tokens; None where that is not known."""
    layout = _WINDOWS.get(header.architecture)
    tokens = header.get("attention.sliding_window", None)
    none = [False] * (header.n_layers + 1), 0
    if layout is None:
        known = not tokens or header.architecture in _NO_WINDOWS
        return none if known else None
    n_layers = header.n_layers - header.n_next
    if tokens == 0 or (header.architecture == "exaone4" and n_layers != 64):
        return none
    if tokens is None:
        tokens = layout.absent
    if tokens is None:
        # Those that need a window do not load without one.
        return none
    tokens = layout.fixed or tokens
    pattern = header.get("attention.sliding_window_pattern", layout.period)
    if pattern is None:
        kinds = dict.fromkeys(header.kv_heads)
        if len(kinds) != 2:
            return None
        # Two kinds of layers, and the last one is always full.
        pattern = [n != header.kv_heads[-1] for n in header.kv_heads]
    if isinstance(pattern, list):
        given = [bool(one) for one in pattern]
        return (given + none[0])[: header.n_layers + 1], int(tokens)
    period = int(pattern)
    where_full = 0 if layout.full_first else period - 1
    listed = [period == 0 or layer % period != where_full for layer in range(n_layers)]
    return (listed + none[0])[: header.n_layers + 1], int(tokens)
