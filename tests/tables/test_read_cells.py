"""Rows of raw cells that are parsed once and kept as long as nothing of them changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from kvsweep.errors import KvsweepError
from kvsweep.measure.record import read_recorded
from kvsweep.study.cells import Cell, QualityCell, ThroughputCell
from kvsweep.study.pairs import Pair
from kvsweep.tables import read_cells as cell_tables
from kvsweep.tables import rows as tables
from kvsweep.tables.columns import as_table
from kvsweep.tables.schemas import TABLES
from kvsweep.tables.where_it_ran import mark_fallback
from support import Workplace, measure

PAIRS = ("f16/f16", "q8_0/turbo4")
DEPTHS = (0, 512)


@pytest.fixture(scope="module")
def measured(_prepared: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("measured")
    shutil.copytree(_prepared.results, root / "results")
    place = Workplace(root)
    for pair in PAIRS:
        for depth in DEPTHS:
            measure(place.throughput_command(pair, depth))
        measure(place.quality_command(pair))
    return root


@pytest.fixture
def results(measured: Path, tmp_path: Path) -> Path:
    shutil.copytree(measured / "results", tmp_path / "results")
    return tmp_path / "results"


def cells(kind: str, pairs: Sequence[str] = PAIRS) -> list[Cell]:
    if kind == "quality":
        return [QualityCell("stand-in", "tiny", "text", 1024, Pair.parse(pair)) for pair in pairs]
    return [ThroughputCell("stand-in", "tiny", depth, Pair.parse(pair)) for depth in DEPTHS for pair in pairs]


def read(
    results: Path, kind: str, code: str = "", pairs: Sequence[str] = PAIRS, processes: int = 1
) -> pa.Table:
    place = Workplace(results.parent)
    builds = {"stand-in": json.loads(place.build_json.read_text())}
    models = {"tiny": json.loads(place.model_json.read_text())}
    groups = cell_tables.groups_of(kind, cells(kind, pairs), builds, models)
    (table,) = cell_tables.read_tables(results, groups, code, processes, {})
    return table


def expected(results: Path, kind: str, pairs: Sequence[str] = PAIRS) -> pa.Table:
    """Every cell parsed, nothing kept."""
    place = Workplace(results.parent)
    build, model = (json.loads(path.read_text()) for path in (place.build_json, place.model_json))
    rows: list[tables.Row] = []
    for cell in cells(kind, pairs):
        recorded = read_recorded(results / cell.directory)
        if isinstance(cell, ThroughputCell):
            rows += tables.throughput_rows(cell, recorded, build, model)
        else:
            rows.append(tables.quality_row(cell, recorded, build, model))
    mark_fallback(rows, kind)
    return as_table(rows, TABLES[kind])


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories of the cells that are parsed."""
    names: list[str] = []

    def note(directory: Path) -> Any:
        names.append("/".join(directory.parts[-3:]))
        return read_recorded(directory)

    monkeypatch.setattr(cell_tables, "read_recorded", note)
    return names


KINDS = pytest.mark.parametrize("kind", ["throughput", "quality"])


@KINDS
def test_kept_rows_are_the_rows(results: Path, kind: str, parsed: list[str]) -> None:
    first = read(results, kind)
    assert len(parsed) == len(cells(kind))
    second = read(results, kind)
    assert len(parsed) == len(cells(kind))
    assert first.equals(expected(results, kind), check_metadata=True)
    assert second.equals(first, check_metadata=True)


@KINDS
def test_only_what_is_new_is_parsed(results: Path, kind: str, parsed: list[str]) -> None:
    assert read(results, kind, pairs=PAIRS[1:]).equals(expected(results, kind, PAIRS[1:]))
    parsed.clear()
    # The new cells stand before the old ones, and f16/f16 is what the others' fallback is compared with.
    assert read(results, kind).equals(expected(results, kind))
    assert {name.split("/", 1)[1] for name in parsed} == {"k-f16/v-f16"}
    parsed.clear()
    assert read(results, kind, pairs=PAIRS[:1]).equals(expected(results, kind, PAIRS[:1]))
    assert parsed == []


@KINDS
def test_a_cell_that_was_measured_again_is_parsed_again(results: Path, kind: str, parsed: list[str]) -> None:
    read(results, kind)
    parsed.clear()
    place = Workplace(results.parent)
    again = place.quality_command(PAIRS[1]) if kind == "quality" else place.throughput_command(PAIRS[1], 512)
    measure(again)
    assert read(results, kind).equals(expected(results, kind))
    assert parsed == [f"{'c1024' if kind == 'quality' else 'd512'}/k-q8_0/v-turbo4"]


def test_other_code_engine_or_model_is_another_reading(results: Path, parsed: list[str]) -> None:
    read(results, "throughput")
    place = Workplace(results.parent)
    for change in ("code", "build", "model"):
        parsed.clear()
        if change == "build":
            build = json.loads(place.build_json.read_text())
            place.build_json.write_text(json.dumps(build | {"backend": "cuda"}))
        elif change == "model":
            model = json.loads(place.model_json.read_text())
            place.model_json.write_text(json.dumps(model | {"n_kv_layers": 2}))
        found = read(results, "throughput", code="changed")
        assert len(parsed) == 4
        assert found.equals(expected(results, "throughput"))


def test_damage_is_noticed_before_it_is_parsed(results: Path) -> None:
    read(results, "throughput")
    log = Workplace(results.parent).throughput(PAIRS[0]) / "stderr.log"
    log.write_text(log.read_text().replace("f16", "f32", 1))
    with pytest.raises(KvsweepError, match="changed since it was measured"):
        read(results, "throughput")


def test_what_is_kept_may_be_lost_or_damaged(results: Path) -> None:
    first = read(results, "throughput")
    (kept,) = (results / "parsed").rglob("throughput.parquet")
    for spoil in (lambda: kept.write_bytes(b"PAR1"), kept.unlink):
        spoil()
        assert read(results, "throughput").equals(first)


def test_several_processes_read_the_same(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_tables, "_MANY", 1)
    monkeypatch.setattr(cell_tables, "_CHUNK", 1)
    assert read(results, "throughput", processes=2).equals(expected(results, "throughput"))
    (Workplace(results.parent).throughput(PAIRS[0]) / "stderr.log").unlink()
    with pytest.raises(KvsweepError, match=r"stderr\.log: this file is missing"):
        read(results, "throughput", processes=2)


def test_where_cells_were_measured(results: Path) -> None:
    place = Workplace(results.parent)
    build, model = (json.loads(path.read_text()) for path in (place.build_json, place.model_json))
    moved = results / cells("throughput")[0].directory / "run.json"
    run = json.loads(moved.read_text())
    run["machine"] |= {
        "name": "another",
        "host": "elsewhere",
        "gpus": [{"name": "NVIDIA H100", "driver": "1"}],
    }
    moved.write_text(json.dumps(run))
    found: dict[str, cell_tables.MachineUse] = {}
    groups = [
        *cell_tables.groups_of("throughput", cells("throughput"), {"stand-in": build}, {"tiny": model}),
        *cell_tables.groups_of("quality", cells("quality"), {"stand-in": build}, {"tiny": model}),
    ]
    assert len(list(cell_tables.read_tables(results, groups, "", 1, found))) == 2
    by_host = {tuple(use.hosts): use for use in found.values()}
    assert by_host["elsewhere",].n_cells == 1
    assert by_host["elsewhere",].cell == str(cells("throughput")[0].directory)
    here = next(use for use in found.values() if use.hosts != {"elsewhere"})
    assert here.n_cells == len(cells("throughput")) + len(cells("quality")) - 1
