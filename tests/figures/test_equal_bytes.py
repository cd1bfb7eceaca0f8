"""Equal tables give equal bytes: every figure in every form, drawn by two processes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from figure_tables import MADE_UP
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.draw import FORMS, draw
from kvsweep.figures.layout import one_figure
from kvsweep.tables.storage import read_table
from support import ROOT

# The program's own function for each figure. Strings hash differently in each process, and what else lies in memory
# moves what is made later.
DRAW = """
import sys
from pathlib import Path
from draw_figures import write_figure
out, held, *figures = sys.argv[1:]
in_memory = [bytes(size % 4093) for size in range(int(held))][::3]
for figure in figures:
    name, tables, *where = figure.split("|")
    print(write_figure(Path(tables), Path(out), where, name))
"""


def where(name: str) -> list[str]:
    """A few panels of each figure are enough: of the recorded study, or of a slice what that does not have."""
    if name in MADE_UP:
        return []
    if name in ("kld_against_depth", "top1_against_depth", "tail_by_mean"):
        return ["engine=mainline-unrotated"]
    return ["engine=fork" if name == "prefill_relative" else "source=measured"]


@pytest.fixture(scope="module")
def twice(figure_tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two directories of figures, drawn side by side."""
    folders = [tmp_path_factory.mktemp("drawn") for _ in range(2)]
    figures = ["|".join((name, str(tables), *where(name))) for name, tables in figure_tables.items()]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    environment.pop("PYTHONHASHSEED", None)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", DRAW, folder, held, *figures], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for folder, held in zip(folders, ("0", "50000"), strict=True)
    ]  # fmt: skip
    for process in running:
        said, wrong = process.communicate()
        assert process.returncode == 0, wrong
        assert said.count("figure ") == len(FIGURES) and ": 0 panels" not in said
    return folders


@pytest.mark.parametrize("name", FIGURES)
def test_two_processes_write_the_same_bytes(name: str, twice: list[Path]) -> None:
    for end in FORMS:
        one, other = (folder / f"{name}{end}" for folder in twice)
        assert one.read_bytes() == other.read_bytes(), end


def test_where_the_solver_keeps_its_unknowns_moves_no_panel(figure_tables: dict[str, Path]) -> None:
    """It takes them in the order of their addresses: without rounding last digits differ in about every second try."""
    table = read_table(figure_tables["top1_by_pair"], "quality").to_pylist()
    rows = [row for row in table if not row["source"].startswith("slice:")]
    chance, in_memory, places = random.Random(1), [bytes(16)], set()
    for _ in range(12):
        in_memory += [bytes(chance.randrange(16, 4000)) for _ in range(2000)]
        chance.shuffle(in_memory)
        del in_memory[1000:]
        figure = one_figure(draw("top1_by_pair", rows))
        places.add(tuple(axes.bbox.bounds for axes in figure.axes))
    assert len(places) == 1
