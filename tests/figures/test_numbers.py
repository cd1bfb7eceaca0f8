"""Every number beside a figure, and what is drawn, is what the Parquet tables say: worked out once more with pandas.

Of the recorded study, of all shipped slices and of what was published, all panels of them; figures that have nothing
there are of made-up tables.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from figure_numbers import EXPECTED
from figure_tables import MADE_UP, all_panels
from kvsweep.figures import draw as draw_module
from kvsweep.figures.catalogue import FIGURES


@pytest.fixture(scope="module")
def numbers(
    figure_tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[pd.DataFrame]]:
    """NAME.csv by panel."""
    folder = tmp_path_factory.mktemp("numbers")
    found = {}
    for name, drawing in all_panels(figure_tables).items():
        with mock.patch.object(draw_module, "FORMS", (".csv",)), mock.patch.object(draw_module, "one_figure"):
            draw_module.save(drawing, folder, name)
        frame = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=[""])
        found[name] = [own for _, own in frame.groupby("set-up", sort=False)]
    return found


def test_every_figure_is_looked_at() -> None:
    assert set(EXPECTED) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_number_is_the_tables(
    name: str, numbers: dict[str, list[pd.DataFrame]], figure_tables: dict[str, Path]
) -> None:
    tables = figure_tables[name]
    expected = list(EXPECTED[name](pd.read_parquet(tables / f"{FIGURES[name].table}.parquet"), tables))
    assert len(numbers[name]) == len(expected) >= (1 if name in MADE_UP else 2)
    for own, panel in zip(numbers[name], expected, strict=True):
        own = own.dropna(axis="columns", how="all").drop(
            columns=["set-up", "mark", "machine and engine"], errors="ignore"
        )
        assert set(own.columns) <= set(panel.columns)
        panel = panel.reindex(columns=own.columns).join(
            panel.drop(columns=own.columns).dropna(axis="columns", how="all")
        )
        pd.testing.assert_frame_equal(
            in_order(own), in_order(panel), check_dtype=False, check_exact=False, rtol=1e-6, atol=1e-12
        )


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """By what names a point, which are words and whole numbers."""
    names = list(map(str, frame.columns))
    keys = [
        name
        for name in names
        if name in ("pair", "K", "V", "crossing") or name.endswith((", tokens", "depth"))
    ]
    speeds = [name for name in names if name.startswith("speed")]
    found = frame.sort_values(keys + speeds).reset_index(drop=True)
    return found.where(found.notna(), np.nan)
