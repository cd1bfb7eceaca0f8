"""Which predictions of a window the scorer scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.study.positions import Positions


def test_half_is_what_llama_perplexity_scores() -> None:
    assert Positions.parse("half").ranges(4096) == [range(2048, 4095)]
    assert Positions.parse("half").scored(512) == 512 - 1 - 256


def test_blocks_are_spread_over_the_window_and_the_last_one_ends_it() -> None:
    assert Positions.parse("4x16").ranges(1024) == [
        range(239, 255), range(495, 511), range(751, 767), range(1007, 1023),
    ]  # fmt: skip


@given(st.integers(1, 64), st.integers(1, 512), st.integers(16, 4096))
def test_no_position_is_scored_twice(blocks: int, tokens: int, n_ctx: int) -> None:
    positions = Positions(blocks, tokens)
    if blocks * tokens > n_ctx - 1:
        with pytest.raises(ValueError, match="is more than the"):
            positions.ranges(n_ctx)
        return
    found = [position for part in positions.ranges(n_ctx) for position in part]
    assert len(set(found)) == len(found) == blocks * tokens == positions.scored(n_ctx)
    assert min(found) >= 0 and max(found) == n_ctx - 2


@pytest.mark.parametrize(
    "text", ["", "all", "0x4", "4x0", "4x", "x4", "4*4", "-1x4", "4x4x4", " half", "4x1e3"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write half, or BLOCKSxTOKENS such as 16x256"):
        Positions.parse(text)


@pytest.mark.parametrize("text", ["half", "16x256"])
def test_it_reads_what_it_writes(text: str) -> None:
    assert str(Positions.parse(text)) == text
