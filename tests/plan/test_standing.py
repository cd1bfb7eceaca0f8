"""What a study's jobs need: nothing where a record says that all is as it has to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kvsweep.engine.identity import engine_identity
from kvsweep.errors import KvsweepError
from kvsweep.files import sha256
from kvsweep.plan.changes import change
from kvsweep.plan.current import Current, EngineNow
from kvsweep.study.cells import QualityCell, quality_cells
from kvsweep.study.config import parse_study
from kvsweep.study.pairs import Pair
from small_study import (
    BASELINE,
    BUILD,
    COMMIT,
    CONFIG,
    CORPUS,
    MODEL,
    QUALITY,
    SPEED,
    place,
    record,
    standing,
)

__all__ = ["place"]


def test_a_cell_that_is_not_there_needs_what_it_is_measured_with(place: Path) -> None:
    stands = standing(place)
    assert stands.needs(SPEED, forced=False) == [BUILD, MODEL]
    assert stands.needs(BASELINE, forced=False) == [BUILD, MODEL, CORPUS]
    needs = stands.needs(QUALITY, forced=False)
    assert needs == [BUILD, MODEL, CORPUS, "results/baseline/e/m/c/c512/run.json"]
    assert stands.logits(QUALITY, needs) == ["results/baseline/e/m/c/c512/logits.kld"]


def test_a_finished_cell_needs_nothing(place: Path) -> None:
    for run in (SPEED, BASELINE, QUALITY):
        record(run)
    stands = standing(place)
    assert [stands.needs(run, forced=False) for run in (SPEED, BASELINE, QUALITY)] == [[], [], []]
    assert stands.logits(QUALITY, []) == []
    assert stands.needs(SPEED, forced=True) == [BUILD, MODEL]
    assert stands.to_measure_again(lambda _: False) == []
    assert stands.to_measure_again(lambda run: run == SPEED) == [SPEED]
    assert not Path("newer.txt").exists()


def test_a_cell_that_was_measured_otherwise_has_an_input_that_is_newer(place: Path) -> None:
    record(SPEED, repetitions=3)
    stands = standing(place)
    assert stands.needs(SPEED, forced=False) == [BUILD, MODEL, "newer.txt"]
    assert Path("newer.txt").exists()
    assert stands.to_measure_again(lambda _: False) == [SPEED]


def test_a_model_that_changed_is_looked_at_again_and_so_are_its_cells(place: Path) -> None:
    record(SPEED)
    Path(MODEL).parent.mkdir(parents=True)
    made = {"sha256": sha256(Path("models/m.gguf")), "source": {"path": str(place / "models/m.gguf")}}
    Path(MODEL).write_text(json.dumps(made))
    assert standing(place).model("m") == []
    (place / "models" / "m.gguf").write_bytes(b"another model")
    stands = standing(place)
    assert stands.model("m") == ["newer.txt"]
    assert stands.needs(SPEED, forced=False)[-1] == "newer.txt"


@pytest.mark.parametrize(
    ("changes", "is_right"),
    [
        ({}, True),
        ({"programs": ["llama-cli"]}, False),
        ({"backend": "vulkan"}, False),
        ({"source": {"git": {"url": "https://example.org/mirror", "commit": COMMIT}}}, False),
        ({"source": {"git": {"url": "https://example.org/e", "commit": "1" * 40}}}, False),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_an_engine_is_built_again_when_its_manifest_is_of_another_one(
    place: Path, changes: dict[str, Any], is_right: bool, old: bool
) -> None:
    made: dict[str, Any] = {
        "definition": {"source": {"git": {"commit": COMMIT}}, "backend": "cpu", "cmake": {}, "env": {}},
        "programs": ["llama-bench", "llama-perplexity"],
        "directory": "results/engines/e/bin",
        "files": {},
        "address": "https://example.org/e",
    }
    if old:  # of an older kvsweep, which did not write this down
        del made["address"]
        is_right = is_right or "mirror" in str(changes)
    Path(BUILD).parent.mkdir(parents=True)
    Path(BUILD).write_text(json.dumps(made))
    engine = {**CONFIG["engines"]["e"], **changes}
    assert standing(place, engines={"e": engine}).engine("e") == ([] if is_right else ["newer.txt"])


def test_a_relative_path_is_the_same_in_another_checkout_as_long_as_the_old_one_is_there(place: Path) -> None:
    Path(MODEL).parent.mkdir(parents=True)
    digest = sha256(Path("models/m.gguf"))
    other = place / "other" / "models" / "m.gguf"
    other.parent.mkdir(parents=True)
    other.write_bytes((place / "models" / "m.gguf").read_bytes())
    Path(MODEL).write_text(json.dumps({"sha256": digest, "source": {"path": str(other)}}))
    assert standing(place).model("m") == []
    other.unlink()
    assert standing(place).model("m") == ["newer.txt"]


def test_the_pairs_of_an_engine_that_is_there_are_checked_at_once(place: Path) -> None:
    assert standing(place).unchecked_pairs() == ["results/engines/e/pairs.checked"]
    Path(BUILD).parent.mkdir(parents=True)
    definition = {"source": {"git": {"commit": COMMIT}}, "backend": "cpu", "cmake": {}, "env": {}}
    Path(BUILD).write_text(json.dumps({"definition": definition, "files": {}, "cache_types": ["f16"]}))
    with pytest.raises(KvsweepError, match="does not know the cache type 'q8_0'"):
        standing(place).unchecked_pairs()


def test_an_engine_without_the_scorer_is_noticed_before_anything_runs(place: Path) -> None:
    by_scorer = CONFIG["quality"] | {"method": "scorer"}
    # One that is not there yet, or was built before kvsweep had a scorer, gets one.
    assert standing(place, quality=by_scorer).unchecked_pairs() == ["results/engines/e/pairs.checked"]
    assert standing(place, quality=by_scorer).needs_scorer("e") and not standing(place).needs_scorer("e")
    Path(BUILD).parent.mkdir(parents=True)
    definition = {"source": {"git": {"commit": COMMIT}}, "backend": "cpu", "cmake": {}, "env": {}}
    build = {"definition": definition, "files": {}, "cache_types": None}
    Path(BUILD).write_text(json.dumps(build))
    standing(place, quality=by_scorer).unchecked_pairs()
    Path(BUILD).write_text(
        json.dumps(build | {"scorer": {"missing": "this engine's llama.h has no swa_full"}})
    )
    standing(place).unchecked_pairs()
    with pytest.raises(KvsweepError) as raised:
        standing(place, quality=by_scorer).unchecked_pairs()
    assert str(raised.value) == (
        "engines.e: has no scorer, which quality.method asks for: this engine's llama.h has no swa_full; take another "
        "commit of the engine, or set quality.method to perplexity for the contexts of this engine."
    )


def test_ready_binaries_without_the_scorer_are_noticed_before_anything_runs(place: Path) -> None:
    binaries = place / "binaries"
    binaries.mkdir()
    asked = {
        "quality": CONFIG["quality"] | {"method": "scorer"},
        "engines": {"e": {"source": {"path": "binaries"}, "backend": "cpu"}},
    }
    with pytest.raises(KvsweepError, match=f"there is no kvsweep-scorer in {binaries}; build it for"):
        standing(place, **asked).unchecked_pairs()
    (binaries / "kvsweep-scorer").touch()
    standing(place, **asked).unchecked_pairs()


def test_a_scorer_that_is_only_needed_for_finished_cells_is_not_missed(place: Path) -> None:
    (place / "binaries").mkdir()
    asked = {
        "quality": CONFIG["quality"] | {"method": "scorer"},
        "engines": {"e": {"source": {"path": "binaries"}, "backend": "cpu"}},
    }
    for cell in quality_cells(parse_study(CONFIG | asked)):
        record(cell, positions="half")
    standing(place, **asked).unchecked_pairs()


def test_a_cell_stands_as_long_as_the_engine_of_its_f16_does() -> None:
    """Against the f16 of another engine it is measured again where that engine is another one."""
    cell = QualityCell("fork", "m", "t", 512, Pair("q8_0", "q8_0"), reference="mainline")
    study = parse_study(
        {
            "engines": {name: {"source": {"path": name}} for name in ("fork", "mainline")},
            "models": {"m": {"path": "m.gguf"}},
            "corpora": {"t": {"path": "t.txt"}},
            "pairs": ["q8_0"],
            "quality": {"contexts": [512], "chunks": 8, "reference": "mainline"},
        }
    )
    assert cell in quality_cells(study)
    files = {"llama-perplexity": "1" * 64}
    now = Current({name: EngineNow(engine_identity(study.engines[name]), files) for name in study.engines})
    of_engine = {"engine_definition": engine_identity(study.engines["fork"]), "engine_files": files}
    record = {**of_engine, "reference": {"engine": "mainline", **of_engine}}
    assert change(cell, record, study, now) is None
    other = {**of_engine, "engine_files": {"llama-perplexity": "2" * 64}}
    found = change(cell, {**record, "reference": {"engine": "mainline", **other}}, study, now)
    assert found is not None
    assert found.reason == "reference mainline: engine changed: other contents of llama-perplexity"
