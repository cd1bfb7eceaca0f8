"""Divergences in one slice and speeds in another, of one set-up: taken together where nothing speaks against it."""

from __future__ import annotations

from typing import Any

import pytest
from kvsweep.slices.join import joined, together_and_apart
from kvsweep.tables.published import OtherRows
from synthetic_tables import quality_row, throughput_row


def of_slice(name: str, row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return row | {"source": f"slice:{name}", "slice": name} | changes


def speeds(name: str = "speed", **changes: Any) -> OtherRows:
    rows = (throughput_row(pair, pair, 4096, tokens_per_second=80.0) for pair in ("f16", "q8_0"))
    return OtherRows(tuple(of_slice(name, row, **changes) for row in rows), (), ())


def divergences(name: str = "quality", **changes: Any) -> OtherRows:
    rows = (quality_row(pair, pair, 0.01) for pair in ("f16", "q8_0"))
    return OtherRows((), tuple(of_slice(name, row, **changes) for row in rows), ())


def sources(slices: list[OtherRows]) -> set[str]:
    return {row["source"] for one in joined(slices) for row in (*one.throughput, *one.quality)}


def sentences(slices: list[OtherRows]) -> list[str]:
    tables = {
        name: [row for one in joined(slices) for row in getattr(one, name)]
        for name in ("throughput", "quality")
    }
    return list(together_and_apart(tables))


def test_slices_of_one_set_up_are_one_source() -> None:
    slices = [speeds(), divergences()]
    assert sources(slices) == {"slice:quality + speed"}
    assert {row["slice"] for one in joined(slices) for row in one.throughput} == {"speed"}
    (said,) = sentences(slices)
    assert "is joined of the slices quality, speed: the same commit, back end" in said


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"machine": "another"}, "their machines differ"),
        ({"engine_commit": "f" * 40}, "their engines' commits differ"),
        ({"backend": "cpu"}, "their back ends differ"),
        ({"engine": "fork"}, "their engines' names differ"),
        ({"effective_ctk": "q4_0", "effective_ctv": "q4_0"}, "ran"),
    ],
)
def test_what_differs_is_not_joined(changes: dict[str, Any], why: str) -> None:
    slices = [speeds(**changes), divergences(effective_ctk="q8_0", effective_ctv="q8_0")]
    assert sources(slices) == {"slice:speed", "slice:quality"}
    (said,) = sentences(slices)
    assert "are not joined: " in said and why in said


@pytest.mark.parametrize("column", ["engine_commit", "model_sha256"])
def test_what_is_not_known_is_not_joined(column: str) -> None:
    unknown: Any = {column: None}
    assert sources([speeds(**unknown), divergences(**unknown)]) == {"slice:speed", "slice:quality"}


def test_a_cell_in_two_slices_is_in_none_that_is_joined() -> None:
    slices = [speeds("a"), speeds("b"), divergences()]
    assert sources(slices) == {"slice:a + quality", "slice:b"}
    assert any("both have 2 cells of the table throughput" in said for said in sentences(slices))


def test_two_methods_of_one_text_stay_apart() -> None:
    slices = [divergences("a", method="scorer"), divergences("b", method="perplexity")]
    assert sources(slices) == {"slice:a", "slice:b"}
    assert "scored by two methods" in sentences(slices)[0]


def test_what_was_measured_here_or_published_keeps_its_source() -> None:
    assert joined([]) == []
    assert sentences([speeds()]) == []
