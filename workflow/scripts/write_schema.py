#!/usr/bin/env python
"""Writes the configuration's JSON schema, for editors, from its classes in kvsweep/study/shape.py."""

from __future__ import annotations

import json
from pathlib import Path

from kvsweep.files import write_text
from kvsweep.program import run_program
from kvsweep.study.shape import json_schema

SCHEMA_FILE = Path(__file__).parents[1] / "schemas" / "config.schema.json"


def main() -> None:
    write_text(SCHEMA_FILE, json.dumps(json_schema(), indent=2) + "\n")


if __name__ == "__main__":
    run_program(main)
