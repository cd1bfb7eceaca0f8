"""How much of the damage to quality comes from K, how much from V: the grid of KL divergence over both types.

Near the baseline the KL divergence is a quadratic form of the change of the log-probabilities. Changes by K and by V
that have nothing to do with each other then add up: KLD(K, V) = control + from_k(K) + from_v(V), each 0 for f16. Two
estimators, the first where it can be had:

- **one-sided cells**: from_k(K) is KLD(K/f16) - control, from_v(V) is KLD(f16/V) - control, measured directly. What a
  cell has beyond the sum is its interaction
- **main effects**: least squares of the sum above over all measured cells of the grid (ordinary, as cells differ by
  more than their errors). An effect counts only if the cells determine it: pairs of equal types alone tell the sum of
  both, never the parts. What a cell has beyond the sum is a residual of the fit, which says nothing of an interaction

All cells score the same text: every sum is made in each window, and its error is that over the windows
(``estimates``). How the damage divides is said only where there is damage beyond its error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvsweep.analysis.estimates import Error, Value, error_of
from kvsweep.analysis.row_values import kld_of
from kvsweep.analysis.set_ups import by_columns
from kvsweep.study.pairs import BASELINE_PAIR, Pair, type_order
from kvsweep.tables.row import SCORED, SET_UP, Row, pair_of, problem_with

ONE_SIDED, MAIN_EFFECTS = "one-sided cells", "main effects"
_BASE = BASELINE_PAIR.ctk
_DUST = 1e-12  # nats


@dataclass(frozen=True)
class Effect:
    """Part of the mean KL divergence that one side does: a weighted sum of measured cells."""

    weights: Mapping[Pair, float]
    estimator: str


@dataclass(frozen=True)
class _Grid:
    """Mean KL divergence of what was measured as the pair it is."""

    kld: Mapping[Pair, Value]

    def combination(self, weights: Mapping[Pair, float]) -> tuple[float, Error | None]:
        """A weighted sum of cells, and its error. Printed values differ by a millionth or not at all: what the
        arithmetic leaves of a zero is none."""
        value = math.fsum(weight * self.kld[pair].value for pair, weight in weights.items())
        error = error_of((weight, self.kld[pair]) for pair, weight in weights.items())
        return (0.0 if abs(value) < _DUST else value), error


def k_or_v(quality: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``k_or_v``: each K type with each V type of a set-up, corpus and context."""
    found = []
    for key, rows in by_columns(quality, (*SET_UP, *SCORED)).items():
        shared = dict(zip((*SET_UP, *SCORED), key, strict=True))
        found += [shared | row for row in _of_grid(rows)]
    return found


