"""What the scorer's records of a cell say: the columns of the table quality, and the same by position.

They are made in two steps: of the tokens their sums by window and part of the positions, with what no sum tells
(quantiles, errors of neighbouring tokens), and of these the columns. The first is what a slice carries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
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
from kvsweep.tables.blocks import (
    ENOUGH_BEYOND,
    Numbers,
    block_stderr,
    mean_of_windows,
    quantile_intervals,
    share_of_windows,
    stderr_of_windows,
)

_QUANTILES = {"kld_median": 0.5, "kld_p90": 0.9, "kld_p95": 0.95, "kld_p99": 0.99, "kld_p999": 0.999}
# Of a part of the positions.
_QUANTILES_OF_PART = {name: share for name, share in _QUANTILES.items() if name != "kld_p95"}
_PARTS = 16
# Beside a cell's run.json in a slice, in place of the scorer's record of each token.
SUMS = "sums.json"
_PROBLEM = "problem"


def sums_of(recorded: Recorded) -> dict[str, Any]:
    """The sums of a record, or ``{"problem": why there are none}``."""
    try:
        return sums(windows_of(recorded))
    except UnparsableOutput as error:
        return {_PROBLEM: str(error)}


def columns_of(recorded: Recorded) -> dict[str, Any]:
    """Columns of the table quality. Raises UnparsableOutput unless the record has all that was asked for."""
    if recorded.sums is None:
        return columns(sums(windows_of(recorded)))
    if _PROBLEM in recorded.sums:
        raise UnparsableOutput(str(recorded.sums[_PROBLEM]))
    _check_failure(recorded)
    # They may be a stranger's, and numbers of any size.
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        found, run = columns(recorded.sums), recorded.run
    asked = (run["chunks"], Positions.parse(run["positions"]).scored(run["n_ctx"]))
    if (len(found["kld_windows"]), found["window_tokens"]) != asked:
        raise UnparsableOutput("the sums are not of the windows and positions that were asked for")
    return found


def windows_of(recorded: Recorded) -> Iterator[Window]:
    """What the scorer recorded, a window at a time. Raises UnparsableOutput unless it is all that was asked for."""
    _check_failure(recorded)
    run, path = recorded.run, recorded.directory / SCORES
    if not path.is_file():
        raise UnparsableOutput(f"{path.name} is missing")
    return read_windows(path, run["n_ctx"], run["chunks"], Positions.parse(run["positions"]))


def _check_failure(recorded: Recorded) -> None:
    if failure := first_line(recorded.stderr, COMPUTATION):
        raise UnparsableOutput(f"a computation failed, so what was scored is no result: {failure}")


def sums(windows: Iterable[Window]) -> dict[str, Any]:
    """What the columns are made of, as JSON has it; ``windows`` hold the same positions each.

    ``parts`` are up to 16 parts of the scored positions, with as many positions each. Lists have a value for each
    window; divergence and ln_ppl_ratio are means over the part's tokens in nats, same_top counts tokens.
    """
    scores = np.stack([window.scores for window in windows])
    kld, ratio = scores["kld"].astype(float), scores["nll"].astype(float) - scores["nll_base"]
    same = scores["same_top"].astype(float)
    of_tokens = {
        "nll_stderr": _stderr(scores["nll"].astype(float)),
        "ln_ppl_ratio_stderr": _stderr(ratio),
        "kld_mean_stderr": _stderr(kld),
        "top1_agreement_stderr": _stderr(same),
        "kld_block_stderr": block_stderr(kld),
        "kld_max": float(kld.max()),
        # Of all tokens a quantile has a value also where too few lie beyond it for an interval.
        **_quantiles(kld, _QUANTILES, least_beyond=0),
    }
    parts = np.array_split(np.arange(kld.shape[1]), min(_PARTS, kld.shape[1]))
    return {
        "nll": scores["nll"].mean(axis=1, dtype=float).tolist(),
        "nll_base": scores["nll_base"].mean(axis=1, dtype=float).tolist(),
        "delta_p_squared": (scores["delta_p"].astype(float) ** 2).mean(axis=1).tolist(),
        "of_tokens": of_tokens,
        "parts": [
            _part(scores["position"][0, part] + 1, kld[:, part], ratio[:, part], same[:, part])
            for part in parts
        ],
    }


def _part(depths: Any, kld: Any, ratio: Any, same: Any) -> dict[str, Any]:
    """A token's depth is the number of tokens in the cache when it was predicted."""
    found = {
        "depth_from": int(depths[0]),
        "depth_to": int(depths[-1]),
        "depth_tokens": float(depths.mean()),
        "window_tokens": len(depths),
        "kld": kld.mean(axis=1).tolist(),
        "ln_ppl_ratio": ratio.mean(axis=1).tolist(),
        "same_top": same.sum(axis=1).astype(int).tolist(),
        "of_tokens": _quantiles(kld, _QUANTILES_OF_PART),
        "block_stderr": {},
    }
    if len(kld) < 2 <= kld.size:
        found["block_stderr"] = {
            name: block_stderr(values)
            for name, values in (("kld", kld), ("ln_ppl_ratio", ratio), ("same_top", same))
        }
    return found


