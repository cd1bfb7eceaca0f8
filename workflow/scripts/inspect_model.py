#!/usr/bin/env python
"""Reads a model's header and checksum and writes its model.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import sha256_once, write_json
from kvsweep.model_header import read_header
from kvsweep.program import run_program, say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--path", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--sha256", help="what its sha256 must be")
    parser.add_argument("--model-json", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    path = arguments.path
    header = read_header(path, f"models.{arguments.name}.path")
    digest = sha256_once(path, arguments.model_json.with_name("checksum.json"))
    if arguments.sha256 and digest != arguments.sha256:
        raise KvsweepError(
            f"models.{arguments.name}.sha256: {path} has {digest}, the configuration says {arguments.sha256}; "
            "fetch the right file or correct the configuration."
        )
    write_json(
        arguments.model_json,
        {
            "format": 1,
            "model": arguments.name,
            "path": str(path.resolve()),
            "size_bytes": path.stat().st_size,
            "sha256": digest,
            **header.as_dict(),
        },
    )
    say(f"model {arguments.name}: {header.architecture}, {header.n_layers} layers, {header.weight_type}")


if __name__ == "__main__":
    run_program(main)
