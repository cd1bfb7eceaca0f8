"""The difference that "no difference shown" says could have been seen: the test shows it in 4 of 5 runs."""

import numpy as np
import pytest
from kvsweep.analysis.detectable import detectable_difference, power
from kvsweep.statistics import mcnemar
from scipy import stats

RUNS = 4000


@pytest.mark.parametrize(
    ("only_one", "only_other", "n"), [(0, 0, 30), (3, 3, 50), (5, 9, 100), (20, 20, 225), (2, 4, 400)]
)
def test_with_that_true_difference_the_test_decides_in_four_of_five_runs(
    only_one: int, only_other: int, n: int
) -> None:
    """Simulated runs, each decided by scipy's own exact test of the items that differ."""
    difference = detectable_difference(only_one, only_other, n)
    differing = max((only_one + only_other) / n, difference)
    draws = np.random.default_rng(1).multinomial(
        n, [(differing + difference) / 2, (differing - difference) / 2, 1 - differing], size=RUNS
    )
    kinds, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    shown = [
        m > 0 and stats.binomtest(int(k), int(m), 0.5).pvalue < 0.05
        for (k, _), m in zip(kinds, kinds.sum(axis=1), strict=True)
    ]
    share = counts[shown].sum() / RUNS
    # Three standard errors of the simulation.
    assert share == pytest.approx(0.8, abs=3 * np.sqrt(0.8 * 0.2 / RUNS) + 0.002)


def test_a_smaller_difference_is_shown_less_often() -> None:
    shown = [power(100, 0.2, difference) for difference in (0.0, 0.05, 0.1, 0.15, 0.2)]
    assert shown == sorted(shown)
    # Where there is none, the test errs in at most one of 20 runs.
    assert shown[0] < 0.05


def test_of_few_items_none_is_shown() -> None:
    assert detectable_difference(0, 0, 5) == 1.0
    # All six have to differ one way: x^6 = 0.8.
    assert detectable_difference(0, 0, 6) == pytest.approx(0.8 ** (1 / 6), rel=2e-3)
    assert detectable_difference(20, 20, 100) > detectable_difference(5, 5, 100)
    assert mcnemar(6, 0) < 0.05 < mcnemar(5, 0)
