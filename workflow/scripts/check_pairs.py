#!/usr/bin/env python
"""Fails if a built engine does not accept a cache type that the configured pairs need, or lacks the scorer."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.engine.identity import check_has_scorer
from kvsweep.files import read_json
from kvsweep.program import run_program
from kvsweep.study.engines import check_engine_accepts
from kvsweep.study.pairs import Pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-json", type=Path, required=True, help="the engine's manifest")
    parser.add_argument("--scorer", action="store_true", help="quality is measured by the scorer")
    parser.add_argument("pairs", nargs="+", type=Pair.parse, help="pairs to run, K/V")
    arguments = parser.parse_args()
    build = read_json(arguments.build_json)
    if build["cache_types"] is not None:
        check_engine_accepts(build["engine"], build["cache_types"], arguments.pairs)
    if arguments.scorer:
        check_has_scorer(build["engine"], build)


if __name__ == "__main__":
    run_program(main)
