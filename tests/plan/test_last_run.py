"""What is kept of the last run may be damaged, or of a kvsweep that accepted more: it is said in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.files import write_json
from kvsweep.plan.last_run import last_study
from make_plan import backend, header_of
from support import write_model

STUDY = {
    "engines": {"e": {"source": {"path": "bin"}, "backend": "cpu"}},
    "models": {"m": {"path": "m.gguf"}},
    "pairs": ["f16"],
    "throughput": {"depths": [0]},
}
DAMAGED = ["", "x", "null", "[1]", "3", '"text"', "{}", '{"configuration": null}', '{"configuration": [1]}']


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("name", ["last-run.json", "config.json"])
def test_damaged_notes(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(KvsweepError) as raised:
        last_study(tmp_path)
    assert str(raised.value).startswith(str(tmp_path)) and "\n" not in str(raised.value)


def test_a_configuration_that_older_kvsweep_accepted(tmp_path: Path) -> None:
    refused = STUDY | {"models": {"m": {"url": "https://example.org/x?token=SECRET"}}}
    write_json(tmp_path / "last-run.json", {"format": 1, "configuration": refused})
    with pytest.raises(
        KvsweepError, match=r"is not valid any more: models\.m\.url: .*; what was measured stays"
    ) as raised:
        last_study(tmp_path)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("content", [*DAMAGED, json.dumps({"path": 1, "size_bytes": None})])
def test_a_damaged_manifest_is_as_none(content: str, tmp_path: Path) -> None:
    write_json(tmp_path / "last-run.json", {"format": 1, "configuration": STUDY})
    study = last_study(tmp_path)
    model = write_model(tmp_path / "m.gguf")
    for directory, name in (("engines/e", "build.json"), ("models/m", "model.json")):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / name).write_text(content)
    assert backend(study, "e", tmp_path) == "cpu"
    assert header_of("m", study.models["m"], model, model.stat().st_size, tmp_path).n_layers == 4