def _of_grid(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    asked = {pair_of(row): row for row in rows}
    problems = {pair: problem_with(row) for pair, row in asked.items()}
    kld = {pair: kld_of(row) for pair, row in asked.items() if problems[pair] is None}
    grid = _Grid({pair: value for pair, value in kld.items() if value is not None})
    from_k, from_v = _effects(grid)
    types_k, types_v = ({getattr(pair, side) for pair in asked} for side in ("ctk", "ctv"))
    for ctk in sorted(types_k, key=type_order):
        for ctv in sorted(types_v, key=type_order):
            pair = Pair(ctk, ctv)
            reason: str | None
            if pair not in asked:
                status, reason = "not asked for", "no such pair among the quality cells"
            else:
                status, reason = str(asked[pair]["status"]), problems[pair] and str(problems[pair])
                if reason is None and pair not in grid.kld:
                    reason = "no KL divergence is known"
                elif status != "measured":
                    reason = asked[pair]["reason"]
            yield {
                "ctk": ctk,
                "ctv": ctv,
                "status": status,
                "reason": reason,
                **_own(grid, pair),
                **_parts(grid, pair, from_k.get(ctk), from_v.get(ctv)),
            }


def _own(grid: _Grid, pair: Pair) -> dict[str, Any]:
    """A cell's own divergence; no interval of one that is not negative begins below 0."""
    if pair not in grid.kld:
        return {}
    found = _with_error("kld_mean", *grid.combination({pair: 1.0}))
    if found["kld_mean"] >= 0 and "kld_mean_low" in found:
        found["kld_mean_low"] = max(found["kld_mean_low"], 0.0)
    return found


def _with_error(name: str, value: float, error: Error | None) -> dict[str, Any]:
    found: dict[str, Any] = {name: value}
    if error is not None:
        found |= {
            f"{name}_stderr": error.spread,
            f"{name}_low": value - error.half,
            f"{name}_high": value + error.half,
        }
    return found


def _effects(grid: _Grid) -> tuple[dict[str, Effect], dict[str, Effect]]:
    """from_k by K type and from_v by V type, as far as they can be had."""
    found: tuple[dict[str, Effect], dict[str, Effect]] = ({}, {})
    if BASELINE_PAIR not in grid.kld:
        return found
    fitted = _fit(grid)
    for side, effects in enumerate(found):
        for cache_type in {(pair.ctk, pair.ctv)[side] for pair in grid.kld}:
            one_sided = Pair(cache_type, _BASE) if side == 0 else Pair(_BASE, cache_type)
            if cache_type == _BASE:
                effects[cache_type] = Effect({}, ONE_SIDED)
            elif one_sided in grid.kld:
                effects[cache_type] = Effect({one_sided: 1.0, BASELINE_PAIR: -1.0}, ONE_SIDED)
            elif (side, cache_type) in fitted:
                effects[cache_type] = fitted[side, cache_type]
    return found


def _fit(grid: _Grid) -> dict[tuple[int, str], Effect]:
    """Main effects that the cells determine, by side (0: K, 1: V) and type."""
    cells = [pair for pair in grid.kld if pair != BASELINE_PAIR]
    unknowns = sorted(
        {(0, pair.ctk) for pair in cells if pair.ctk != _BASE}
        | {(1, pair.ctv) for pair in cells if pair.ctv != _BASE}
    )
    if not unknowns:
        return {}
    design = np.array(
        [[float((pair.ctk, pair.ctv)[side] == name) for side, name in unknowns] for pair in cells]
    )
    solve = np.linalg.pinv(design)
    # Row i of solve @ design is a unit vector exactly if the cells determine unknown i.
    resolution = solve @ design
    found = {}
    for i, unknown in enumerate(unknowns):
        if np.abs(resolution[i] - np.eye(len(unknowns))[i]).max() < 1e-9:
            # What is left of a zero by the arithmetic says nothing.
            weights = {
                pair: round(float(weight), 12)
                for pair, weight in zip(cells, solve[i], strict=True)
                if abs(weight) > 1e-9
            }
            weights[BASELINE_PAIR] = -round(float(solve[i].sum()), 12)
            found[unknown] = Effect(weights, MAIN_EFFECTS)
    return found


def _parts(grid: _Grid, pair: Pair, k: Effect | None, v: Effect | None) -> dict[str, Any]:
    """How a cell's damage divides, whether or not the cell itself was measured."""
    found: dict[str, Any] = {}
    for name, effect in (("from_k", k), ("from_v", v)):
        if effect is not None:
            found |= _with_error(name, *grid.combination(effect.weights))
    if k is None or v is None:
        return found
    estimator = ONE_SIDED if k.estimator == v.estimator == ONE_SIDED else MAIN_EFFECTS
    found["estimator"] = estimator
    if _BASE in (pair.ctk, pair.ctv):
        return found  # one side does all of it
    found |= _share(grid, k, v)
    if pair in grid.kld:
        weights = _sum_of(({pair: 1.0, BASELINE_PAIR: -1.0}, 1.0), (k.weights, -1.0), (v.weights, -1.0))
        # Cells that alone determine an effect leave nothing over.
        if weights:
            name = "interaction" if estimator == ONE_SIDED else "residual"
            found |= _with_error(name, *grid.combination(weights))
    return found


def _share(grid: _Grid, k: Effect, v: Effect) -> dict[str, float]:
    """K's part of the damage, where there is damage beyond its error.

    Its error to first order: the share's change with each cell is (weight in k - share x weight in both) / total.
    """
    total, error = grid.combination(_sum_of((k.weights, 1.0), (v.weights, 1.0)))
    if error is None or total <= error.half:
        return {}
    share = grid.combination(k.weights)[0] / total
    _, error = grid.combination(_sum_of((k.weights, (1 - share) / total), (v.weights, -share / total)))
    assert error is not None
    return {
        name: min(max(value, 0.0), 1.0)
        for name, value in (
            ("share_k", share),
            ("share_k_low", share - error.half),
            ("share_k_high", share + error.half),
        )
    }


def _sum_of(*parts: tuple[Mapping[Pair, float], float]) -> dict[Pair, float]:
    """Weights of a sum of weighted effects; what cancels is left out."""
    total: dict[Pair, float] = {}
    for weights, factor in parts:
        for pair, weight in weights.items():
            total[pair] = total.get(pair, 0.0) + factor * weight
    largest = max((abs(weight) for weight in total.values()), default=0.0)
    return {
        pair: weight for pair, weight in total.items() if abs(weight) > 1e-9 * largest and abs(weight) > _DUST
    }
