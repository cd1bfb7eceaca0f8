#!/usr/bin/env python
"""Writes what of the configuration the tables are made of, checked, and the order in which throughput cells run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kvsweep.files import write_json, write_text
from kvsweep.program import run_program
from kvsweep.study.cells import in_order
from kvsweep.study.config import parse_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    parser.add_argument("--config", required=True, help="the configuration, as JSON")
    arguments = parser.parse_args()
    config = json.loads(arguments.config)
    study = parse_study(config)
    write_json(arguments.results / "config.json", config)
    order = "".join(f"{cell.directory}\n" for cell in in_order(study))
    write_text(arguments.results / "throughput-order.txt", order)


if __name__ == "__main__":
    run_program(main)
