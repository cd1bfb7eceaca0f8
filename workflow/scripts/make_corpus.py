#!/usr/bin/env python
"""Makes or takes a text to score and writes its corpus.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep import demo_text
from kvsweep.errors import KvsweepError
from kvsweep.files import sha256_once, write_json, write_text
from kvsweep.program import run_program, say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the corpus")
    parser.add_argument("--path", type=Path, help="a text file to take")
    parser.add_argument("--seed", type=int, help="seed of the text to generate")
    parser.add_argument("--bytes", type=int, help="length of the text to generate")
    parser.add_argument("--sha256", help="what its sha256 must be")
    parser.add_argument("--corpus-json", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    key = f"corpora.{arguments.name}"
    path = arguments.path
    if path is None:
        path = arguments.corpus_json.with_name("text.txt")
        write_text(path, demo_text.generate(arguments.seed, arguments.bytes))
    elif not path.is_file():
        raise KvsweepError(f"{key}.path: there is no file {path}; correct the path or put the text there.")
    digest = sha256_once(path, arguments.corpus_json.with_name("checksum.json"))
    if arguments.sha256 and digest != arguments.sha256:
        raise KvsweepError(f"{key}.sha256: {path} has {digest}, the configuration says {arguments.sha256}.")
    write_json(
        arguments.corpus_json,
        {
            "format": 1,
            "corpus": arguments.name,
            "path": str(path.resolve()),
            "size_bytes": path.stat().st_size,
            "sha256": digest,
            "seed": arguments.seed,
        },
    )
    say(f"corpus {arguments.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    run_program(main)
