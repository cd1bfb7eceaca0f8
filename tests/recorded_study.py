#!/usr/bin/env python
"""A small recorded study, and the tables that kvsweep makes of it: what a change of the code must not change unseen.

    python tests/recorded_study.py --accept            # the tables of today's code become the expected ones
    python tests/recorded_study.py --record RESULTS    # takes the raw cells anew, from the results of the demo

`tests/data/recorded-study/results` holds 35 raw cells of the demo (7 pairs, scored at two contexts and timed at three
depths), with logs cut down to the lines that say something and with paths of no machine. `expected` holds a JSON
object a row, without what is null; `published` the answers to the published numbers alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
import pyarrow.parquet as pq
from support import ROOT, run_in_this_process

HERE = Path(__file__).parent / "data" / "recorded-study"
RESULTS, EXPECTED, PUBLISHED = HERE / "results", HERE / "expected", HERE / "published"

PAIRS = ("f16", "q8_0", "q4_0", "f16/q4_0", "q4_0/q8_0", "q4_1", "iq4_nl")
CONTEXTS, DEPTHS = (256, 1024), (0, 512, 1024)
WORKLOADS = {
    "long-chat": {
        "title": "long chat", "depth": 512, "prompt_tokens": 64, "generated_tokens": 256, "highest_kld": 0.0001,
    },
    "short-answers": {
        "title": "short answers", "depth": 0, "prompt_tokens": 512, "generated_tokens": 16, "highest_kld": 0.0001,
    },
    "longest-context": {
        "title": "longest context", "goal": "context", "depth": 0, "prompt_tokens": 512, "generated_tokens": 64,
    },
}  # fmt: skip
MEMORIES = [n * 2**20 for n in (16, 64, 256)]
ANSWERED = ("claims", "head_to_head", "pareto", "k_or_v", "crossovers", "memory", "largest_context", "advice")


def tables_of(
    results: Path, workloads: dict[str, Any] | None, *arguments: str
) -> dict[str, list[dict[str, Any]]]:
    """Every table that kvsweep's programs make of these results, without what is null."""
    asked = ("--memories", json.dumps(MEMORIES), "--workloads", json.dumps(workloads))
    for name, options in {
        "make_tables": ("--results", results, "--processes", "1", *arguments),
        "make_answers": ("--tables", results / "tables", *asked),
    }.items():
        done = run_in_this_process(name, options)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
    return {
        path.stem: [as_json(row) for row in pq.read_table(path).to_pylist()]
        for path in sorted((results / "tables").glob("*.parquet"))
    }


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Without ``pair``, which says ``ctk`` and ``ctv`` again."""
    return {
        name: f"{value:%Y-%m-%dT%H:%M:%S}" if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None and name != "pair"
    }


def of_the_study(place: Path) -> dict[str, list[dict[str, Any]]]:
    """What is made of the recorded cells; ``place`` is an empty directory. Without what was published."""
    shutil.copytree(RESULTS, place / "results")
    return {
        name: [row for row in rows if not str(row.get("source", row.get("subject"))).startswith("published:")]
        for name, rows in tables_of(place / "results", WORKLOADS).items()
    }


def of_the_published(place: Path) -> dict[str, list[dict[str, Any]]]:
    (place / "results").mkdir()
    found = tables_of(place / "results", None, "--only-published")
    return {name: found[name] for name in ANSWERED}


def read(directory: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(directory.glob("*.jsonl"))
    }


def write(directory: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, rows in tables.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")


# --- recording ----------------------------------------------------------------------------------------------

# What a log says of single tensors, layers and keys, which no parser reads.
_SAYS_NOTHING = re.compile(
    r"create_tensor: |llama_graph_n_input_tensors: |load_tensors: layer |: layer +\d+: dev = "
    r"|llama_model_loader: - |print_info: |graph_reserve: |set_n_threads: |control token: |load: .*EOG"
)


def record(results: Path) -> None:
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    config = json.loads((results / "config.json").read_text())
    config |= {"pairs": list(PAIRS)}
    config["throughput"] |= {"depths": list(DEPTHS)}
    (RESULTS / "config.json").write_text(json.dumps(config, indent=1))
    for pattern in ("engines/*/build.json", "models/*/model.json"):
        for path in results.glob(pattern):
            copied = RESULTS / path.relative_to(results)
            copied.parent.mkdir(parents=True)
            copied.write_text(without_paths(path.read_text(), results))
    for cell in _cells():
        _record_cell(results, results / cell, RESULTS / cell)


def _cells() -> Iterator[Path]:
    subject = ("mainline", "kvsweep-demo")
    places = [Path("quality", *subject, "demo-text", f"c{n_ctx}") for n_ctx in CONTEXTS]
    places += [Path("throughput", *subject, f"d{depth}") for depth in DEPTHS]
    for place in places:
        for pair in PAIRS:
            ctk, _, ctv = pair.partition("/")
            yield place / f"k-{ctk}" / f"v-{ctv or ctk}"


def _record_cell(results: Path, cell: Path, copied: Path) -> None:
    copied.mkdir(parents=True)
    run = json.loads(without_paths((cell / "run.json").read_text(), results))
    for stream in run["streams"]:
        text = without_paths((cell / stream["name"]).read_text(), results)
        kept = "".join(line for line in text.splitlines(keepends=True) if not _SAYS_NOTHING.search(line))
        data = kept.encode()
        stream |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (copied / stream["name"]).write_bytes(data)
    (copied / "run.json").write_text(json.dumps(run, indent=1) + "\n")


def without_paths(text: str, results: Path) -> str:
    return text.replace(str(results.resolve().parent), "/home/somebody/kvsweep")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--record", type=Path, metavar="RESULTS", help="take the raw cells from these results"
    )
    parser.add_argument("--accept", action="store_true", help="keep today's tables as the expected ones")
    arguments = parser.parse_args()
    if arguments.record:
        record(arguments.record)
    if arguments.accept or arguments.record:
        for directory, make in ((EXPECTED, of_the_study), (PUBLISHED, of_the_published)):
            with tempfile.TemporaryDirectory() as place:
                write(directory, make(Path(place)))
            print(f"{directory.relative_to(ROOT)}: {len(list(directory.iterdir()))} tables")


if __name__ == "__main__":
    main()
