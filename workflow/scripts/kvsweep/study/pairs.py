"""Cache types of llama.cpp and pairs of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fractions import Fraction

# (values in a block, bytes of a block), from the block structures in ggml-common.h of llama.cpp and of the
# TurboQuant fork (commit 69d8e4be4). A cache's real size stands in the engine's log.
_BLOCKS: dict[str, tuple[int, int]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
    "turbo4": (128, 68),
    "turbo3": (128, 50),
    "turbo2": (128, 34),
}

KNOWN_TYPES: tuple[str, ...] = tuple(_BLOCKS)


def type_of(label: str) -> str:
    """The engine's name of a cache type: ``q8_0`` of ``q8_0+tail``, the K type of a pair with a name."""
    return label.partition("+")[0]


def type_order(label: str) -> tuple[int, str]:
    """Sort key: known types in their order, then the others by name."""
    name = type_of(label)
    return (KNOWN_TYPES.index(name) if name in _BLOCKS else len(_BLOCKS)), label


def bits_per_value(cache_type: str) -> Fraction | None:
    """Bits that one value takes in a cache of this type; None for a type that kvsweep does not know."""
    from fractions import Fraction  # no cell that is measured asks for it, and it takes long to import

    block = _BLOCKS.get(type_of(cache_type))
    return None if block is None else Fraction(8 * block[1], block[0])


class Pair(NamedTuple):
    """The cache types of K and V. A pair that runs with arguments of its own has a name, which both types carry
    (``q8_0+tail``), so that it is another pair everywhere."""

    ctk: str
    ctv: str

    @classmethod
    def parse(cls, text: str) -> Pair:
        """``q8_0/turbo4``, or ``q8_0`` for ``q8_0/q8_0``; with a name ``q8_0/turbo4+tail``.

        Raises ValueError for any other form.
        """
        parts = text.strip().split("/")
        names = {name for part in parts if (name := part.partition("+")[2])}
        if len(parts) > 2 or len(names) > 1 or not all(map(type_of, parts)):
            raise ValueError(f"{text!r} is not a pair: write K/V such as q8_0/q4_0, or one type for both")
        return cls(type_of(parts[0]), type_of(parts[-1])).named(next(iter(names), ""))

    @property
    def types(self) -> Pair:
        """The pair as the engine knows it."""
        return Pair(type_of(self.ctk), type_of(self.ctv))

    def named(self, name: str) -> Pair:
        suffix = f"+{name}" if name else ""
        return Pair(type_of(self.ctk) + suffix, type_of(self.ctv) + suffix)

    def __str__(self) -> str:
        return self.ctk if self.ctk == self.ctv else f"{type_of(self.ctk)}/{self.ctv}"


BASELINE_PAIR = Pair("f16", "f16")


@cache  # asked of every row many times, of as many types as there are
def effective_pair(
    ctk: str, ctv: str, effective_ctk: str | None, effective_ctv: str | None
) -> tuple[str, str] | None:
    """The pair that ran instead of the one that was asked for; None if it is the same, or if nobody knows."""
    asked = type_of(ctk), type_of(ctv)
    ran = (effective_ctk or asked[0], effective_ctv or asked[1])
    return None if ran == asked else ran


def pair_label(ctk: str, ctv: str, effective_ctk: str | None = None, effective_ctv: str | None = None) -> str:
    """The pair's name. Where another pair ran, the name says so: ``turbo3 (ran as q8_0/turbo3)``."""
    ran = effective_pair(ctk, ctv, effective_ctk, effective_ctv)
    name = str(Pair(ctk, ctv))
    return name if ran is None else f"{name} (ran as {Pair(*ran)})"


def pair_order(ctk: str, ctv: str) -> tuple[float, float, str, str]:
    """Sort key: most bits first, then K's; pairs with a type of unknown size come last, by name."""
    bits_k, bits_v = bits_per_value(ctk), bits_per_value(ctv)
    if bits_k is None or bits_v is None:
        return (0.0, 0.0, ctk, ctv)
    return (-float(bits_k + bits_v), -float(bits_k), ctk, ctv)


def nominal_bits(ctk: str, ctv: str) -> float | None:
    """(K + V)/2 in bits per value, from the types' block sizes; None where a type is not known."""
    bits_k, bits_v = bits_per_value(ctk), bits_per_value(ctv)
    return None if bits_k is None or bits_v is None else float(bits_k + bits_v) / 2
