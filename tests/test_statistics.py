"""Intervals, drift and window errors, against published tables, hand calculations and simulation."""

import math
import random
from statistics import fmean, pstdev, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep import statistics
from kvsweep.statistics import (
    drift,
    student_t_quantile,
    window_stderr,
    window_values,
)

RATES = st.lists(st.floats(min_value=1, max_value=1e4), min_size=2, max_size=8)


@pytest.mark.parametrize(
    ("probability", "degrees_of_freedom", "t"),
    [  # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 4, 2.776),
        (0.975, 8, 2.306),
        (0.975, 30, 2.042),
        (0.975, 100, 1.984),
        (0.90, 5, 1.476),
        (0.95, 10, 1.812),
        (0.99, 3, 4.541),
        (0.999, 6, 5.208),
    ],
)
def test_quantiles_are_those_of_the_published_table(
    probability: float, degrees_of_freedom: float, t: float
) -> None:
    assert student_t_quantile(probability, degrees_of_freedom) == pytest.approx(t, abs=5.1e-4)


@pytest.mark.parametrize(
    ("probability", "degrees_of_freedom", "t"),
    [  # closed forms: tan(pi (p - 1/2)) for 1 degree of freedom, (2p - 1)/sqrt(2 p (1 - p)) for 2
        (0.975, 1, math.tan(math.pi * 0.475)),
        (0.6, 1, math.tan(math.pi * 0.1)),
        (0.975, 2, 0.95 / math.sqrt(2 * 0.975 * 0.025)),
        (0.975, 1e7, 1.959964),  # the normal distribution's
    ],
)
def test_quantiles_agree_with_closed_forms(probability: float, degrees_of_freedom: float, t: float) -> None:
    assert student_t_quantile(probability, degrees_of_freedom) == pytest.approx(t, rel=1e-6)


def test_quantiles_are_symmetric_about_the_median() -> None:
    assert student_t_quantile(0.5, 7) == pytest.approx(0, abs=1e-6)
    assert student_t_quantile(0.025, 7) == pytest.approx(-student_t_quantile(0.975, 7), rel=1e-12)


@pytest.mark.parametrize(("probability", "degrees_of_freedom"), [(0, 5), (1, 5), (0.9, 0), (0.9, math.nan)])
def test_quantiles_of_nonsense_are_refused(probability: float, degrees_of_freedom: float) -> None:
    with pytest.raises(ValueError):
        student_t_quantile(probability, degrees_of_freedom)


def test_a_line_drifts_without_error() -> None:
    assert drift([100, 99, 98, 97, 96]) == pytest.approx((-1 / 98, 0), abs=1e-12)


def test_drift_of_noise_by_hand() -> None:
    # y = 1, 3, 2: slope 0.5, residuals -0.5, 1, -0.5: stderr = sqrt(1.5/1/2)
    assert drift([1, 3, 2]) == pytest.approx((0.5 / 2, math.sqrt(0.75) / 2))


@pytest.mark.parametrize("samples", [[], [1.0], [1.0, 2.0], [-1.0, 0.0, 1.0]])
def test_no_drift_from_so_little(samples: list[float]) -> None:
    assert drift(samples) is None


def test_windows_are_recovered_from_running_means() -> None:
    assert window_values([2.0, 3.0, 3.0]) == pytest.approx([2, 4, 3])


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=50))
def test_running_means_and_back(values: list[float]) -> None:
    means = [fmean(values[: i + 1]) for i in range(len(values))]
    assert window_values(means) == pytest.approx(values, abs=1e-9)


def test_window_stderr_is_that_of_the_values() -> None:
    values = [0.012, 0.015, 0.011, 0.013]
    means = [fmean(values[: i + 1]) for i in range(4)]
    error = window_stderr(means, decimals=5)
    assert error is not None
    assert error.stderr == pytest.approx(stdev(values) / 2)


def test_one_window_has_no_error() -> None:
    assert window_stderr([0.012], decimals=5) is None


def test_the_rounding_part_is_what_rounding_alone_leaves() -> None:
    """Equal windows whose running means are known to three decimals only: all spread is rounding."""
    source = random.Random(2)
    n, decimals = 24, 3
    squares = []
    for _ in range(4000):
        printed = [0.5 + source.uniform(-0.5, 0.5) * 10**-decimals for _ in range(n)]
        error = window_stderr(printed, decimals)
        assert error is not None
        squares.append(error.stderr**2)
        rounding = error.rounding
    assert math.sqrt(fmean(squares)) == pytest.approx(rounding, rel=5 * pstdev(squares) / fmean(squares) / 63)


def test_wilsons_interval() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263, 15 of 148, 0 of 20.
    for right, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        found = statistics.wilson(right, n)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert statistics.wilson(20, 20).high == 1.0


@pytest.mark.parametrize(("one", "other"), [(0, 0), (6, 0), (5, 0), (7, 3), (20, 41), (3, 3)])
def test_mcnemar_is_the_binomial_test(one: int, other: int) -> None:
    n = one + other
    expected = sum(math.comb(n, k) for k in range(min(one, other) + 1)) * 2 / 2**n
    assert statistics.mcnemar(one, other) == pytest.approx(min(expected, 1.0), rel=1e-12)


def test_a_paired_difference() -> None:
    found = statistics.paired_difference(12, 4, 100)
    assert found.value == pytest.approx(0.08)
    assert found.low == pytest.approx(
        8 / 102 - 1.959964 * math.sqrt(17 / 102 - (8 / 102) ** 2) / math.sqrt(102), rel=1e-6
    )
    assert statistics.paired_difference(0, 0, 10).low < 0 < statistics.paired_difference(0, 0, 10).high
