"""The library's packages stand in the order in which data flows; a package imports only from those before it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from support import ROOT, SCRIPTS

LIBRARY = SCRIPTS / "kvsweep"

BASICS = 0
ORDER = {
    "study": 1,
    "machine": 2,
    "inputs": 3,
    "engine": 4,
    "measure": 5,
    "tables": 6,
    "slices": 7,
    "analysis": 8,
}
ORDER |= {"figures": 9, "report": 10, "plan": 8}
# The plan stands above the tables, beside the analysis: neither of the two knows the other.
APART = {"plan", "analysis"}


def room_of(module: str) -> str:
    """``kvsweep.engine.log`` is in ``engine``; what lies below no package is in none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ORDER else ""


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(module)):
                found += (
                    [f"{module}.{alias.name}" for alias in node.names] if module == "kvsweep" else [module]
                )
            case ast.Import():
                found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "kvsweep"]


def arrows_back() -> list[str]:
    back = []
    for path in sorted(LIBRARY.rglob("*.py")):
        here = ".".join(("kvsweep", *path.relative_to(LIBRARY).with_suffix("").parts))
        for there in imports(path):
            of, to = room_of(here), room_of(there)
            apart = of != to and {of, to} == APART
            if apart or ORDER.get(to, BASICS) > ORDER.get(of, BASICS):
                back.append(f"{here} -> {there}")
    return back


def test_no_import_runs_back_up() -> None:
    assert arrows_back() == []


def test_every_package_has_its_place() -> None:
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert packages == set(ORDER)


def test_the_picture_of_the_architecture_shows_these_packages_in_this_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = re.search(r"```mermaid\n(.*?)```", text, re.S)
    assert picture is not None
    _, *lines = picture[1].splitlines()
    arrows = [
        (of, to) for line in lines for of, to in zip(*(line.split()[0::2][n:] for n in (0, 1)), strict=False)
    ]
    assert {name for arrow in arrows for name in arrow} == set(ORDER)
    assert all(ORDER[of] < ORDER[to] for of, to in arrows)
    table = re.findall(r"^\| (`.*?`) \|", text, re.M)
    assert {name for cell in table for name in re.findall(r"`(\w+)`", cell)} == set(ORDER)


def test_at_most_ten_modules_lie_below_the_packages() -> None:
    assert len([path for path in LIBRARY.glob("*.py") if path.name != "__init__.py"]) <= 10
