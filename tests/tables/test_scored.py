"""What a cell's scores say: means, tails and the same by position, each with an error that it can carry."""

import struct
from pathlib import Path

import numpy as np
import pytest
from kvsweep.engine.scorer_file import HEADER, SCORES
from kvsweep.errors import UnparsableOutput
from kvsweep.tables import blocks
from kvsweep.tables.columns import as_table
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.scored import columns, sums, windows_of
from scored_cell import mean_of, scored_cell, share_of


def drawn(windows: int, tokens: int, seed: int = 0) -> np.ndarray:
    """Divergences as they are: skewed, and of one mind with their neighbours."""
    random = np.random.default_rng(seed)
    smooth = np.apply_along_axis(
        lambda row: np.convolve(row, np.ones(8) / 8**0.5, "valid"),
        1,
        random.standard_normal((windows, tokens + 7)),
    )
    return np.exp(smooth)


def test_parts_say_where_they_lie_and_what_they_hold(tmp_path: Path) -> None:
    recorded = scored_cell(
        tmp_path, lambda _, position: position / 1000, n_ctx=4096, windows=3, positions="4x256"
    )
    row = columns(sums(windows_of(recorded)))
    parts = row["by_position"]
    assert len(parts) == 16 and sum(part["tokens"] for part in parts) == row["scored_tokens"] == 3 * 4 * 256
    assert (parts[0]["depth_from"], parts[-1]["depth_to"]) == (1023 - 256 + 1, 4095)
    for part in parts:
        assert part["kld_mean"] == pytest.approx((part["depth_tokens"] - 1) / 1000)
        assert part["ln_ppl_ratio"] == pytest.approx(part["kld_mean"] / 2, rel=1e-5)
        assert part["depth_from"] <= part["depth_tokens"] <= part["depth_to"]
        # 192 tokens: 19 of them lie beyond p90, and two beyond p99.
        assert part["kld_p90"] > part["kld_median"] and part["kld_p99"] is None
    assert row["kld_by_depth"] == [part["kld_mean"] for part in parts]
    assert as_table([row], QUALITY).num_rows == 1


def test_a_tail_that_too_few_tokens_carry_has_no_interval(tmp_path: Path) -> None:
    values = drawn(16, 1024)
    row = columns(sums(windows_of(scored_cell(tmp_path, lambda w, p: float(values[w, p]), windows=16))))
    assert row["kld_p99_low"] < row["kld_p99"] < row["kld_p99_high"]
    assert row["kld_p999"] is not None and row["kld_p999_low"] is row["kld_p999_high"] is None


def test_what_was_scored_beside_a_failed_computation_is_no_result(tmp_path: Path) -> None:
    failed = "ggml_metal_synchronize: error: command buffer 1 failed with status 5"
    recorded = scored_cell(tmp_path, lambda *_: 0.5)._replace(stderr=f"{failed}\n")
    with pytest.raises(UnparsableOutput, match=f"a computation failed, so what was .* no result: {failed}"):
        list(windows_of(recorded))


@pytest.mark.parametrize(
    ("at", "value", "problem"),
    [
        (0, b"not of a scorer.", "no whole window 0 of 2"),
        (HEADER.size, b"\xff" * 4, "window 0 of .* other positions than asked for"),
        (HEADER.size + 8, struct.pack("<f", float("nan")), "values that no token can have"),
    ],
)
def test_a_file_of_another_program_or_of_other_tokens_is_no_result(
    at: int, value: bytes, problem: str, tmp_path: Path
) -> None:
    recorded = scored_cell(tmp_path, lambda *_: 0.5, positions="4x8")
    path = tmp_path / SCORES
    data = path.read_bytes()
    path.write_bytes(data[:at] + value + data[at + len(value) :])
    with pytest.raises(UnparsableOutput, match=problem):
        list(windows_of(recorded))


