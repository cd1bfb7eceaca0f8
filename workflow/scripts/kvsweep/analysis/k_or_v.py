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
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kvsweep.analysis.estimates import Error, Value, error_of
from kvsweep.analysis.many import Numbers
from kvsweep.analysis.row_values import kld_of
from kvsweep.analysis.set_ups import by_columns
from kvsweep.study.pairs import BASELINE_PAIR, Pair, type_order
from kvsweep.tables.row import SCORED, SET_UP, Row, pair_of, problem_with

ONE_SIDED, MAIN_EFFECTS = "one-sided cells", "main effects"
_BASE = BASELINE_PAIR.ctk
_DUST = 1e-12  # nats


class Effect(NamedTuple):
    """Part of the mean KL divergence that one side does: a weighted sum of the grid's cells."""

    weights: Numbers
    estimator: str


class _Grid:
    """Mean KL divergences of what was measured as the pair it is. Sums of cells are vectors of their weights."""

    def __init__(self, kld: Mapping[Pair, Value]) -> None:
        self.pairs, self._values = list(kld), list(kld.values())

    def cell(self, pair: Pair) -> Numbers:
        """The weights of one cell alone."""
        weights: Numbers = np.eye(len(self.pairs))[self.pairs.index(pair)]
        return weights

    def combination(self, weights: Numbers) -> tuple[float, Error | None]:
        """A weighted sum of cells, and its error. Printed values differ by a millionth or not at all: what the
        arithmetic leaves of a zero is none."""
        terms = [(float(weights[i]), self._values[i]) for i in np.flatnonzero(weights)]
        value = math.fsum(weight * one.value for weight, one in terms)
        return (0.0 if abs(value) < _DUST else value), error_of(terms)


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
                if reason is None and pair not in grid.pairs:
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
    if pair not in grid.pairs:
        return {}
    found = _with_error("kld_mean", *grid.combination(grid.cell(pair)))
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
    if BASELINE_PAIR not in grid.pairs:
        return {}, {}
    fitted, control = _fit(grid), grid.cell(BASELINE_PAIR)
    found: tuple[dict[str, Effect], dict[str, Effect]] = ({}, {})
    for side, effects in zip(("ctk", "ctv"), found, strict=True):
        for cache_type in {getattr(pair, side) for pair in grid.pairs}:
            one_sided = BASELINE_PAIR._replace(**{side: cache_type})
            if one_sided in grid.pairs:  # of f16 it is the control itself: 0
                effects[cache_type] = Effect(grid.cell(one_sided) - control, ONE_SIDED)
            elif (side, cache_type) in fitted:
                effects[cache_type] = fitted[side, cache_type]
    return found


def _fit(grid: _Grid) -> dict[tuple[str, str], Effect]:
    """Main effects that the cells determine, by side (ctk or ctv) and type."""
    sides = pd.DataFrame(grid.pairs, columns=["ctk", "ctv"])
    design = pd.concat({side: pd.get_dummies(sides[side], dtype=float) for side in sides}, axis=1)
    design = design.drop(columns=[("ctk", _BASE), ("ctv", _BASE)])
    # The control is 0 on all of them, and is what the other cells are measured from.
    solve = np.linalg.pinv(design.to_numpy())
    # Row i of solve @ design is a unit vector exactly if the cells determine unknown i.
    off = np.abs(solve @ design.to_numpy() - np.eye(len(solve))).max(axis=1, initial=0.0)
    # What is left of a zero by the arithmetic says nothing.
    weights = np.where(np.abs(solve) > 1e-9, solve.round(12), 0.0)
    weights[:, grid.pairs.index(BASELINE_PAIR)] = -solve.sum(axis=1).round(12)
    return {
        (side, name): Effect(row, MAIN_EFFECTS)
        for (side, name), row, left in zip(design.columns.to_numpy(), weights, off, strict=True)
        if left < 1e-9
    }


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
    found |= _share(grid, k.weights, v.weights)
    if pair in grid.pairs:
        over = _without_dust(grid.cell(pair) - grid.cell(BASELINE_PAIR) - k.weights - v.weights)
        # Cells that alone determine an effect leave nothing over.
        if over.any():
            name = "interaction" if estimator == ONE_SIDED else "residual"
            found |= _with_error(name, *grid.combination(over))
    return found


def _share(grid: _Grid, k: Numbers, v: Numbers) -> dict[str, float]:
    """K's part of the damage, where there is damage beyond its error.

    Its error to first order: the share's change with each cell is (weight in k - share x weight in both) / total.
    """
    total, error = grid.combination(_without_dust(k + v))
    if error is None or total <= error.half:
        return {}
    share = grid.combination(k)[0] / total
    _, error = grid.combination(_without_dust(((1 - share) * k - share * v) / total))
    assert error is not None
    ends = {"share_k": share, "share_k_low": share - error.half, "share_k_high": share + error.half}
    return {name: min(max(value, 0.0), 1.0) for name, value in ends.items()}


def _without_dust(weights: Numbers) -> Numbers:
    """What cancels in a sum of effects is 0, not what the arithmetic leaves of it."""
    sizes = np.abs(weights)
    return np.where(sizes > max(1e-9 * sizes.max(initial=0.0), _DUST), weights, 0.0)
