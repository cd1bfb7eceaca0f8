"""The figure of speeds as a share of f16's."""

from __future__ import annotations

from typing import Any

import pytest
from kvsweep.figures.draw import draw
from kvsweep.figures.layout import one_figure
from kvsweep.figures.ratios import ONE_ROUND
from synthetic_analysis import answers_of, speed_of
from synthetic_tables import rounds_at, throughput_row


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answers_of("speed", speed_of(rows)["speed"]).to_pylist()
    return found


BASE = rounds_at("f16", "f16", [100.0, 90.0, 95.0])


def test_a_dot_and_a_bar_for_each_pair_and_depth() -> None:
    rows = table([*BASE, *rounds_at("q8_0", "q8_0", [80.0, 72.0, 75.0])])
    (panel,) = draw("speed_ratios", rows).panels
    (point,) = panel.points
    assert point["95 % from, %"] < point["speed, % of f16"] < point["95 % to, %"] < 100
    assert (point["pair"], point["rounds"], point["verdict"]) == ("q8_0", 3, "slower")
    (axes,) = one_figure(draw("speed_ratios", rows)).axes
    bars: Any
    (bars,) = axes.containers
    assert bars.has_xerr and bars.lines[0].get_xdata()[0] == pytest.approx(point["speed, % of f16"])


def test_one_round_has_an_open_dot_and_no_bar() -> None:
    rows = table([*BASE[:1], *rounds_at("q8_0", "q8_0", [80.0])])
    figure = one_figure(draw("speed_ratios", rows))
    bars: Any
    (bars,) = figure.axes[0].containers
    assert not bars.has_xerr
    assert ONE_ROUND in [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_fallback_and_what_has_no_f16_are_left_out() -> None:
    fallback = rounds_at("f16", "turbo4", [3.0, 3.1, 3.2], fallback=True)
    deeper = [throughput_row("q8_0", "q8_0", 8192)]
    assert draw("speed_ratios", table([*BASE, *fallback, *deeper])).panels == ()