def test_a_part_of_one_token_has_a_value_and_no_error(tmp_path: Path) -> None:
    cell = scored_cell(tmp_path, lambda _, position: position / 1000, windows=1, positions="16x1")
    row = columns(sums(windows_of(cell)))
    assert len(row["by_position"]) == 16
    assert row["kld_by_depth"][0] == pytest.approx(row["by_position"][0]["kld_mean"])
    assert row["kld_by_depth_stderr"] == row["top1_by_depth_stderr"] == [None] * 16
    assert {part["kld_mean_low"] for part in row["by_position"]} == {None}
    assert as_table([row], QUALITY).num_rows == 1


def test_each_windows_own_values_are_there_for_what_is_compared_by_window(tmp_path: Path) -> None:
    row = columns(sums(windows_of(scored_cell(tmp_path, lambda window, _: window + 0.5))))
    assert row["kld_windows"] == [0.5, 1.5] and row["ln_ppl_ratio_windows"] == [0.25, 0.75]
    assert row["top1_windows"] == [511, 0] and row["window_tokens"] == 511


def test_f16_against_itself_is_exactly_nothing(tmp_path: Path) -> None:
    row = columns(sums(windows_of(scored_cell(tmp_path, lambda *_: 0.0, windows=4))))
    assert row["kld_mean"] == row["kld_block_stderr"] == row["kld_p99_high"] == row["ln_ppl_ratio"] == 0.0
    assert row["top1_agreement"] == 1.0


@pytest.mark.parametrize("windows", [2, 4, 16])
@pytest.mark.parametrize("hard", [0.0, 1.0], ids=["windows are alike", "windows differ"])
def test_an_interval_of_a_mean_holds_it_as_often_as_it_says(windows: int, hard: float) -> None:
    truth, held, random = np.exp(0.5 + hard**2 / 2), 0, np.random.default_rng(windows)
    for seed in range(300):
        of_window = np.exp(hard * random.standard_normal((windows, 1)))
        found = mean_of(of_window * drawn(windows, 512, seed), positive=True)
        assert found.low is not None and found.high is not None and found.by == "windows"
        held += found.low <= truth <= found.high
    assert 0.91 <= held / 300 <= 0.99


def test_a_single_window_has_an_error_of_its_own_and_no_interval() -> None:
    one = drawn(1, 512)
    for found in (mean_of(one, positive=True), share_of(1.0 * (one > 1))):
        assert found.stderr > 0 and found.low is found.high is None and found.by == "blocks"
    assert blocks.quantile_intervals(drawn(3, 512), [0.5, 0.9]) == [None, None]


@pytest.mark.parametrize(("windows", "least_told"), [(4, 150), (16, 195)])
def test_an_interval_of_a_quantile_holds_it_as_often_as_it_says(windows: int, least_told: int) -> None:
    truth = np.exp(1.2815515655)  # 90 % of a lognormal
    found = [blocks.quantile_intervals(drawn(windows, 256, seed), [0.9])[0] for seed in range(200)]
    # Few windows often leave open how far up the quantile may lie.
    told = [one for one in found if one is not None]
    assert len(told) > least_told
    assert 0.91 <= sum(one.low <= truth <= one.high for one in told) / len(told) <= 1.0


def test_a_share_of_one_is_no_certainty() -> None:
    found = share_of(np.ones((2, 50)))
    assert found.value == found.high == 1.0 and found.low == pytest.approx(0.963, abs=1e-3)


def test_the_error_of_blocks_is_what_a_bootstrap_of_them_comes_to() -> None:
    values, random = drawn(3, 640), np.random.default_rng(5)
    around = np.concatenate([values, values[:, :63]], axis=1)
    rows, begins = random.integers(0, 3, (2000, 30)), random.integers(0, 640, (2000, 30))
    means = around[rows[:, :, None], begins[:, :, None] + np.arange(64)].mean(axis=(1, 2))
    assert np.std(means) == pytest.approx(blocks.block_stderr(values), rel=0.06)
