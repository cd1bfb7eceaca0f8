"""Several machines in one panel, each against its own f16."""

from __future__ import annotations

from typing import Any

from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.figures.draw import draw
from kvsweep.figures.layout import one_figure
from synthetic_tables import rounds_at

H200 = {"source": "slice:attic", "machine": "NVIDIA H200", "backend": "cuda"}


def machine(depths: list[int], scale: float = 1.0, **set_up: Any) -> list[dict[str, Any]]:
    return [
        row
        for depth in depths
        for pair, rate in (("f16", 100), ("q8_0", 95), ("q4_0", 80))
        for row in rounds_at(pair, pair, [scale * rate * x for x in (0.99, 1, 1.01)], depth, **set_up)
    ]


def drawn(*rows: list[dict[str, Any]]) -> Any:
    return draw("speed_across", speeds(over_rounds([row for own in rows for row in own])))


def test_two_machines_stand_in_one_panel_at_the_deepest_depth_of_both() -> None:
    drawing = drawn(machine([0, 8192, 32768]), machine([0, 8192], 10, **H200))
    (panel,) = drawing.panels
    assert panel.title == "decode at depth 8K · Qwen3.6-35B-A3B-Q8_0"
    assert {point["machine and engine"] for point in panel.points} == {
        "Apple M5 Max 128GB, fork-metal",
        "NVIDIA H200, fork-metal, slice:attic",
    }
    assert {round(point["speed, % of its own f16"]) for point in panel.points} == {95, 80}
    names = [text.get_text() for text in one_figure(drawing).legends[0].get_texts()]
    assert names[0].startswith("Apple M5 Max")  # measured here first


def test_one_machine_another_model_or_another_family_is_no_panel() -> None:
    assert drawn(machine([0])).panels == ()
    assert drawn(machine([0]), machine([0], **H200, model="b", model_sha256="00" * 32)).panels == ()
    assert drawn(machine([0]), machine([0], engine="mainline", engine_family="llama.cpp")).panels == ()
    # The hash says that it is the same file, whatever its name.
    assert len(drawn(machine([0]), machine([0], **H200, model="b")).panels) == 1


def small_multiples(*rows: list[dict[str, Any]]) -> Any:
    return draw("speed_by_machine", speeds(over_rounds([row for own in rows for row in own])))


def test_small_multiples_have_the_same_axes() -> None:
    slow = [row for row in machine([0, 4096, 65536], **H200) if row["ctk"] != "q4_0"]
    drawing = small_multiples(machine([0, 8192]), slow, machine([0], machine="a", source="slice:b"))
    assert [panel.title.split(",")[0] for panel in drawing.panels] == [
        "Apple M5 Max 128GB",
        "NVIDIA H200",
        "a",
    ]
    figure = one_figure(drawing)
    assert len({(axes.get_xlim(), axes.get_ylim(), axes.get_yscale()) for axes in figure.axes}) == 1
    ticks = {tuple(tick.get_text() for tick in axes.get_xticklabels()) for axes in figure.axes}
    assert ticks == {("0", "4K", "8K", "64K")}
    low, high = figure.axes[0].get_ylim()
    assert low < 79 and high > 100


def test_one_machine_has_no_small_multiples() -> None:
    assert small_multiples(machine([0, 8192])).panels == ()
