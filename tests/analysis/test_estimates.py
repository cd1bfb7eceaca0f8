"""Two values against each other: differences, ratios and their intervals."""

from __future__ import annotations

import math
import random
from statistics import fmean, stdev, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.analysis.estimates import (
    BY_WINDOW,
    EXACT,
    Value,
    gap,
    gap_by_window,
    half_width,
    quality_of,
    speed_of,
    t_quantile,
)
from kvsweep.analysis.speed import over_rounds
from kvsweep.statistics import student_t_quantile
from synthetic_tables import quality_row, rounds_at

A, B = [10.0, 10.2, 10.1], [9.0, 9.1, 9.4]


def of(rates: list[float]) -> Value:
    (row,) = over_rounds(rounds_at("f16", "f16", rates))
    return speed_of(row)


def test_measured_speeds_differ_by_students_t_of_the_logarithms_over_rounds() -> None:
    found = gap(of(A), of(B))
    logs = [math.log(x / y) for x, y in zip(A, B, strict=True)]
    half = 4.302652730 * stdev(logs) / 3**0.5  # t of 2 degrees of freedom
    assert found.ratio == pytest.approx(math.exp(fmean(logs)))
    assert (found.ratio_low, found.ratio_high) == pytest.approx(
        (math.exp(fmean(logs) - half), math.exp(fmean(logs) + half))
    )
    half = 4.302652730 * stdev([x - y for x, y in zip(A, B, strict=True)]) / 3**0.5
    assert found.difference_high == pytest.approx(found.difference + half)
    assert found.interval == "95 % interval over rounds"


def test_what_a_round_does_to_both_cancels() -> None:
    found = gap(of([10.0, 5.0, 8.0]), of([20.0, 10.0, 16.0]))
    assert (found.ratio, found.ratio_low, found.ratio_high) == pytest.approx((0.5, 0.5, 0.5))


def test_rounding_is_a_bound_and_adds_up() -> None:
    rows = [
        {"tokens_per_second": rate, "rounds": [], "tokens_per_second_rounding": 0.5}
        for rate in (128.0, 124.0)
    ]
    found = gap(*map(speed_of, rows))
    assert (found.difference_low, found.difference_high) == (3, 5)
    assert found.interval == "rounding of the published digits"


def test_one_round_says_nothing_of_its_error() -> None:
    found = gap(of([10.0]), of([9.0]))
    assert found.ratio == pytest.approx(10 / 9)
    assert found.difference_low is found.ratio_low is found.interval is None


def test_a_reference_of_zero_has_no_ratio() -> None:
    found = gap(Value(0.1, 0.01, kind="k"), Value(0.0, 0.0, kind="k"))
    assert found.ratio is None
    assert found.difference_high == pytest.approx(0.1 + 1.959964 * 0.01)


@given(st.floats(0.6, 1e7))
def test_the_t_of_a_table_is_the_t(freedom: float) -> None:
    assert t_quantile(freedom) == pytest.approx(student_t_quantile(0.975, freedom), rel=1e-6)


def test_an_exact_sum_has_no_width() -> None:
    assert half_width([]) == (0.0, EXACT)


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 2), st.floats(1, 50)), min_size=1, max_size=5))
def test_an_interval_never_shrinks_when_an_error_is_added(terms: list[tuple[float, float, float]]) -> None:
    values = [(weight, Value(1.0, error, freedom, None, "k")) for weight, error, freedom in terms]
    whole, _ = half_width(values)
    bounded, _ = half_width([*values, (1.0, Value(1.0, bound=0.5, kind="b"))])
    assert whole is not None and bounded is not None
    assert bounded == pytest.approx(whole + 0.5)


def test_windows_that_are_hard_for_both_cancel() -> None:
    chance = random.Random(3)
    hard = [0.01 * math.exp(chance.gauss(0, 1)) for _ in range(40)]
    a = quality_row("q4_0", "q4_0", fmean(hard), kld_windows=hard)
    b = quality_row("turbo4", "turbo4", fmean(hard) * 1.1, kld_windows=[1.1 * x for x in hard])
    paired = gap_by_window(a, b)
    assert paired is not None and paired.interval == BY_WINDOW
    first, second = quality_of(a, "kld_mean"), quality_of(b, "kld_mean")
    assert first is not None and second is not None
    # Alone each varies by as much as its windows do, which tells nothing here; together they differ beyond doubt.
    assert paired.difference_high is not None and paired.difference_high < 0
    half = 2.0226909 * math.sqrt(variance([0.1 * x for x in hard]) / 40)  # t of 39 degrees of freedom
    assert paired.difference_high == pytest.approx(-fmean(hard) * 0.1 + half)
    assert (paired.ratio, paired.ratio_low, paired.ratio_high) == pytest.approx((1 / 1.1,) * 3)


@pytest.mark.parametrize(("a", "b"), [(None, [0.1, 0.2]), ([0.1], [0.1]), ([0.1, 0.2], [0.1, 0.2, 0.3])])
def test_without_the_same_windows_there_is_no_pairing(a: list[float] | None, b: list[float]) -> None:
    rows = [quality_row("q4_0", "q4_0", kld_windows=windows) for windows in (a, b)]
    assert gap_by_window(*rows) is None


def test_the_larger_error_of_a_divergence_counts_and_its_tail_has_none() -> None:
    row = quality_row("q4_0", "q4_0", 0.01, kld_mean_stderr=0.001, kld_window_stderr=0.002)
    mean, tail = quality_of(row, "kld_mean"), quality_of(row, "kld_p999")
    assert mean is not None and mean.stderr == 0.002
    assert tail is not None and tail.kind is None
