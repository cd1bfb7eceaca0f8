#!/usr/bin/env python
"""Brings a model here if it is elsewhere, reads its header and checksum and writes its model.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import sha256_once, write_json
from kvsweep.inputs.fetch import bring, check_sha256, forget
from kvsweep.inputs.model_header import ModelHeader, read_header
from kvsweep.program import add_base, run_program, say
from kvsweep.study.origin import Origin, parse_origin
from kvsweep.study.split_models import checksum_memory, is_split, model_sha256, part_paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument(
        "--path",
        dest="origin",
        type=parse_origin,
        required=True,
        help="the GGUF file, or the first part of a split one; or as JSON, the url or huggingface of a configuration",
    )
    add_base(parser)
    parser.add_argument("--sha256", help="what its sha256 must be")
    parser.add_argument("--model-json", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    origin: Origin = arguments.origin.at(arguments.base)
    directory: Path = arguments.model_json.parent
    key = f"models.{arguments.name}"
    path = bring_all(origin, directory, key, arguments.sha256, arguments.base)
    header = read_fetched_header(origin, directory, path, f"{key}.{origin.kind}")
    files = [
        {
            "path": str(part.resolve()),
            "size_bytes": part.stat().st_size,
            "sha256": sha256_once(part, checksum_memory(directory, part)),
        }
        for part in part_paths(path)
    ]
    digest = model_sha256(str(file["sha256"]) for file in files)
    check_sha256(path, digest, arguments.sha256, f"{key}.sha256", origin)
    write_json(
        arguments.model_json,
        {
            "format": 1,
            "model": arguments.name,
            "source": origin.as_dict(),
            "path": str(path.resolve()),
            "size_bytes": sum(part.stat().st_size for part in part_paths(path)),
            "sha256": digest,
            "parts": files if is_split(path) else [],
            **header.as_dict(),
        },
    )
    say(f"model {arguments.name}: {header.architecture}, {header.n_layers} layers, {header.weight_type}")


def bring_all(origin: Origin, directory: Path, key: str, expected_sha256: str | None, base: Path) -> Path:
    """The model's file, or the first part of a split one; after this all parts are here."""
    try:
        parts = origin.parts()
    except ValueError as error:
        raise KvsweepError(f"{key}.{origin.kind}: {error}.") from None
    # What is expected of a split model is said of all parts together.
    own = expected_sha256 if len(parts) == 1 else None

    def tell(message: str) -> None:
        say(f"model {key.removeprefix('models.')}: {message}")

    paths = []
    for part in parts:
        memory = checksum_memory(directory, Path(part.file_name))
        paths.append(bring(part, directory, memory, key, own, tell, base))
    return paths[0]


def read_fetched_header(origin: Origin, directory: Path, path: Path, where: str) -> ModelHeader:
    """The header. A fetched file that has none is fetched again the next time."""
    try:
        return read_header(path, where)
    except KvsweepError:
        for part in origin.parts():
            forget(part, directory)
        raise


if __name__ == "__main__":
    run_program(main)
