#!/usr/bin/env python
"""Writes the configuration's JSON schema, for editors, from its classes in kvsweep/study/shape.py."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kvsweep.files import write_text
from kvsweep.program import run_program
from kvsweep.study.shape import json_schema

SCHEMA_FILE = Path(__file__).parents[1] / "schemas" / "config.schema.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schema", type=Path, default=SCHEMA_FILE, help="file to write")
    arguments = parser.parse_args()
    write_text(arguments.schema, json.dumps(json_schema(), indent=2) + "\n")


if __name__ == "__main__":
    run_program(main)
