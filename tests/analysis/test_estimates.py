"""Two values against each other: differences, ratios and their intervals."""

from __future__ import annotations

import math
import random
from statistics import fmean, stdev, variance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.analysis.estimates import BY_WINDOW, EXACT, Value, error_of, half_width
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.row_values import quality_of, speed_of
from kvsweep.analysis.speed import over_rounds
from kvsweep.statistics import window_stderr, window_values
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
    found = gap(of([10.0, 5.0, 8.0]), of([20.0, 10.001, 16.0]))
    assert (found.ratio, found.ratio_low, found.ratio_high) == pytest.approx((0.5, 0.5, 0.5), abs=1e-3)


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
    assert (found.difference_low, found.ratio_low, found.interval) == (None, None, None)


def test_a_reference_of_zero_has_no_ratio() -> None:
    found = gap(Value(0.1, 0.01, kind="k"), Value(0.0, 0.0, kind="k"))
    assert found.ratio is None
    assert found.difference_high == pytest.approx(0.1 + 1.959964 * 0.01)


def test_an_exact_sum_has_no_width() -> None:
    assert half_width([]) == (0.0, EXACT)


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 2)), min_size=1, max_size=5))
def test_an_interval_never_shrinks_when_an_error_is_added(terms: list[tuple[float, float]]) -> None:
    values = [(weight, Value(1.0, error, kind="k")) for weight, error in terms]
    whole, _ = half_width(values)
    bounded, _ = half_width([*values, (1.0, Value(1.0, 0.0, 0.5, "b"))])
    assert whole is not None and bounded is not None
    assert bounded == pytest.approx(whole + 0.5)


def kld(row: dict[str, Any]) -> Value:
    value = quality_of(row, "kld_mean")
    assert value is not None
    return value


def test_windows_that_are_hard_for_both_cancel() -> None:
    chance = random.Random(3)
    hard = [0.01 * math.exp(chance.gauss(0, 1)) for _ in range(40)]
    a = quality_row("q4_0", "q4_0", fmean(hard), kld_windows=hard, kld_window_rounding=0.0)
    b = quality_row(
        "turbo4", "turbo4", fmean(hard) * 1.1, kld_windows=[1.1 * x for x in hard], kld_window_rounding=0.0
    )
    paired = gap(kld(a), kld(b))
    assert paired.interval == BY_WINDOW
    # Alone each varies by as much as its windows do, which tells nothing here; together they differ beyond doubt.
    assert paired.difference_high is not None and paired.difference_high < 0
    half = 2.0226909 * math.sqrt(variance([0.1 * x for x in hard]) / 40)  # t of 39 degrees of freedom
    assert paired.difference_high == pytest.approx(-fmean(hard) * 0.1 + half + 1e-6)  # two printed digits
    assert paired.ratio == pytest.approx(1 / 1.1)
    assert paired.ratio_low is not None and paired.ratio_high is not None
    assert paired.ratio_low < 1 / 1.1 < paired.ratio_high < 0.911


def test_other_windows_are_independent_of_each_other() -> None:
    windows = [0.1, 0.2], [0.1, 0.2, 0.6]
    a, b = (kld(quality_row("q4_0", "q4_0", kld_windows=own, kld_window_rounding=0.0)) for own in windows)
    error = error_of([(1, a), (-1, b)])
    assert error is not None and error.kind == BY_WINDOW
    of_a, of_b = (variance(own) / len(own) for own in windows)
    assert error.stderr == pytest.approx(math.sqrt(of_a + of_b))
    assert error.freedom == pytest.approx((of_a + of_b) ** 2 / (of_a**2 / 1 + of_b**2 / 2))  # Welch's


@pytest.mark.parametrize("other", [[0.1], [0.1, 0.2]])
def test_a_single_window_has_no_interval(other: list[float]) -> None:
    """As one round has none: what sets it apart from others is not seen in it."""
    a, b = (kld(quality_row("q4_0", "q4_0", kld_windows=own)) for own in ([0.1], other))
    assert a.kind is None and a.half is None
    assert error_of([(1, a), (-1, b)]) is None
    assert quality_of(
        quality_row("q4_0", "q4_0", top1_windows=[90], window_tokens=100), "top1_agreement"
    ) == (pytest.approx(a._replace(value=1 - 0.43 * 0.1)))


