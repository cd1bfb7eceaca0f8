"""What a cell is measured with, after making sure that its files are still the ones that their manifests describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, sha256_once
from kvsweep.study.split_models import checksum_memory


def load_engine(build_json: Path) -> dict[str, Any]:
    """build.json, after making sure that its binaries are still the ones it describes."""
    build: dict[str, Any] = read_json(build_json)
    for name, digest in build["files"].items():
        path = Path(build["directory"], name)
        if not path.is_file():
            raise KvsweepError(f"{path}: the engine's file is gone; remove {build_json} to build it again.")
        if sha256_once(path, build_json.parent / "checksums" / f"{name}.json") != digest:
            raise KvsweepError(
                f"{path}: the engine's file changed since {build_json} was written; remove that file to go on with "
                "the changed engine, which measures everything of it again."
            )
    return build


def load_model(model_json: Path) -> dict[str, Any]:
    """model.json, after making sure that the model, of a split one each part, is still the one it describes."""
    return _load_input(model_json, "model")


def load_corpus(corpus_json: Path) -> dict[str, Any]:
    """corpus.json, after making sure that the text is still the one it describes."""
    return _load_input(corpus_json, "corpus")


def _load_input(manifest: Path, what: str) -> dict[str, Any]:
    values: dict[str, Any] = read_json(manifest)
    for file in values.get("parts") or [values]:
        path = Path(file["path"])
        if not path.is_file():
            act = "put it back, or correct its path in the configuration"
            if "path" not in values.get("source", {"path": ""}):
                act = f"remove {manifest} to get it again"
            raise KvsweepError(f"{path}: the {what} is gone; {act}.")
        if sha256_once(path, checksum_memory(manifest.parent, path)) != file["sha256"]:
            raise KvsweepError(
                f"{path}: the {what} changed since {manifest} was written; run the workflow again."
            )
    return values
