"""Crossings of two pairs from their times, with numpy and scipy alone, as docs/analysis.md says that they are found."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats


class Crossing(NamedTuple):
    """Where two lines cross, whether a takes longer before, the interval, and how likely so clear an order is between
    equals on the less clear side; NaN where no error is known."""

    depth: float
    is_slower_before: bool
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan


class Differences(NamedTuple):
    """Seconds per token of one pair minus those of another by depth; ``means`` of both.

    With standard errors, or, of published ones, with bounds: by how much they may be off.
    """

    depths: np.ndarray
    values: np.ndarray
    means: np.ndarray
    stderrs: np.ndarray
    freedoms: np.ndarray
    bounds: np.ndarray

    @property
    def is_known(self) -> bool:
        return bool((self.stderrs > 1e-9 * 2 * self.means).all() or (self.bounds > 0).all())

    def beyond(self, weights: np.ndarray, confidence: float = 0.95) -> float:
        """By how much a weighted sum is farther from 0 than its error, by Welch and Satterthwaite; negative if not."""
        half = np.abs(weights) @ self.bounds
        if not half:
            stderr, freedom = self._error(weights)
            half = stats.t.ppf((1 + confidence) / 2, freedom) * stderr
        return float(abs(weights @ self.values) - half)

    def p(self, weights: np.ndarray) -> float:
        if self.bounds.any():
            return float(self.beyond(weights) <= 0)
        stderr, freedom = self._error(weights)
        return float(2 * stats.t.sf(abs(weights @ self.values) / stderr, freedom))

    def _error(self, weights: np.ndarray) -> tuple[float, float]:
        parts = (weights * self.stderrs) ** 2
        return float(np.sqrt(parts.sum())), float(parts.sum() ** 2 / (parts**2 / self.freedoms).sum())


def differences(a: np.ndarray, b: np.ndarray, depths: np.ndarray, bounds: np.ndarray) -> Differences:
    """``a``, ``b``: seconds per token, a row a round and a column a depth, NaN for none; ``bounds`` by depth."""
    columns = []
    for depth, ours, theirs, bound in zip(depths, a.T, b.T, bounds, strict=True):
        both = ~np.isnan(ours) & ~np.isnan(theirs)
        if both.any():
            ours, theirs = ours[both], theirs[both]
            means = stats.gmean(ours), stats.gmean(theirs)
            stderr = stats.sem(ours - theirs) if both.sum() > 1 else np.nan
            columns.append((depth, means[0] - means[1], sum(means) / 2, stderr, both.sum() - 1, bound))
    return Differences(*np.array(columns, float).reshape(-1, 6).T)


def crossings(found: Differences) -> list[Crossing]:
    """None, one, or two of them, of differences at two depths or more."""
    depths, n = found.depths, len(found.depths)
    design = np.stack([np.ones(n), depths], axis=1)
    weights = design.T / found.means**2
    solve = np.linalg.solve(weights @ design, weights)

    def line(depth: float) -> np.ndarray:
        fitted: np.ndarray = solve[0] + depth * solve[1]
        return fitted

    residuals = np.eye(n) - design @ solve
    spans = [(depths[0], depths[-1], line)]
    if found.is_known and n > 2 and any(found.beyond(one, 1 - 0.05 / n) > 0 for one in residuals):
        units = np.eye(n)
        told = [at for at in range(n) if found.beyond(units[at]) > 0]
        spans = []
        for left, right in pairwise(told):
            share = units[right] - units[left], depths[right] - depths[left]

            def between(
                depth: float, left: int = left, share: tuple[np.ndarray, float] = share
            ) -> np.ndarray:
                weights: np.ndarray = units[left] + share[0] * (depth - depths[left]) / share[1]
                return weights

            spans.append((depths[left], depths[right], between))
    changes = [
        span for span in spans if (span[2](span[0]) @ found.values) * (span[2](span[1]) @ found.values) < 0
    ]
    return [_crossing(found, *span) for span in changes[:2]]


def _crossing(found: Differences, low: float, high: float, at: object) -> Crossing:
    assert callable(at)
    depth = optimize.brentq(lambda place: at(place) @ found.values, low, high, xtol=1e-9)
    slower = bool(at(low) @ found.values > 0)
    if not found.is_known:
        return Crossing(depth, slower)
    ends = [
        end
        if found.beyond(at(end)) <= 0
        else optimize.brentq(lambda place: found.beyond(at(place)), depth, end)
        for end in (low, high)
    ]
    return Crossing(depth, slower, ends[0], ends[1], max(found.p(at(end)) for end in (low, high)))
