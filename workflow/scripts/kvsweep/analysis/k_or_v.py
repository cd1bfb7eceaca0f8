"""How much of the damage to quality comes from K, how much from V: the grid of KL divergence over both types.

Near the baseline the KL divergence is a quadratic form of the change of the log-probabilities. Changes by K and by V
that have nothing to do with each other then add up: KLD(K, V) = control + from_k(K) + from_v(V), each 0 for f16. What a
cell has beyond that is its interaction. Two estimators, the first where it can be had:

- **one-sided cells**: from_k(K) is KLD(K/f16) - control, from_v(V) is KLD(f16/V) - control, measured directly
- **main effects**: least squares of the sum above over all measured cells of the grid (ordinary, as cells differ by
  more than their errors). An effect counts only if the cells determine it: pairs of equal types alone tell the sum of
  both, never the parts.

Errors are those of the cells, taken as independent. Cells score the same text, so that those of a difference are rather
smaller. What the sum leaves out, the interaction, is not in the errors of main effects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvsweep.analysis.estimates import quality_of
from kvsweep.analysis.set_ups import by_columns, kld_of
from kvsweep.study.pairs import BASELINE_PAIR, KNOWN_TYPES, Pair
from kvsweep.tables.row import SCORED, SET_UP, pair_of, problem_with

Row = Mapping[str, Any]

ONE_SIDED, MAIN_EFFECTS = "one-sided cells", "main effects"
_BASE = BASELINE_PAIR.ctk
_Z = 1.959963984540054


@dataclass(frozen=True)
class Effect:
    """Part of the mean KL divergence (nats) that one side does: a weighted sum of measured cells."""

    value: float
    weights: Mapping[Pair, float]
    estimator: str


@dataclass(frozen=True)
class _Grid:
    """What was measured as the pair it is: mean KL divergence and its standard error; None where that is not known."""

    kld: Mapping[Pair, float]
    stderr: Mapping[Pair, float | None]

    def combination(self, weights: Mapping[Pair, float]) -> tuple[float, float | None]:
        """A weighted sum of cells, and its standard error."""
        value = math.fsum(weight * self.kld[pair] for pair, weight in weights.items())
        errors = [(weight, self.stderr[pair]) for pair, weight in weights.items() if weight]
        known = [weight * error for weight, error in errors if error is not None]
        return value, math.hypot(*known) if len(known) == len(errors) else None


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
    known = {pair: value for pair, value in kld.items() if value is not None}
    grid = _Grid(known, {pair: _stderr(asked[pair]) for pair in known})
    from_k, from_v = _effects(grid)
    types_k, types_v = ({getattr(pair, side) for pair in asked} for side in ("ctk", "ctv"))
    for ctk in sorted(types_k, key=KNOWN_TYPES.index):
        for ctv in sorted(types_v, key=KNOWN_TYPES.index):
            pair = Pair(ctk, ctv)
            reason: str | None
            if pair not in asked:
                status, reason = "not asked for", "no such pair among the quality cells"
            else:
                status, reason = str(asked[pair]["status"]), problems[pair] and str(problems[pair])
                if reason is None and pair not in known:
                    reason = "no KL divergence is known"
                elif status != "measured":
                    reason = asked[pair]["reason"]
            yield {
                "ctk": ctk,
                "ctv": ctv,
                "status": status,
                "reason": reason,
                "kld_mean": known.get(pair),
                "kld_mean_stderr": grid.stderr.get(pair),
                **_parts(grid, pair, from_k.get(ctk), from_v.get(ctv)),
            }


def _stderr(row: Row) -> float | None:
    value = quality_of(row, "kld_mean")
    return 0.0 if value is None else value.spread


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
                effects[cache_type] = Effect(0.0, {}, ONE_SIDED)
            elif one_sided in grid.kld:
                weights = {one_sided: 1.0, BASELINE_PAIR: -1.0}
                effects[cache_type] = Effect(grid.combination(weights)[0], weights, ONE_SIDED)
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
                pair: float(weight)
                for pair, weight in zip(cells, solve[i], strict=True)
                if abs(weight) > 1e-9
            }
            weights[BASELINE_PAIR] = -float(solve[i].sum())
            found[unknown] = Effect(grid.combination(weights)[0], weights, MAIN_EFFECTS)
    return found


def _parts(grid: _Grid, pair: Pair, k: Effect | None, v: Effect | None) -> dict[str, Any]:
    """How a cell's damage divides, whether or not the cell itself was measured."""
    found: dict[str, Any] = {}
    for name, effect in (("from_k", k), ("from_v", v)):
        if effect is not None:
            found[name], found[f"{name}_stderr"] = grid.combination(effect.weights)
    if k is None or v is None:
        return found
    found["estimator"] = ONE_SIDED if k.estimator == v.estimator == ONE_SIDED else MAIN_EFFECTS
    total = k.value + v.value
    if total > 0:
        share = k.value / total
        found["share_k"] = min(max(share, 0.0), 1.0)
        # To first order: the share's change with each cell is (weight in k - share x weight in both) / total.
        weights = {
            cell: (k.weights.get(cell, 0.0) * (1 - share) - share * v.weights.get(cell, 0.0)) / total
            for cell in {**k.weights, **v.weights}
        }
        error = grid.combination(weights)[1]
        if error is not None:
            found["share_k_low"] = min(max(share - _Z * error, 0.0), 1.0)
            found["share_k_high"] = min(max(share + _Z * error, 0.0), 1.0)
    if pair in grid.kld and _BASE not in (pair.ctk, pair.ctv):
        weights = {pair: 1.0, BASELINE_PAIR: -1.0}
        for effect in (k, v):
            for cell, weight in effect.weights.items():
                weights[cell] = weights.get(cell, 0.0) - weight
        # Cells that alone determine an effect leave nothing over to tell an interaction from.
        if any(abs(weight) > 1e-9 for weight in weights.values()):
            found["interaction"], found["interaction_stderr"] = grid.combination(weights)
    return found
