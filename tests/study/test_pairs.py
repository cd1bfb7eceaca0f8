"""Cache types of llama.cpp and pairs of them."""

from fractions import Fraction

import pytest
from kvsweep.study.pairs import BASELINE_PAIR, KNOWN_TYPES, Pair, bits_per_value


@pytest.mark.parametrize(
    ("cache_type", "bits"),
    [
        ("f32", 32), ("f16", 16), ("bf16", 16), ("q8_0", 8.5), ("q5_1", 6), ("q5_0", 5.5), ("q4_1", 5), ("q4_0", 4.5),
        ("iq4_nl", 4.5), ("turbo4", 4.25), ("turbo3", 3.125), ("turbo2", 2.125),
    ],
)  # fmt: skip
def test_bits_per_value(cache_type: str, bits: float) -> None:
    assert bits_per_value(cache_type) == Fraction(bits)


def test_every_known_type_has_bits_and_no_other_has() -> None:
    assert len(KNOWN_TYPES) == 12
    assert all(bits_per_value(name) for name in KNOWN_TYPES)
    assert bits_per_value("turbo9") is None


@pytest.mark.parametrize(
    ("text", "pair", "shown"),
    [
        ("q8_0/turbo4", Pair("q8_0", "turbo4"), "q8_0/turbo4"),
        ("q8_0", Pair("q8_0", "q8_0"), "q8_0"),
        ("f16/f16", BASELINE_PAIR, "f16"),
    ],
)
def test_a_pair(text: str, pair: Pair, shown: str) -> None:
    assert Pair.parse(text) == pair
    assert str(pair) == shown
    assert Pair.parse(str(pair)) == pair


@pytest.mark.parametrize("text", ["q8_0/turbo3/f16", "/q8_0", "q8_0/", "/", ""])
def test_another_form_is_no_pair(text: str) -> None:
    with pytest.raises(ValueError, match="is not a pair: write K/V such as q8_0/q4_0, or one type for both"):
        Pair.parse(text)
