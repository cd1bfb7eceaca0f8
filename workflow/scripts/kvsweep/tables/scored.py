"""What the scorer's records of a cell say: the columns of the table quality, and the same by position."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from kvsweep.engine.failures import first_line
from kvsweep.engine.scorer_file import SCORES, Window, read_windows
from kvsweep.engine.wordings import COMPUTATION
from kvsweep.errors import UnparsableOutput
from kvsweep.measure.record import Recorded
from kvsweep.statistics import Interval
from kvsweep.study.positions import Positions
from kvsweep.tables.blocks import Numbers, block_stderr, mean_of, quantile_intervals, share_of, window_stderr

_QUANTILES = {"kld_median": 0.5, "kld_p90": 0.9, "kld_p95": 0.95, "kld_p99": 0.99, "kld_p999": 0.999}
# Of a part of the positions.
_QUANTILES_OF_PART = {name: share for name, share in _QUANTILES.items() if name != "kld_p95"}
_PARTS = 16


def windows_of(recorded: Recorded) -> Iterator[Window]:
    """What the scorer recorded, a window at a time. Raises UnparsableOutput unless it is all that was asked for."""
    if failure := first_line(recorded.stderr, COMPUTATION):
        raise UnparsableOutput(f"a computation failed, so what was scored is no result: {failure}")
    run, path = recorded.run, recorded.directory / SCORES
    if not path.is_file():
        raise UnparsableOutput(f"{path.name} is missing")
    return read_windows(path, run["n_ctx"], run["chunks"], Positions.parse(run["positions"]))


def statistics(windows: Iterable[Window]) -> dict[str, Any]:
    """Columns of the table quality. Divergence in nats; ``windows`` hold the same positions each."""
    scores = np.stack([window.scores for window in windows])
    kld, ratio = scores["kld"].astype(float), scores["nll"].astype(float) - scores["nll_base"]
    same, delta_p = scores["same_top"].astype(float), scores["delta_p"].astype(float)
    nll, nll_base = float(scores["nll"].mean(dtype=float)), float(scores["nll_base"].mean(dtype=float))
    ppl = math.exp(nll)
    row = {
        "scored_tokens": int(kld.size),
        "window_tokens": kld.shape[1],
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
        "kld_windows": kld.mean(axis=1).tolist(),
        "ln_ppl_ratio_windows": ratio.mean(axis=1).tolist(),
        "top1_windows": scores["same_top"].sum(axis=1).tolist(),
    }
    for name, found in zip(_QUANTILES, quantile_intervals(kld, [*_QUANTILES.values()]), strict=True):
        row |= _ends(name, found)
    parts = by_position(scores)
    row |= {
        "by_position": parts,
        "depth_tokens": [part["depth_tokens"] for part in parts],
        "kld_by_depth": [part["kld_mean"] for part in parts],
        "kld_by_depth_stderr": [part.get("kld_mean_stderr") for part in parts],
        "top1_by_depth": [part["top1_agreement"] for part in parts],
        "top1_by_depth_stderr": [part.get("top1_agreement_stderr") for part in parts],
    }
    for name, values in (("kld", kld), ("ln_ppl_ratio", ratio)):
        error = window_stderr(values)
        row[f"{name}_window_stderr"] = error
        row[f"{name}_window_rounding"] = None if error is None else 0.0
    row["kld_block_stderr"] = block_stderr(kld)
    return row


def by_position(scores: Any) -> list[dict[str, Any]]:
    """Up to 16 parts of the scored positions, with as many positions each; ``scores`` has a row for each window.

    A token's depth is the number of tokens in the cache when it was predicted.
    """
    positions = scores["position"][0]
    parts = np.array_split(np.arange(len(positions)), min(_PARTS, len(positions)))
    return [_part(scores[:, part]) for part in parts if len(part)]


def _part(scores: Any) -> dict[str, Any]:
    depths = scores["position"][0] + 1
    kld = scores["kld"].astype(float)
    row: dict[str, Any] = {
        "depth_from": int(depths[0]),
        "depth_to": int(depths[-1]),
        "depth_tokens": float(depths.mean()),
        "tokens": int(kld.size),
    }
    for name, values, of in (
        ("kld_mean", kld, partial(mean_of, positive=True)),
        ("top1_agreement", scores["same_top"].astype(float), share_of),
        ("ln_ppl_ratio", scores["nll"].astype(float) - scores["nll_base"], mean_of),
    ):
        if values.size < 2:
            row |= {name: float(values.mean())} | _ends(name, None)
            continue
        found = of(values)
        row |= {name: found.value, f"{name}_stderr": found.stderr, "error_by": found.by}
        row |= _ends(name, Interval(found.value, found.low, found.high))
    for name, share in zip(
        _QUANTILES_OF_PART, quantile_intervals(kld, [*_QUANTILES_OF_PART.values()]), strict=True
    ):
        row |= {name: share and share.value} | _ends(name, share)
    return row


def _ends(name: str, found: Interval | None) -> dict[str, float | None]:
    return {f"{name}_low": found and found.low, f"{name}_high": found and found.high}


def _stderr(values: Numbers) -> float:
    """Tokens taken as independent, as llama-perplexity does."""
    return float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else 0.0
