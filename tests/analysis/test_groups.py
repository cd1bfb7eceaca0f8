"""How numbers are written, and which rows may stand side by side."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.analysis.frames import rows_of
from kvsweep.analysis.groups import compare
from kvsweep.numbers import format_between, format_number, format_with_error
from kvsweep.statistics import larger


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (82.9134, 0.4123, "82.91 ± 0.41"),
        (10643.2, 153.0, "10,640 ± 150"),
        (5.7438, 0.0361, "5.744 ± 0.036"),
        (0.0016123, 0.0000321, "0.001612 ± 0.000032"),
        (0.00093, 0.0996, "0.00 ± 0.10"),
        (-0.0021, 0.00052, "−0.00210 ± 0.00052"),
        (1.2e-7, 1.2e-8, "(1.20 ± 0.12)e−7"),
        (82.9, None, "82.9 ± –"),
        (82.9, math.nan, "82.9 ± –"),
        (0.0, 0.0, "0 ± 0"),
        (1.0, 0.0, "1 ± 0"),
        (None, 0.1, "–"),
        (math.nan, 0.1, "–"),
    ],
)
def test_values_are_rounded_to_their_error(value, error, text):
    assert format_with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "least", "most", "text"),
    [
        (0.12, 0.19, 0.0, math.inf, "0.12 [0, 0.31]"),
        (3e-7, 9e-7, 0.0, math.inf, "(3.0 [0, 12.0])e−7"),
        (99.9, 0.25, 0.0, 100.0, "99.90 [99.65, 100.00]"),
        (0.12, 0.02, 0.0, math.inf, "0.120 ± 0.020"),
        (-1e-3, 2e-3, 0.0, math.inf, "−0.0010 ± 0.0020"),  # printed below 0: the interval says no less
    ],
)
def test_no_interval_holds_what_cannot_be(value, error, least, most, text):
    assert format_with_error(value, error, least, most) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.747, 0.73, 0.765, "0.747 [0.730, 0.765]"),  # the ends with the same digits
        (37.66, 30.4, 44.3, "37.7 [30.4, 44.3]"),
        (2e-7, 1e-7, 3.2e-7, "2.0e−7 [1.0e−7, 3.2e−7]"),
        (1e-6, 0, 3e-6, "1.0e−6 [0, 3.0e−6]"),
        (0.0, 0.0, 0.0, "0"),  # an interval without width says nothing
        (0.0016, None, None, "0.0016"),
    ],
)
def test_a_value_and_the_ends_of_its_interval_have_the_digits_that_its_width_deserves(value, low, high, text):
    assert format_between(value, low, high) == text


@given(value=st.floats(-1e6, 1e6), error=st.floats(1e-9, 1e5))
def test_rounding_never_moves_a_value_by_more_than_a_twentieth_of_its_error(value, error):
    text = format_with_error(value, error).replace("−", "-").replace(",", "")
    scale = 1.0
    if text.startswith("("):
        text, exponent = text[1:].split(")e")
        scale = 10.0 ** int(exponent)
    shown_value, shown_error = (float(part) * scale for part in text.split(" ± "))
    assert abs(shown_value - value) <= 0.0501 * error + 1e-12 * abs(value)
    assert shown_error == pytest.approx(error, rel=0.051)


@pytest.mark.parametrize(
    ("value", "significant", "text"),
    [
        (5.7433, 6, "5.7433"),
        (0.0016, 6, "0.0016"),
        (10643.0, 6, "10,643"),
        (0.0992, 3, "0.0992"),
        (3.125, 4, "3.125"),
        (8.5, 4, "8.5"),
        (16.0, 4, "16"),
        (3.14e-7, 2, "3.1e−7"),
        (-0.5, 3, "−0.5"),
        (0.0, 3, "0"),
        (None, 3, "–"),
        (math.nan, 3, "–"),
    ],
)
def test_numbers_without_an_error_get_no_digits_that_they_lack(value, significant, text):
    assert format_number(value, significant) == text


def test_the_larger_of_the_known_errors():
    assert larger(None, 0.1, 0.3) == 0.3
    assert larger(None, None) is None


def test_every_kind_of_missing_value_is_none():
    frame = pd.DataFrame({"a": [1.0, math.nan], "b": ["x", None], "c": [[1, 2], None]})
    assert rows_of(frame) == [{"a": 1.0, "b": "x", "c": [1, 2]}, {"a": None, "b": None, "c": None}]


ROW = {"engine": "fork", "model": "m", "machine": "here", "source": "measured", "engine_commit": "1" * 40}


def test_one_group_has_no_title_of_its_own():
    comparison = compare([ROW, ROW], tuple(ROW))
    assert comparison.shared == "fork · m · here · commit 111111111"
    assert [group.title for group in comparison.groups] == [""]


def test_groups_are_named_by_what_varies():
    comparison = compare([ROW, ROW | {"engine": "mainline"}, ROW], tuple(ROW))
    assert comparison.shared == "m · here · commit 111111111"
    assert [(group.title, len(group.rows)) for group in comparison.groups] == [("fork", 2), ("mainline", 1)]


def test_one_token_that_is_timed_is_one_token():
    rows = [{"engine": "e", "source": "measured", "reference": None, "n_tokens": n} for n in (1, 128)]
    assert [group.title for group in compare(rows, ("engine", "n_tokens")).groups] == [
        "1 token timed",
        "128 tokens timed",
    ]


def test_a_checksum_is_named_only_where_nothing_else_tells_groups_apart():
    with_engine = compare([ROW, ROW | {"engine": "mainline", "engine_commit": "2" * 40}], tuple(ROW))
    assert [group.title for group in with_engine.groups] == ["fork", "mainline"]
    alone = compare([ROW, ROW | {"engine_commit": "2" * 40}], tuple(ROW))
    assert [group.title for group in alone.groups] == ["commit 111111111", "commit 222222222"]


def test_an_unknown_engine_is_said_to_be_one():
    unnamed = ROW | {"engine": None, "source": "slice:x", "engine_commit": None}
    assert [group.title for group in compare([ROW, unnamed], tuple(ROW)).groups] == [
        "fork",
        "engine not stated · slice:x",
    ]


def test_no_rows_no_groups():
    assert compare([], tuple(ROW)) == ("", ())


def test_what_others_published_is_named_by_its_source_not_by_its_engine():
    published = ROW | {"engine": "a fork, at some commit", "source": "published:x"}
    assert [group.title for group in compare([ROW, published], tuple(ROW)).groups][1] == "published:x"
