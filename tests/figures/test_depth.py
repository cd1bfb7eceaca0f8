"""Quality against the fill of the cache: what is drawn is what the table says."""

from __future__ import annotations

from typing import Any

import pytest
from kvsweep.figures.draw import draw
from kvsweep.figures.layout import one_figure
from matplotlib.axes import Axes
from synthetic_analysis import answers_of
from synthetic_tables import quality_row, table_of

KLD = {"q8_0": 0.002, "q4_0": 0.03}


def depth_rows(**changed: Any) -> list[Any]:
    """Two pairs in windows of 4K and 8K, four parts of each."""
    rows = []
    for ctk, kld in KLD.items():
        for n_ctx in (4096, 8192):
            for part in range(4):
                depth = n_ctx / 2 + (part + 0.5) * n_ctx / 8
                cell: dict[str, Any] = {
                    "source": "measured",
                    "engine": "fork",
                    "backend": "cuda",
                    "model": "tiny",
                    "corpus": "wiki",
                }
                cell |= {"ctk": ctk, "ctv": ctk, "n_ctx": n_ctx, "depth_tokens": depth, "tokens": 512}
                cell |= {"kld_mean": kld * depth / 1024, "error_by": "windows"}
                cell |= {"kld_mean_low": 0.9 * kld * depth / 1024, "kld_mean_high": 1.1 * kld * depth / 1024}
                cell |= {"top1_agreement": 0.9, "top1_agreement_low": 0.88, "top1_agreement_high": 0.92}
                rows.append(cell | changed)
    return answers_of("depth", rows).to_pylist()


def lines_of(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for line in axes.get_lines():
        found.setdefault(str(line.get_label()), []).extend(zip(*line.get_data(), strict=True))
    return found


def test_windows_of_all_lengths_stand_in_one_panel_a_line_each() -> None:
    (panel,) = one_figure(draw("kld_against_depth", depth_rows())).axes
    expected = sorted((row["depth_tokens"], row["kld_mean"]) for row in depth_rows() if row["ctk"] == "q4_0")
    assert sorted(lines_of(panel)["q4_0"]) == expected
    # A window of 4K and one of 8K are not joined.
    assert len([line for line in panel.get_lines() if line.get_label() == "q4_0"]) == 2


def test_the_numbers_are_those_of_the_table() -> None:
    points = draw("kld_against_depth", depth_rows()).points
    assert [point["kld_mean, nats"] for point in points[:2]] == [KLD["q8_0"] * 2.25, KLD["q8_0"] * 2.75]
    assert points[0]["95 % from, nats"] == pytest.approx(0.9 * KLD["q8_0"] * 2.25)
    shares = draw("top1_against_depth", depth_rows()).points
    assert {point["top1_agreement, %"] for point in shares} == {90.0}


def test_an_unknown_interval_has_no_band_and_no_number() -> None:
    rows = depth_rows(kld_mean_low=None, kld_mean_high=None)
    assert {point["95 % from, nats"] for point in draw("kld_against_depth", rows).points} == {None}
    one_figure(draw("kld_against_depth", rows))


def test_the_control_and_what_is_not_above_0_have_no_line() -> None:
    assert draw("kld_against_depth", depth_rows(ctk="f16", ctv="f16")).panels == ()
    assert draw("kld_against_depth", depth_rows(kld_mean=0.0)).panels == ()


def test_one_depth_can_be_drawn() -> None:
    one_figure(draw("kld_against_depth", depth_rows()[:1]))
    one_figure(draw("top1_against_depth", depth_rows()[:1]))


def test_the_tail_stands_against_the_mean() -> None:
    rows = [
        quality_row(ctk="q4_0", ctv="q4_0", kld_mean=0.01, kld_p999=0.4, kld_p999_low=0.3, kld_p999_high=0.6)
    ]
    rows.append(quality_row(ctk="f16", ctv="f16", kld_mean=1e-7, kld_p999=1e-6))
    drawing = draw("tail_by_mean", table_of("quality", rows).to_pylist())
    (point,) = drawing.points
    assert (point["mean KLD, nats"], point["99.9 % KLD, nats"], point["95 % to, nats"]) == (0.01, 0.4, 0.6)
    one_figure(drawing)
