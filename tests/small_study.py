"""A study of one engine, one model and one text, of which nothing is measured; records that say otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kvsweep.files import sha256
from kvsweep.plan.standing import StudyOnDisk
from kvsweep.study.cells import BaselineRun, QualityCell, ThroughputCell
from kvsweep.study.config import parse_study
from kvsweep.study.pairs import Pair

COMMIT = "0123456789" * 4
CONFIG: dict[str, Any] = {
    "engines": {
        "e": {"source": {"git": {"url": "https://example.org/e", "commit": COMMIT}}, "backend": "cpu"}
    },
    "models": {"m": {"path": "models/m.gguf"}},
    "corpora": {"c": {"generate": {"seed": 1, "bytes": "8K"}}},
    "pairs": ["f16", "q8_0"],
    "quality": {"contexts": [512], "chunks": 8},
    "throughput": {"depths": [0], "prompt": 64, "generate": 16, "repetitions": 2},
}
SPEED = ThroughputCell("e", "m", 0, Pair("q8_0", "q8_0"))
BASELINE = BaselineRun("e", "m", "c", 512)
QUALITY = QualityCell("e", "m", "c", 512, Pair("q8_0", "q8_0"))
BUILD, MODEL, CORPUS = (
    "results/engines/e/build.json",
    "results/models/m/model.json",
    "results/corpora/c/corpus.json",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a model file, and nothing measured."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.gguf").write_bytes(b"a model")
    return tmp_path


def standing(place: Path, **changes: Any) -> StudyOnDisk:
    return StudyOnDisk(parse_study(CONFIG | changes), Path("results"), place, Path("newer.txt"))


def record(run: ThroughputCell | BaselineRun | QualityCell, **values: Any) -> None:
    """A finished cell of the study as it is."""
    path = Path("results") / run.directory / "run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    own = (
        {"prompt": 64, "generate": 16, "repetitions": 2} if isinstance(run, ThroughputCell) else {"chunks": 8}
    )
    path.write_text(json.dumps({"model_sha256": sha256(Path("models/m.gguf")), **own, **values}))
