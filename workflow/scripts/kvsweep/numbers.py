"""How numbers are written for readers: no digit that their errors do not deserve, a dash for what is not known."""

from __future__ import annotations

import math

from kvsweep.statistics import Interval

ABSENT = "–"  # what a reader sees where a table has null


def _decimals_for(error: float) -> int:
    """Decimals that show an error with two significant digits; negative ones round to tens, hundreds, ..."""
    decimals = 1 - math.floor(math.log10(error))
    # 0.0996 is 0.10, not 0.100: rounding up may win a digit.
    return decimals - 1 if round(error, decimals) >= 10.0 ** (2 - decimals) else decimals


def _fixed(value: float, decimals: int) -> str:
    text = f"{round(value, decimals):,.{max(decimals, 0)}f}"
    # -0.00 says no more than 0.00; a real minus sign is as wide as the plus.
    return text.replace("-", "−") if float(text.replace(",", "")) != 0 else text.lstrip("-")


def format_number(value: float | None, significant: int = 6) -> str:
    """A number whose error is unknown: at most `significant` digits, none invented; an en dash for none."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        mantissa, exponent = f"{value:.{significant - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
    decimals = significant - 1 - math.floor(math.log10(abs(value)))
    text = _fixed(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_with_error(
    value: float | None, error: float | None, least: float = -math.inf, most: float = math.inf
) -> str:
    """`82.91 ± 0.41`: the value rounded to its error, the error to two significant digits.

    An unknown error is an en dash (`82.9 ± –`), an unknown value nothing but an en dash. Where there would be
    many zeros, the power of ten is set apart: `(1.20 ± 0.12)e−7`. Where value ± error is partly beyond the
    ``least`` or the ``most`` that there can be, what is left of the interval: `0.12 [0, 0.31]`.
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    if error is None or not math.isfinite(error):
        return f"{format_number(value)} ± {ABSENT}"
    if error <= 0:
        return f"{format_number(value)} ± 0"
    largest = max(abs(value), error)
    if largest < 1e-4:
        exponent = math.floor(math.log10(largest))
        scaled = format_with_error(*(one / 10.0**exponent for one in (value, error, least, most)))
        return f"({scaled})e{exponent}".replace("-", "−")
    decimals = _decimals_for(error)
    low, high = value - error, value + error
    if least <= value <= most and (low < least or high > most):
        ends = [_fixed(end, decimals) if end else "0" for end in (max(low, least), min(high, most))]
        return f"{_fixed(value, decimals)} [{', '.join(ends)}]"
    return f"{_fixed(value, decimals)} ± {_fixed(error, decimals)}"


def format_between(
    value: float, low: float | None, high: float | None, significant: int = 3, unit: str = ""
) -> str:
    """`82.9 % [81.2, 84.7]`: a value with the ends of its interval, all rounded to two digits of half of its width.

    With no interval, or one without width, the value alone with ``significant`` digits: `82.9 %`.
    """
    if low is None or high is None or not high > low:
        return f"{format_number(value, significant)}{unit}"
    largest = max(map(abs, (value, low, high)))
    power = math.floor(math.log10(largest)) if largest < 1e-4 else 0
    decimals = _decimals_for((high - low) / 2 / 10.0**power)
    exponent = f"e{power}".replace("-", "−") if power else ""
    text, *ends = (
        _fixed(one / 10.0**power, decimals) + exponent if one else "0" for one in (value, low, high)
    )
    return f"{text}{unit} [{', '.join(ends)}]"


def format_error(error: float | None) -> str:
    """An error alone, with two significant digits: `0.000034`, `4.2e−6`; an en dash for none."""
    if error is None or not math.isfinite(error):
        return ABSENT
    if 0 < error < 1e-5:
        return f"{error:.1e}".replace("e-0", "e-").replace("-", "−")
    return _fixed(error, _decimals_for(error)) if error > 0 else "0"


_LARGEST_PERCENTAGE = 999.0  # an end of an interval beyond it says no more than that


def format_difference(fraction: float, interval: Interval | None) -> str:
    """A relative difference in percent with its interval: `−12.3 % [−14.1, −10.4]`; `−12.3 %` if unknown."""
    if interval is None:
        return f"{_signed(format_number(100 * fraction, 3))} %"
    difference, low, high = (100 * value for value in interval)
    nearer = min(difference - low, high - difference)
    decimals = min(max(_decimals_for(nearer), 0), 2) if nearer > 0 else 2

    def end(value: float) -> str:
        limit = _LARGEST_PERCENTAGE
        return f"> +{limit:g}" if value > limit else _signed(_fixed(value, decimals))

    return f"{_signed(_fixed(difference, decimals))} % [{end(low)}, {end(high)}]"


def _signed(number: str) -> str:
    """With a plus sign, unless it has a minus or is zero."""
    return number if number.startswith("−") or not number.strip("0.,") else f"+{number}"


def in_percent(fraction: float | None) -> float | None:
    """A fraction as percent; None stays None."""
    return None if fraction is None else 100 * fraction
