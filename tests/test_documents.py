"""What README, CONTRIBUTING and docs/ name is there: files, headings, make's targets, keys, modules and their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.study.engine_shape import BackEnd
from kvsweep.study.tasks import KINDS
from kvsweep.tables.columns import TASK
from kvsweep.tables.schemas import TABLES as TABLES_ON_DISK
from support import ROOT

LIBRARY = ROOT / "workflow" / "scripts" / "kvsweep"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
of_each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
# The modules that CONTRIBUTING's worked examples make.
MADE_BY_EXAMPLES = {"figures/wall_time.py", "measure/tasks/sums.py"}
# Of other projects.
FOREIGN = re.compile(r"^(?:benchmark|scripts/compare-llama-bench\.py)\b")

SCHEMA = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text(encoding="utf-8"))


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def commands_in(text: str) -> Iterator[str]:
    """What stands as code: between backticks, and each line of a block."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        yield from (line.strip() for line in block.splitlines())
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from re.findall(r"`([^`\n]+)`", prose)


@cache
def headings(document: Path) -> set[str]:
    """The anchors of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", text_of(document), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@of_each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text_of(document))
    own = [(path, anchor) for path, anchor in links if "://" not in path]
    lost = [path for path, _ in own if path and not (document.parent / path).exists()]
    assert lost == []
    targets = [(document.parent / path if path else document, anchor) for path, anchor in own if anchor]
    assert [anchor for target, anchor in targets if anchor not in headings(target.resolve())] == []


@of_each_document
def test_make_has_every_target(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", text_of(ROOT / "Makefile"), re.M))
    named = [
        target
        for code in commands_in(text_of(document))
        for target in re.findall(r"^make ([a-z][\w-]*)", code)
    ]
    assert set(named) <= targets


def test_every_target_is_named_somewhere() -> None:
    """Of what a person types: a target that no document names is not found."""
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text_of(ROOT / "Makefile"), re.M)
    said = " ".join(text_of(document) for document in DOCUMENTS)
    assert [target for target in phony.split() if not re.search(rf"make {target}\b", said)] == []


def is_there(name: str) -> bool:
    """Whether a file is there by its path, from the top or inside the library; a module also by its name alone."""
    if name in MADE_BY_EXAMPLES or FOREIGN.search(name):
        return True
    places = (ROOT, LIBRARY, LIBRARY.parent, LIBRARY.parent.parent)
    return any((place / name).exists() for place in places) or (
        "/" not in name and any(True for folder in ("workflow", "tests") for _ in (ROOT / folder).rglob(name))
    )


@of_each_document
def test_every_file_is_there(document: Path) -> None:
    """Modules, and paths below folders of this repository; what only a run makes lies under results/."""
    folders = "|".join(
        path.name
        for path in (*ROOT.iterdir(), *LIBRARY.iterdir())
        if path.is_dir() and path.name[0] not in "._"
    )
    words = (word for code in commands_in(text_of(document)) for word in re.findall(r"[\w./-]+", code))
    named = {
        word.rstrip(".")
        for word in words
        if re.fullmatch(r"[\w/-]+\.(?:py|smk)", word)
        or (
            re.match(rf"(?:{folders})/", word)
            and not word.startswith(("results/", "studies/", "slices/", "models/"))
            and not re.search(r"[A-Z]{3}", word.removesuffix(".md"))
        )
    }
    assert sorted(name for name in named if not is_there(name)) == []


# -- keys of the configuration -----------------------------------------------------------------------------------------

# The classes of a section's table in docs/configuration.md; a dotted key is followed into its class.
TABLES = {
    "engines": ["EngineEntry"],
    "models": ["Model"],
    "corpora": ["Corpus"],
    "quality": ["QualityEntry"],
    "throughput": ["Throughput"],
    "tasks": ["RecallEntry", "ToolCallEntry", "TrajectoryEntry", "AiderPolyglotEntry"],
    "limits": ["Limits"],
    "workloads": ["WorkloadEntry"],
    "analysis": ["Analysis"],
}


def properties(name: str) -> dict[str, Any]:
    return dict(SCHEMA["$defs"][name]["properties"])


def keys_in_table(section: str) -> set[str]:
    """The keys of a section's tables, those of `source.git` as `source`."""
    text = text_of(ROOT / "docs" / "configuration.md").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {key.partition(".")[0] for row in rows for key in re.findall(r"`([\w.]+)`", row)}


