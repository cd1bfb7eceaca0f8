"""Divergences of which few windows bear most: their intervals hold the truth as often as they state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.estimates import Value, error_of
from kvsweep.analysis.row_values import quality_of
from kvsweep.report.post import study_tables
from kvsweep.report.quality import CARRIED_NOTE, quality_sections
from kvsweep.tables.blocks import mean_of_windows
from kvsweep.tables.skewed import is_carried_by_one
from scipy import stats
from synthetic_tables import quality_row

Draw = Callable[[np.random.Generator, int], np.ndarray]  # windows of a text, with mean 1


def lognormal(spread: float) -> Draw:
    """With mean 1."""
    return lambda chance, n: np.exp(chance.normal(-(spread**2) / 2, spread, n))


def spiky(each: float) -> Draw:
    """Half of the mean, 1, stands in so many spikes a window."""

    def draw(chance: np.random.Generator, n: int) -> np.ndarray:
        spikes = chance.gamma(np.maximum(chance.poisson(each, n), 1e-12))
        return (lognormal(0.1)(chance, n) + spikes / each) / 2

    return draw


TEXTS = {"alike": lognormal(0.1), "apart": lognormal(0.7), "two spikes": spiky(2), "rare spikes": spiky(0.4)}


def of(windows: np.ndarray, **more: Any) -> Value:
    row = quality_row("q4_0", "q4_0", float(windows.mean()), method="scorer", kld_windows=windows.tolist())
    value = quality_of(row | {"kld_window_rounding": 0.0} | more, "kld_mean")
    assert value is not None
    return value


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("n", [8, 16, 48])
def test_an_interval_holds_the_truth_as_often_as_it_says(text: str, n: int) -> None:
    """Student's t alone holds it in 78 % of 8 windows with rare spikes, in 89 % of windows that are far apart."""
    chance, draws = np.random.default_rng(n), 700
    whole = part = 0
    for _ in range(draws):
        windows = TEXTS[text](chance, n)
        half, ends = of(windows).half, mean_of_windows(windows, positive=True)
        assert half is not None and ends.low is not None and ends.high is not None
        whole += abs(windows.mean() - 1) <= half
        part += ends.low <= 1 <= ends.high
    least = 0.85 if (text, n) == ("rare spikes", 8) else 0.91
    assert least < whole / draws < 0.99 and least < part / draws < 0.99


def test_windows_that_are_alike_have_students_t() -> None:
    """Those of every real model that was measured: their intervals are what they were."""
    windows = lognormal(0.12)(np.random.default_rng(1), 16)
    assert of(windows).half == pytest.approx(stats.t.ppf(0.975, 15) * stats.sem(windows))


def test_one_end_is_as_far_as_the_farther_one_of_skewed_windows() -> None:
    windows = np.array([1.0, 1.1, 0.9, 1.0, 1.2, 0.8, 1.0, 6.0])
    t, n, skewness = stats.t.ppf(0.975, 7), 8, stats.skew(windows)
    y = -t / np.sqrt(n) - skewness / (6 * n)
    hall = -windows.std(ddof=1) * 3 / skewness * (np.cbrt(1 + skewness * y) - 1)
    log = windows.mean() * (np.exp(t * stats.sem(windows) / windows.mean()) - 1)
    assert of(windows).half == pytest.approx(max(hall, log))
    assert hall > log > t * stats.sem(windows)
    # A difference is symmetric where both pairs do as much damage: it keeps Student's t.
    other = windows[::-1].copy()
    error = error_of([(1, of(windows)), (-1, of(other))])
    assert error is not None
    assert error.half == pytest.approx(t * stats.sem(windows - other))


def test_rounding_makes_no_skewness() -> None:
    """Where print rounding adds more than a tenth of the variance, its half digit is what counts."""
    windows = np.array([1.0, 1.1, 0.9, 6.0])
    rounding = 0.5 * stats.sem(windows)
    value = of(windows, kld_window_rounding=rounding)
    error = error_of([(1, value)])
    assert error is not None
    assert error.stderr == pytest.approx(np.sqrt(stats.sem(windows) ** 2 - rounding**2))
    assert is_carried_by_one(windows, 0.0) and not is_carried_by_one(windows, value.rounding)


@pytest.mark.parametrize(
    ("windows", "carried"),
    [
        ([1.0, 1.0, 1.0, 3.1], True),
        ([1.0, 1.0, 1.0, 2.9], False),
        ([0.1, 9.0], False),  # of two, one is always more
        ([0.0] * 4, False),
        ([0.1] * 15 + [2.0], True),
    ],
)
def test_a_window_that_bears_most_is_said_beside_the_number(windows: list[float], carried: bool) -> None:
    assert is_carried_by_one(np.array(windows), 0.0) == carried
    row = quality_row("q4_0", "q4_0", float(np.mean(windows)), kld_windows=windows, kld_window_rounding=0.0)
    grids = [
        grid for (section,) in ([*quality_sections([row])], study_tables([], [row])) for grid in section.grids
    ]
    assert len(grids) == 2
    for grid in grids:
        assert any(entry.text.endswith("‡") for line in grid.rows for entry in line) == carried
        assert (CARRIED_NOTE in grid.notes) == carried
