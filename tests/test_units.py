"""Numbers as people write and read them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.units import format_bytes, format_count, format_duration, parse_count, plural
from support import SCRIPTS


@pytest.mark.parametrize(
    ("written", "tokens"),
    [(0, 0), (8192, 8192), ("8192", 8192), ("8K", 8192), ("1M", 1048576), (" 4K ", 4096), ("0K", 0)],
)
def test_a_number_of_tokens(written: int | str, tokens: int) -> None:
    assert parse_count(written) == tokens


@pytest.mark.parametrize("written", ["8Q", "8k", "K", "", "1.5K", "-1", "8 K", "٣K"])
def test_another_text_is_no_number_of_tokens(written: str) -> None:
    with pytest.raises(ValueError, match="is not a number of tokens such as 8192, 8K or 1M"):
        parse_count(written)


def test_a_negative_number_and_what_is_no_number_at_all() -> None:
    with pytest.raises(ValueError, match="-5 is negative"):
        parse_count(-5)
    for value in (True, 1.5, None, ["8K"]):
        with pytest.raises(ValueError, match="is not a number of tokens"):
            parse_count(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tokens", "short"),
    [
        (0, "0"),
        (512, "512"),
        (1024, "1K"),
        (1536, "1536"),
        (131072, "128K"),
        (1048576, "1M"),
        (1049600, "1025K"),
    ],
)
def test_the_short_form(tokens: int, short: str) -> None:
    assert format_count(tokens) == short


@given(st.integers(0, 2**40))
def test_the_short_form_is_read_back(tokens: int) -> None:
    assert parse_count(format_count(tokens)) == tokens


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 * 2**30, "5 GiB"),
        (73e9, "68 GiB"),
        (3e12, "2.73 TiB"),
    ],
)
def test_bytes(size_bytes: float, shown: str) -> None:
    assert format_bytes(size_bytes) == shown


def test_bytes_just_below_a_unit_have_no_exponent() -> None:
    assert format_bytes(1023.9 * 2**20) == "1024 MiB"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (8, "8 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (25_500, "7 h 05 min")],
)
def test_a_duration(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


def test_one_thing_is_no_plural() -> None:
    assert [plural(n, "row") for n in (0, 1, 2, 1050)] == ["0 rows", "1 row", "2 rows", "1,050 rows"]


COUNTED = r"rows|panels|tables|speeds|members|files|cells|tokens|times|exercises|pairs|models|figures|slices"


def counts_that_may_be_one(path: Path) -> Iterator[str]:
    """What is counted with a plural written out: `{len(rows)} rows`."""
    for text in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(text, ast.JoinedStr):
            continue
        for number, what in zip(text.values, text.values[1:], strict=False):
            if not (isinstance(number, ast.FormattedValue) and isinstance(what, ast.Constant)):
                continue
            is_count = re.search(r"^(?:len|sum)\(|(?:^|[._])n(?:um)?_\w+$", ast.unparse(number.value))
            if is_count and (found := re.match(rf" (?:{COUNTED})\b", str(what.value))):
                yield f"{path.name}:{text.lineno}: {{{ast.unparse(number.value)}}}{found[0]}"


def test_programs_that_count_say_one_in_the_singular() -> None:
    programs = [
        *SCRIPTS.glob("*.py"),
        *SCRIPTS.glob("kvsweep/slices/view.py"),
        *SCRIPTS.glob("kvsweep/*/storage.py"),
    ]
    assert [line for path in programs for line in counts_that_may_be_one(path)] == []