def _quantiles(kld: Any, shares: Mapping[str, float], least_beyond: int = ENOUGH_BEYOND) -> dict[str, Any]:
    """The quantiles with their intervals; null where fewer than ``least_beyond`` tokens lie beyond one."""
    row: dict[str, Any] = {}
    for (name, share), found in zip(shares.items(), quantile_intervals(kld, [*shares.values()]), strict=True):
        carried = kld.size * (1 - share) >= least_beyond
        row |= {name: float(np.quantile(kld, share)) if carried else None} | _ends(name, found)
    return row


def columns(found: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the table quality of what ``sums`` says."""
    parts = found["parts"]
    weights = np.array([part["window_tokens"] for part in parts], dtype=float)
    n_tokens = int(weights.sum())
    kld, ratio = (
        np.average([part[name] for part in parts], axis=0, weights=weights)
        for name in ("kld", "ln_ppl_ratio")
    )
    same = np.sum([part["same_top"] for part in parts], axis=0)
    of_tokens = dict(found["of_tokens"])
    ppl, ppl_base = math.exp(np.mean(found["nll"])), math.exp(np.mean(found["nll_base"]))
    by_position = [_of_part(part) for part in parts]
    return {
        "scored_tokens": n_tokens * len(kld),
        "window_tokens": n_tokens,
        "ppl": ppl,
        "ppl_stderr": ppl * of_tokens.pop("nll_stderr"),
        "ppl_base": ppl_base,
        "ppl_difference": ppl - ppl_base,
        "ln_ppl_ratio": float(ratio.mean()),
        "kld_mean": float(kld.mean()),
        "top1_agreement": float(same.mean()) / n_tokens,
        "delta_p_rms": math.sqrt(np.mean(found["delta_p_squared"])),
        **of_tokens,
        "kld_windows": kld.tolist(),
        "ln_ppl_ratio_windows": ratio.tolist(),
        "top1_windows": same.tolist(),
        "by_position": by_position,
        "depth_tokens": [part["depth_tokens"] for part in by_position],
        "kld_by_depth": [part["kld_mean"] for part in by_position],
        "kld_by_depth_stderr": [part.get("kld_mean_stderr") for part in by_position],
        "top1_by_depth": [part["top1_agreement"] for part in by_position],
        "top1_by_depth_stderr": [part.get("top1_agreement_stderr") for part in by_position],
        **_window_errors("kld", kld),
        **_window_errors("ln_ppl_ratio", ratio),
    }


def _window_errors(name: str, means: Numbers) -> dict[str, float | None]:
    error = stderr_of_windows(means)
    return {f"{name}_window_stderr": error, f"{name}_window_rounding": None if error is None else 0.0}


def _of_part(part: Mapping[str, Any]) -> dict[str, Any]:
    n_tokens = part["window_tokens"]
    size = n_tokens * len(part["kld"])
    row = {name: part[name] for name in ("depth_from", "depth_to", "depth_tokens")} | {"tokens": size}
    for name, key, of in (
        ("kld_mean", "kld", partial(mean_of_windows, positive=True)),
        ("top1_agreement", "same_top", partial(share_of_windows, window_tokens=n_tokens)),
        ("ln_ppl_ratio", "ln_ppl_ratio", mean_of_windows),
    ):
        means = np.array(part[key], dtype=float) / (n_tokens if key == "same_top" else 1)
        if size < 2:
            row |= {name: float(means.mean())} | _ends(name, None)
            continue
        mean = of(means, part["block_stderr"].get(key))
        row |= {name: mean.value, f"{name}_stderr": mean.stderr, "error_by": mean.by}
        row |= {f"{name}_low": mean.low, f"{name}_high": mean.high}
    return {**row, **part["of_tokens"]}


def _ends(name: str, found: Interval | None) -> dict[str, float | None]:
    return {f"{name}_low": found and found.low, f"{name}_high": found and found.high}


def _stderr(values: Numbers) -> float:
    """Tokens taken as independent, as llama-perplexity does."""
    return float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else 0.0
