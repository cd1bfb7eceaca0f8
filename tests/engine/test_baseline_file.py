"""The baseline file: header, exact size, and one clear sentence for each way to be wrong."""

import struct
from pathlib import Path

import pytest
from kvsweep.engine import baseline_file
from kvsweep.errors import KvsweepError


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """As llama-perplexity writes it: 2 windows of 8 tokens, 3 of them scored, and a vocabulary of 5."""
    path = tmp_path / "logits.kld"
    rows = 2 * 3 * (2 * 3 + 4)
    path.write_bytes(b"_logits_" + struct.pack("<Iii", 8, 5, 2) + bytes(4 * 2 * 8) + bytes(2 * rows))
    return path


@pytest.mark.parametrize(
    ("n_ctx", "n_vocab", "n_chunk", "size"),
    [
        (128, 259, 7, 236_452),  # written by llama-perplexity: an odd vocabulary is padded to an even row
        (8, 259, 3, 4_868),  # and this one
        (8, 5, 2, 204),
    ],
)
def test_the_size_is_known_before_the_run(n_ctx: int, n_vocab: int, n_chunk: int, size: int) -> None:
    assert baseline_file.expected_size_bytes(n_ctx, n_vocab, n_chunk) == size


def test_a_large_vocabulary_needs_about_half_a_megabyte_for_each_scored_token() -> None:
    one, two = (baseline_file.expected_size_bytes(2048, 248_320, chunks) for chunks in (1, 2))
    assert (two - one - 4 * 2048) / baseline_file.scored_tokens(2048) == 496_648


def test_a_good_file(baseline: Path) -> None:
    baseline_file.check(baseline, n_ctx=8, n_chunk=2, n_vocab=5)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(KvsweepError, match="cannot be read: No such file"):
        baseline_file.check(tmp_path / "absent.kld", 8, 2, 5)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (0, "ends inside its header, after 0 bytes"),
        (12, "ends inside its header, after 12 bytes"),  # what a corpus that is too short leaves behind
        (100, "is 104 bytes too short: it has 100 bytes and must have 204"),
        (203, "is 1 bytes too short"),
    ],
)
def test_a_file_cut_short(baseline: Path, kept: int, message: str) -> None:
    baseline.write_bytes(baseline.read_bytes()[:kept])
    with pytest.raises(KvsweepError, match=message):
        baseline_file.check(baseline, 8, 2, 5)


def test_a_file_that_goes_on(baseline: Path) -> None:
    baseline.write_bytes(baseline.read_bytes() + b"x")
    with pytest.raises(KvsweepError, match="1 bytes too long"):
        baseline_file.check(baseline, 8, 2, 5)


def test_another_kind_of_file(baseline: Path) -> None:
    baseline.write_bytes(b"GGUF" + bytes(200))
    with pytest.raises(KvsweepError, match="not a baseline of llama-perplexity: it starts with b'GGUF"):
        baseline_file.check(baseline, 8, 2, 5)


def test_a_header_of_nonsense(baseline: Path) -> None:
    baseline.write_bytes(b"_logits_" + struct.pack("<Iii", 8, -1, 2))
    with pytest.raises(KvsweepError, match="has a vocabulary of -1 tokens, not a vocabulary of 5 tokens"):
        baseline_file.check(baseline, 8, 2, 5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n_ctx": 16}, "has a context of 8 tokens, not a context of 16 tokens"),
        ({"n_chunk": 4}, "has 2 chunks, not 4 chunks"),
        ({"n_vocab": 6}, "has a vocabulary of 5 tokens, not a vocabulary of 6 tokens"),
    ],
)
def test_the_baseline_of_something_else(baseline: Path, asked: dict[str, int], message: str) -> None:
    with pytest.raises(KvsweepError, match=message):
        baseline_file.check(baseline, **{"n_ctx": 8, "n_chunk": 2, "n_vocab": 5, **asked})
