"""How long a deep cell will take, from shallower ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.engine.commands import BenchRequest
from kvsweep.measure.prediction import Rates, predicted_seconds, probe_depth


def request(depth: int, prompt: int = 512, generate: int = 128, repetitions: int = 3) -> BenchRequest:
    return BenchRequest(depth, prompt, generate, repetitions)


def linear(depth: int, base: float = 1e-4, per_token: float = 1e-8) -> Rates:
    """A token takes ``base`` seconds and ``per_token`` more for each token before it; decode ten times as long."""
    seconds = base + per_token * depth
    return Rates(1 / seconds, 0.1 / seconds)


def exact(depth: int, base: float = 1e-4, per_token: float = 1e-8) -> float:
    """Seconds for ``request(depth)``: fill the cache once, then the tests with their warm-up."""
    fill = base * depth + per_token * depth**2 / 2
    return fill + (base + per_token * depth) * (4 * 512 + 3 * 128 * 10)


def test_the_probe_is_the_shallowest_depth_with_something_in_the_cache() -> None:
    assert probe_depth({0: linear(0), 8192: linear(8192), 1024: linear(1024)}) == 1024
    assert probe_depth({0: linear(0)}) is None


def test_nothing_is_predicted_without_a_probe() -> None:
    deep_reference = {0: linear(0), 8192: linear(8192)}
    assert predicted_seconds(request(65536), {}, deep_reference) is None
    assert predicted_seconds(request(65536), {0: linear(0)}, deep_reference) is None
    # What is as deep as the cell or deeper does not count: it would not be there in another order of cells.
    assert predicted_seconds(request(8192), {8192: linear(8192), 65536: linear(65536)}, {}) is None


@pytest.mark.parametrize("depth", [8192, 65536, 1048576])
def test_two_depths_predict_a_linear_cost_exactly(depth: int) -> None:
    own = {0: linear(0), 1024: linear(1024)}
    assert predicted_seconds(request(depth), own, {}) == pytest.approx(exact(depth))


def test_one_probe_takes_the_shape_of_the_f16_curve() -> None:
    reference = {depth: linear(depth) for depth in (0, 1024, 8192, 65536)}
    twice_as_slow = {0: linear(0, 2e-4, 2e-8), 1024: linear(1024, 2e-4, 2e-8)}
    assert predicted_seconds(request(65536), twice_as_slow, reference) == pytest.approx(2 * exact(65536))


def test_one_probe_and_no_curve_is_taken_as_it_is() -> None:
    probe = {1024: linear(1024, 1e-4, 0)}
    assert predicted_seconds(request(8192), probe, {}) == pytest.approx(exact(8192, 1e-4, 0))


def test_a_probe_that_could_not_decode_predicts_the_prefill() -> None:
    own = {1024: Rates(1000.0, None)}
    assert predicted_seconds(request(8192), own, {}) == pytest.approx(8192 / 1000 + 4 * 512 / 1000)


def test_noise_does_not_predict_that_deeper_is_faster() -> None:
    noisy = {1024: Rates(1000.0, None), 2048: Rates(1010.0, None)}
    deep, deeper = (predicted_seconds(request(depth), noisy, {}) for depth in (65536, 131072))
    assert deep is not None and deeper is not None
    assert deep > 65536 / 1010
    assert deeper > 1.9 * deep


def test_a_steep_pair_of_points_does_not_predict_negative_time_before_them() -> None:
    steep = {1024: Rates(1000.0, None), 2048: Rates(100.0, None)}
    predicted = predicted_seconds(request(3072, prompt=1), steep, {})
    assert predicted is not None
    # From 1024 to 3072 tokens alone, along the line.
    assert predicted >= (0.001 + 0.019) / 2 * 2048


COSTS = st.dictionaries(
    st.sampled_from([0, 256, 1024, 2048, 4096, 8192]), st.floats(1e-6, 1e-2), min_size=1, max_size=6
)


def rising(costs: dict[int, float]) -> dict[int, Rates]:
    """Rates of a machine on which deeper never is faster."""
    seconds = sorted(costs.values())
    return {depth: Rates(1 / s, 1 / s) for depth, s in zip(sorted(costs), seconds, strict=True)}


@given(COSTS, COSTS, st.integers(8193, 2**20))
def test_twice_as_deep_takes_longer(own: dict[int, float], reference: dict[int, float], depth: int) -> None:
    once, twice = (predicted_seconds(request(d), rising(own), rising(reference)) for d in (depth, 2 * depth))
    if probe_depth(rising(own)) is None:
        assert once is None and twice is None
    else:
        assert once is not None and twice is not None
        assert 0 < once < twice


@given(st.floats(1e-6, 1e-2), st.floats(0, 1e-6), st.integers(2, 1024), st.integers(2049, 2**20))
def test_a_linear_cost_is_predicted_exactly_from_any_two_depths(
    base: float, per_token: float, shallow: int, depth: int
) -> None:
    own = {shallow: linear(shallow, base, per_token), 2 * shallow: linear(2 * shallow, base, per_token)}
    assert predicted_seconds(request(depth), own, {}) == pytest.approx(
        exact(depth, base, per_token), rel=1e-6
    )


def test_a_fork_that_fills_the_cache_for_each_test_takes_that_long() -> None:
    once = {depth: linear(depth) for depth in (0, 8192)}
    twice = {depth: Rates(rates.prefill, rates.decode, fills=2) for depth, rates in once.items()}
    fill = 1e-4 * 65536 + 1e-8 * 65536**2 / 2
    first, second = (predicted_seconds(request(65536), curve, {}) for curve in (once, twice))
    assert first is not None and second is not None
    assert second - first == pytest.approx(fill, rel=1e-6)
