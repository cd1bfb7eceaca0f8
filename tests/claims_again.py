"""How a claim is decided from a value and its error, once more and without the library."""

from __future__ import annotations

HOLDS, FAILS, NO_DATA = "holds", "fails", "no data"


def decided(*verdicts: str) -> str:
    return next((one for one in (FAILS, NO_DATA) if one in verdicts), HOLDS)


def about(value: float, error: float, expected: float, margin: float) -> str:
    if abs(value - expected) > margin + error:
        return FAILS
    return HOLDS if error <= margin else NO_DATA


def order(value: float, error: float, sign: int) -> str:
    return HOLDS if sign * value > error else FAILS if sign * value < -error else NO_DATA