def printed(values: list[float], decimals: int = 5) -> list[float]:
    """Window values as they come back from running means that were printed with so many decimals."""
    running = [round(fmean(values[: n + 1]), decimals) for n in range(len(values))]
    return window_values(running)


def test_rounding_is_taken_out_of_the_spread_between_windows() -> None:
    chance = random.Random(5)
    shares = []
    for _ in range(300):
        values = [chance.gauss(1e-4, 1e-4) for _ in range(32)]
        rounding = window_stderr([0.0] * 32, 5)
        assert rounding is not None
        row = quality_row("q4_0", "q4_0", 1e-4, kld_windows=printed(values), kld_mean_stderr=None)
        error = error_of([(1.0, kld(row | {"kld_window_rounding": rounding.rounding}))])
        assert error is not None or rounding.rounding > 0
        if error is not None:
            shares.append(error.stderr**2 / (1e-8 / 32))
    assert fmean(shares) == pytest.approx(1, abs=0.15)  # without it the variance would be 1.6 times as large


def test_where_rounding_hides_every_window_it_is_not_subtracted() -> None:
    """The demo's f16/q4_0 at context 256: told from 0 by what rounding may hide in four windows, and once called at the
    floor. Its tokens alone, 7e-7, would cover less than is stated."""
    rounding = 1e-5 * math.sqrt(65 / 18)
    row = quality_row(
        "f16",
        "q4_0",
        1.7e-5,
        kld_windows=printed([1.7e-5] * 64),
        kld_mean_stderr=7e-7,
        kld_window_rounding=rounding,
    )
    error = error_of([(1.0, kld(row))])
    assert error is not None and error.kind == BY_WINDOW and error.freedom == 3
    hidden = 1e-5 * math.sqrt(4 * 5 / 18) / 8  # of four windows, in a mean over 64
    assert error.half == pytest.approx(3.182446 * hidden + 5e-7) and error.half < 1.7e-5


def test_agreement_is_paired_by_window() -> None:
    rows = [
        quality_row("q4_0", "q4_0", top1_agreement=0.9, top1_windows=counts, window_tokens=100)
        for counts in ([90, 80, 100], [85, 75, 95])
    ]
    a, b = (quality_of(row, "top1_agreement") for row in rows)
    assert a is not None and b is not None
    error = error_of([(1, a), (-1, b)])
    assert error is not None and error.kind == BY_WINDOW
    # Five fewer in each window: 15 tokens differ at least, of which no windows say more.
    assert error.stderr == pytest.approx(math.sqrt(16 - 15**2 / 302) / 302) and error.freedom == math.inf


def test_without_windows_the_larger_error_counts_and_a_tail_has_none() -> None:
    row = quality_row("q4_0", "q4_0", 0.01, kld_mean_stderr=0.001, kld_window_stderr=0.002, kld_windows=None)
    tail = quality_of(row, "kld_p999")
    assert kld(row).stderr == 0.002
    assert tail is not None and tail.kind is None


def test_where_rounding_hides_the_spread_of_all_windows_the_first_ones_tell_it() -> None:
    """Rounding adds to a window's value in proportion to its place in the text."""
    chance = random.Random(1)
    kld = [2e-4 * math.exp(chance.gauss(0, 0.5)) for _ in range(64)]
    printed = [round(fmean(kld[:n]), 5) for n in range(1, 65)]
    error = window_stderr(printed, 5)
    assert error is not None and error.rounding**2 > 0.5 * error.stderr**2
    values = window_values(printed)
    row = quality_row(
        "q8_0",
        "q8_0",
        fmean(kld),
        kld_windows=values,
        kld_window_rounding=error.rounding,
        kld_mean_stderr=1e-6,
    )
    value = quality_of(row, "kld_mean")
    assert value is not None
    found = error_of([(1, value)])
    assert found is not None and found.kind == BY_WINDOW
    # What the windows really differ by, and not the tokens' millionth.
    assert found.stderr == pytest.approx(stdev(kld) / 8, rel=0.5) and found.stderr > 5e-6
    assert 1 <= found.freedom < 63
