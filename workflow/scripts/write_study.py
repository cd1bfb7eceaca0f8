#!/usr/bin/env python
"""Writes results/config.json, the checked configuration, and results/cells.txt, the directory of every cell."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kvsweep.files import write_json, write_text
from kvsweep.program import run_program
from kvsweep.study.cells import quality_cells, throughput_cells
from kvsweep.study.config import parse_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    parser.add_argument("--config", required=True, help="the configuration, as JSON")
    arguments = parser.parse_args()
    config = json.loads(arguments.config)
    study = parse_study(config)
    cells = [*quality_cells(study), *throughput_cells(study)]
    write_text(arguments.results / "cells.txt", "".join(f"{cell.directory}\n" for cell in cells))
    write_json(arguments.results / "config.json", config)


if __name__ == "__main__":
    run_program(main)
