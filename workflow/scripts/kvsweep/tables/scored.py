"""What the scorer's records of a cell say: the columns of the table quality, and divergence by position.

Errors are of windows where there are enough of them: tokens of a window share their context. With fewer than
``ENOUGH_WINDOWS`` they are of blocks of neighbouring tokens, by a bootstrap that draws whole blocks (moving blocks,
Kunsch 1989): what spreads less far than a block is then no reason for a too small error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvsweep.engine.scorer_file import Window

Numbers = NDArray[np.float64]

ENOUGH_WINDOWS = 8
BLOCK_TOKENS = 64
_DRAWS = 400
_SEED = 1
_QUANTILES = {"kld_median": 0.5, "kld_p90": 0.9, "kld_p95": 0.95, "kld_p99": 0.99, "kld_p999": 0.999}
_BINS = 16


def statistics(windows: Iterable[Window]) -> dict[str, Any]:
    """Columns of the table quality. Divergence in nats; ``windows`` hold the same positions each."""
    scores = np.stack([window.scores for window in windows])
    kld, ratio = scores["kld"].astype(float), scores["nll"].astype(float) - scores["nll_base"]
    same, delta_p = scores["same_top"].astype(float), scores["delta_p"].astype(float)
    nll, nll_base = float(scores["nll"].mean(dtype=float)), float(scores["nll_base"].mean(dtype=float))
    ppl = math.exp(nll)
    row = {
        "scored_tokens": int(kld.size),
        "ppl": ppl,
        "ppl_stderr": ppl * _stderr(scores["nll"].astype(float)),
        "ppl_base": math.exp(nll_base),
        "ln_ppl_ratio": float(ratio.mean()),
        "ln_ppl_ratio_stderr": _stderr(ratio),
        "ppl_difference": ppl - math.exp(nll_base),
        "kld_mean": float(kld.mean()),
        "kld_mean_stderr": _stderr(kld),
        **{name: float(np.quantile(kld, share)) for name, share in _QUANTILES.items()},
        "kld_max": float(kld.max()),
        "top1_agreement": float(same.mean()),
        "top1_agreement_stderr": _stderr(same),
        "delta_p_rms": math.sqrt(float((delta_p**2).mean())),
        "kld_windows": [float(value) for value in kld.mean(axis=1)],
        **_quantile_intervals(kld),
        **by_depth(scores),
    }
    for name, values in (("kld", kld), ("ln_ppl_ratio", ratio)):
        error = _window_stderr(values)
        row[f"{name}_window_stderr"] = error
        row[f"{name}_window_rounding"] = None if error is None else 0.0
    row["kld_block_stderr"] = block_stderr(kld)
    return row


def by_depth(scores: Any) -> dict[str, list[Any]]:
    """Means over neighbouring positions: up to 16 parts with the same number of scored positions each.

    ``depth_tokens`` is the mean number of tokens in the cache when the part's tokens were predicted.
    """
    positions = scores["position"][0]
    kld, same = scores["kld"].astype(float), scores["same_top"].astype(float)
    parts = [
        part for part in np.array_split(np.arange(len(positions)), min(_BINS, len(positions))) if len(part)
    ]
    return {
        "depth_tokens": [float(positions[part].mean()) + 1 for part in parts],
        "kld_by_depth": [float(kld[:, part].mean()) for part in parts],
        "kld_by_depth_stderr": [_best_stderr(kld[:, part]) for part in parts],
        "top1_by_depth": [float(same[:, part].mean()) for part in parts],
        "top1_by_depth_stderr": [_best_stderr(same[:, part]) for part in parts],
    }


def block_stderr(values: Numbers) -> float:
    """Standard error of the mean, blocks of neighbouring tokens of a window taken as independent."""
    return float(_draws(values, lambda drawn: drawn.mean()).std(ddof=1))


def _best_stderr(values: Numbers) -> float:
    """By windows where there are enough, else by blocks."""
    error = _window_stderr(values) if len(values) >= ENOUGH_WINDOWS else None
    return block_stderr(values) if error is None else error


def _stderr(values: Numbers) -> float:
    """Tokens taken as independent, as llama-perplexity does."""
    return float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else 0.0


def _window_stderr(values: Numbers) -> float | None:
    means = values.mean(axis=1)
    return float(means.std(ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else None


def _quantile_intervals(kld: Numbers) -> Mapping[str, float]:
    """95 % intervals of the tail's quantiles, from the same draws of blocks."""
    found: dict[str, float] = {}
    names = ("kld_p99", "kld_p999")
    drawn = _draws(kld, lambda values: np.quantile(values, [_QUANTILES[name] for name in names]))
    for name, low, high in zip(names, *np.quantile(drawn, [0.025, 0.975], axis=0), strict=True):
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found


def _draws(values: Numbers, of: Any) -> Numbers:
    """``of`` each of many samples of blocks, drawn with replacement from all windows; blocks do not cross windows."""
    n_windows, n_tokens = values.shape
    length = min(BLOCK_TOKENS, max(n_tokens // 4, 1))
    starts = n_tokens - length + 1
    random = np.random.default_rng(_SEED)
    n_blocks = -(-values.size // length)
    rows = random.integers(0, n_windows, (_DRAWS, n_blocks))
    begins = random.integers(0, starts, (_DRAWS, n_blocks))
    within = np.arange(length)
    return np.array(
        [
            of(values[row[:, None], begin[:, None] + within].ravel()[: values.size])
            for row, begin in zip(rows, begins, strict=True)
        ]
    )