@pytest.mark.parametrize("section", TABLES)
def test_the_table_of_a_section_has_its_keys_and_no_others(section: str) -> None:
    keys = {key for name in TABLES[section] for key in properties(name)}
    assert keys_in_table(section) == keys


def test_every_section_is_explained() -> None:
    titles = re.findall(r"^## (\w+)$", text_of(ROOT / "docs" / "configuration.md"), re.M)
    assert set(titles) == set(SCHEMA["properties"])


@of_each_document
def test_every_dotted_key_is_one_of_the_configuration(document: Path) -> None:
    sections = "|".join(section for section in TABLES if len(TABLES[section]) == 1 and is_one(section))
    dotted = re.compile(rf"({sections})\.(\w+)(?:: .*)?")
    found = [match for code in commands_in(text_of(document)) if (match := dotted.fullmatch(code))]
    assert [
        match[0]
        for match in found
        if match[2] not in (*properties(TABLES[match[1]][0]), "py", "parquet", "csv", "smk")
    ] == []


def is_one(section: str) -> bool:
    """Whether a section is one mapping, and not many by name."""
    return "$ref" in SCHEMA["properties"][section]


def row_of(document: str, key: str) -> str:
    """The row of a table whose first cell is ``key``."""
    (row,) = re.findall(rf"^\| `{re.escape(key)}` \|.*$", text_of(ROOT / "docs" / document), re.M)
    return str(row)


@pytest.mark.parametrize("backend", get_args(BackEnd))
def test_every_back_end_is_explained(backend: str) -> None:
    assert f"`{backend}`" in row_of("configuration.md", "backend")
    assert backend == "auto" or row_of("backends.md", backend)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_is_explained(kind: str) -> None:
    assert f"`{kind}`" in row_of("configuration.md", "kind")
    assert re.search(rf"^- `{kind}` ", text_of(ROOT / "docs" / "configuration.md"), re.M)
    assert kind in TASK


# -- names of the code -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md", "docs/development.md"])
def test_every_class_function_and_constant_is_in_the_code(name: str) -> None:
    """Of what is written as such: `EngineEntry.backend`, `options_here`, `DRAWERS`."""
    code = "\n".join(
        text_of(path) for folder in ("workflow", "tests") for path in sorted((ROOT / folder).rglob("*.py"))
    ) + "".join(text_of(path) for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    words = set(re.findall(r"\w+", code))
    text = re.sub(r"^```.*?^```", "", text_of(ROOT / name), flags=re.M | re.S)
    named = {word for span in re.findall(r"`([A-Za-z_][\w.]*)`", text) for word in span.split(".")}
    written_as_code = {word for word in named if "_" in word.strip("_") or re.match(r"_?[A-Z]", word)}
    assert sorted(written_as_code - words - {"GGML_OPENCL", "NAME", "my"}) == []


# -- tables ------------------------------------------------------------------------------------------------------------

RESULTS = text_of(ROOT / "docs" / "results.md")


def test_the_tree_of_results_has_every_table() -> None:
    tree = RESULTS.partition("```\n")[2].partition("```")[0]
    named = re.findall(r"^results/tables/\{?([\w,]+)\}?\.parquet", tree, re.M)
    assert {name for names in named for name in names.split(",")} == {*TABLES_ON_DISK, *ANALYSIS}


def test_tables_of_answers_are_explained_with_columns_that_they_have() -> None:
    section = RESULTS.partition("\n## Tables of answers\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    columns = {
        name: set(re.findall(r"`(\w+)`", told))
        for cell, _, told in rows
        for name in re.findall(r"`(\w+)`", cell)
    }
    assert set(columns) == set(ANALYSIS)
    unknown = {name: sorted(told - set(ANALYSIS[name].names)) for name, told in columns.items()}
    assert {name: lost for name, lost in unknown.items() if lost} == {}
