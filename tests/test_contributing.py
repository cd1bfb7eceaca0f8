"""The worked examples of CONTRIBUTING.md do what it says, as they stand there."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kvsweep.analysis import groups
from kvsweep.figures import drawing
from kvsweep.figures.draw import FORMS, save
from kvsweep.measure.tasks import item
from kvsweep.study import tasks
from kvsweep.study.pairs import pair_label
from kvsweep.tables import task_scores
from kvsweep.tables.row import Row
from matplotlib.axes import Axes
from support import ROOT
from synthetic_tables import quality_row

FIGURE, ENTRY, ITEMS, SCORE = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M | re.S
)


def run(code: str, *modules: Any, **names: Any) -> dict[str, Any]:
    """What a block defines, with the names of these modules and these names."""
    known: dict[str, Any] = {"__name__": "example"}
    for module in modules:
        known |= vars(module) | {"__name__": "example"}
    known |= names
    exec(compile(code, "CONTRIBUTING.md", "exec", dont_inherit=True), known)
    return known


def test_the_figure_draws_the_time_of_each_quality_cell(tmp_path: Path) -> None:
    more = {"Sequence": Sequence, "Row": Row, "pair_label": pair_label, "Axes": Axes, "partial": partial}
    wall_time = run(FIGURE, drawing, groups, **more)["wall_time_by_pair"]
    rows = [
        quality_row(*pair, wall_seconds=seconds)
        for pair, seconds in ((("f16", "f16"), 20.0), (("q8_0", "q4_0"), 31.5), (("q4_0", "q4_0"), None))
    ]
    panels = wall_time(rows)
    save(drawing.Drawing("Wall time", panels), tmp_path, "wall_time")
    assert {path.name for path in tmp_path.iterdir()} == {f"wall_time{form}" for form in FORMS}
    with (tmp_path / "wall_time.csv").open(encoding="utf-8") as file:
        drawn = [(row["pair"], row["wall time, s"]) for row in csv.DictReader(file)]
    assert drawn == [("f16", "20.0"), ("q8_0/q4_0", "31.5")]


class Template:
    """A server's template, for which a prompt is its own words."""

    def in_template(self, asked: str) -> str:
        return f"<{asked}>"


@pytest.mark.parametrize("chat", [True, False])
def test_the_task_asks_sums_and_tells_right_from_wrong(chat: bool) -> None:
    entry = run(ENTRY, tasks)["SumEntry"](kind="sum", contexts=(1024, 512), items=2)
    definition = tasks.task_of("sums", entry).definition
    assert definition["kind"] == "sum"
    names = {"Iterator": Iterator, "random": random, "partial": partial, "Any": Any}
    make = run(ITEMS, item, **names)["items"]
    made = list(make(definition, Template(), chat))
    assert [(one.key, one.context) for one in made] == [
        ("sum/512/000", 512),
        ("sum/512/001", 512),
        ("sum/1024/000", 1024),
        ("sum/1024/001", 1024),
    ]
    again = make(definition, Template(), chat)
    assert [one.expected for one in again] == [one.expected for one in made]
    score = eval(f"{{{SCORE}}}", dict(vars(task_scores)))["sum"]
    for one in made:
        asked = str(one.prompt())
        assert asked.startswith("<What is ") if chat else asked.endswith(" Answer:")
        a, b = map(int, re.findall(r"\d+", asked))
        assert score({"answer": f" It is {a + b}.", "expected": one.expected}) == 1.0
        assert score({"answer": f"{a + b + 1}", "expected": one.expected}) == 0.0
