#!/usr/bin/env python
"""Writes results/config.json: what of the configuration the tables are made of, checked."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kvsweep.files import write_json
from kvsweep.program import run_program
from kvsweep.study.config import parse_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results directory")
    parser.add_argument("--config", required=True, help="the configuration, as JSON")
    arguments = parser.parse_args()
    config = json.loads(arguments.config)
    parse_study(config)
    write_json(arguments.results / "config.json", config)


if __name__ == "__main__":
    run_program(main)
