#!/usr/bin/env python
"""Makes, takes or fetches a text to score and writes its corpus.json."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import sha256_once, write_json, write_text
from kvsweep.inputs import demo_text
from kvsweep.inputs.archive import extract
from kvsweep.inputs.fetch import bring, check_sha256
from kvsweep.inputs.plain_text import check_text
from kvsweep.program import add_base, run_program, say
from kvsweep.study.origin import Origin, parse_origin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the corpus")
    parser.add_argument(
        "--path",
        dest="origin",
        type=parse_origin,
        help="a text file or an archive to take; or as JSON, the url or huggingface of a configuration",
    )
    parser.add_argument("--member", help="path of the text inside the archive")
    parser.add_argument("--archive-sha256", help="what the archive's sha256 must be")
    parser.add_argument("--seed", type=int, help="seed of the text to generate")
    parser.add_argument("--bytes", type=int, help="length of the text to generate")
    add_base(parser)
    parser.add_argument("--sha256", help="what the text's sha256 must be")
    parser.add_argument("--corpus-json", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    key = f"corpora.{arguments.name}"
    directory: Path = arguments.corpus_json.parent
    text, archive_sha256 = directory / "text.txt", None
    origin: Origin | None = arguments.origin and arguments.origin.at(arguments.base)
    source: dict[str, Any]
    if origin is None:
        write_text(text, demo_text.generate(arguments.seed, arguments.bytes))
        source = {"generate": {"seed": arguments.seed, "bytes": arguments.bytes}}
    elif arguments.member is None:
        text = take(origin, directory, directory / "checksum.json", key, arguments.sha256, arguments.base)
        source = origin.as_dict()
    else:
        memory = directory / "archive-checksum.json"
        archive = take(origin, directory, memory, key, arguments.archive_sha256, arguments.base)
        archive_sha256 = sha256_once(archive, memory)
        check_sha256(archive, archive_sha256, arguments.archive_sha256, f"{key}.archive_sha256", origin)
        extract(archive, arguments.member, text, f"{key}.member")
        source = {**origin.as_dict(), "member": arguments.member}
    check_text(text, key)
    digest = sha256_once(text, directory / "checksum.json")
    check_sha256(text, digest, arguments.sha256, f"{key}.sha256", None if arguments.member else origin)
    write_json(
        arguments.corpus_json,
        {
            "format": 1,
            "corpus": arguments.name,
            "source": source,
            "path": str(text.resolve()),
            "size_bytes": text.stat().st_size,
            "sha256": digest,
            "archive_sha256": archive_sha256,
            "seed": arguments.seed,
        },
    )
    say(f"corpus {arguments.name}: {text.stat().st_size} bytes")


def take(
    origin: Origin, directory: Path, memory: Path, key: str, expected_sha256: str | None, base: Path
) -> Path:
    """The text or archive, fetched if it has to be."""

    def tell(message: str) -> None:
        say(f"corpus {key.removeprefix('corpora.')}: {message}")

    path = bring(origin, directory, memory, key, expected_sha256, tell, base)
    if not path.is_file():
        raise KvsweepError(f"{key}.path: there is no file {path}; correct the path or put the text there.")
    return path


if __name__ == "__main__":
    run_program(main)
