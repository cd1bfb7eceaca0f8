"""Many speeds beside many others say what two values say of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.estimates import on_common_rounds
from kvsweep.analysis.frames import rows_of
from kvsweep.analysis.gaps import gap
from kvsweep.analysis.rates import gaps_of, rates_of
from kvsweep.analysis.row_values import speed_of
from kvsweep.analysis.speed import over_rounds
from kvsweep.tables.published import read_published
from support import ROOT
from synthetic_tables import rounds_at

Row = dict[str, Any]


def in_rounds() -> list[Row]:
    """Eight cells: some with few rounds, one equal to another, one twice as fast in every round, one far apart."""
    chance = np.random.default_rng(1)
    rates = 80 * np.exp(chance.normal(0, 0.05, (5, 8)))
    rates[:, 5], rates[:, 6], rates[:, 7] = rates[:, 4], 2 * rates[:, 4], [1e-60, 1e60, 1, 1e5, 1e-5]
    rows = [
        row
        for depth, own in enumerate(rates.T)
        for row in rounds_at("f16", "f16", own.tolist(), depth)
        if (row["round"], depth) not in {(1, 1), (2, 1), (1, 2), *((n, 3) for n in (2, 3, 4, 5))}
    ]
    rows = [row for row in rows if not (row["depth"] == 2 and row["round"] > 3)]
    return over_rounds(rows)


def published() -> list[Row]:
    rows = over_rounds(read_published(ROOT / "resources" / "published").throughput)
    found = [row for row in rows if row["tokens_per_second"] is not None][:6]
    return [*found, {**found[0], "tokens_per_second_rounding": None}]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cells", [in_rounds(), published()], ids=["measured", "published"])
def test_each_gap_is_that_of_the_two_values(cells: list[Row]) -> None:
    rates = rates_of(cells)
    ours, theirs = np.indices((len(cells), len(cells))).reshape(2, -1)
    seen = set()
    for a, b, found in zip(ours, theirs, rows_of(gaps_of(rates[ours], rates[theirs])), strict=True):
        both = on_common_rounds(speed_of(cells[a]), speed_of(cells[b]))
        if both is None:
            assert found["ratio"] is found["interval"] is None and found["n"] == 0
            continue
        expected = {"value_a": both[0].value, "value_b": both[1].value, **gap(*both)._asdict()}
        for name, value in expected.items():
            is_number = isinstance(value, float)
            assert found[name] == (pytest.approx(value, rel=1e-9, abs=1e-10) if is_number else value), name
        assert found["n"] == len(both[0].rounds or ())
        seen.add((found["interval"], found["n"]))
    assert len(seen) > 1


def test_no_cells_have_no_gaps() -> None:
    assert gaps_of(rates_of([]), rates_of([])).empty


def test_the_mean_of_a_cell_is_that_of_its_rounds() -> None:
    cells = in_rounds()
    assert rates_of(cells).means() == pytest.approx([row["tokens_per_second"] for row in cells])
    assert rates_of(published()).means().tolist() == [row["tokens_per_second"] for row in published()]
