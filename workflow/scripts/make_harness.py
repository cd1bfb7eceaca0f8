#!/usr/bin/env python
"""Makes the harness of a task ready: a sandbox that works here, the packages, the scripts and the exercises at their
commits. Then it tries each exercise's own solution in that sandbox: where that does not pass, no model's would."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.files import make_directory, read_manifest, sha256, write_json
from kvsweep.inputs import harness as inputs
from kvsweep.measure.tasks import sandbox
from kvsweep.measure.tasks.polyglot import Harness
from kvsweep.program import add_base, run_program, say
from kvsweep.study.polyglot import AIDER_COMMIT, EXERCISES_COMMIT
from kvsweep.units import plural

_MOST_NAMED = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the task")
    parser.add_argument("--definition", type=json.loads, required=True, help="what is asked of it, as JSON")
    add_base(parser)
    parser.add_argument("--harness-json", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    asked, where = arguments.definition, f"tasks.{arguments.name}"
    directory = arguments.harness_json.parent
    make_directory(directory)
    # First of all: without one, nothing of this is of any use.
    found = sandbox.find(asked["sandbox"], asked["image"], where)
    image = f", image {found.image}" if found.image else ""
    say(f"{where}: what a model writes will run in {found.kind}{image}")
    python = None
    if found.kind == "bubblewrap":
        python = inputs.packages(directory, arguments.base, lambda line: say(f"{where}: {line}"))

    def tree(name: str, commit: str, place: str, only: str | None = None) -> str:
        there = directory / "trees" / place
        return str(inputs.tree(asked[name], commit, there, f"{where}.{name}", arguments.base, only))

    manifest: dict[str, Any] = {
        "task": arguments.name,
        "definition": asked,
        "sandbox": found._asdict(),
        "aider": tree("aider", AIDER_COMMIT, "aider", "benchmark"),
        "exercises": tree("polyglot", EXERCISES_COMMIT, "exercises"),
        "python": None if python is None else str(python),
        "base": None if python is None else sys.base_prefix,
        "identity": {
            "sandbox": found.kind,
            "image": found.image,
            "packages_sha256": None if python is None else sha256(inputs.REQUIREMENTS),
        },
    }
    if found.image is not None:  # the same name may be another image tomorrow
        manifest["identity"]["image_id"] = sandbox.image_id(found)
    try_examples(manifest, directory / "passing.json", where)
    write_json(arguments.harness_json, manifest)


def try_examples(manifest: dict[str, Any], memory: Path, where: str) -> None:
    """Raise KvsweepError where an exercise's own solution does not pass. What has passed is not tried again."""
    harness = Harness.of(manifest)
    exercises = manifest["definition"]["exercises"]
    same = {**manifest["identity"], "commit": EXERCISES_COMMIT}
    known = read_manifest(memory) or {}
    passed = set(known["passed"]) if known.get("of") == same else set()
    failed = {}
    left = [name for name in exercises if name not in passed]
    if left:
        say(f"{where}: trying the own solutions of {plural(len(left), 'exercise')}")
    for number, name in enumerate(left, start=1):
        if (problem := harness.example_passes(name)) is None:
            passed.add(name)
            write_json(memory, {"of": same, "passed": sorted(passed)})
        else:
            failed[name] = problem
        if number % 25 == 0:
            say(f"{where}: {number} of {len(left)} tried, {len(failed)} failed")
    if failed:
        named = "; ".join(f"{name}: {problem[:120]}" for name, problem in list(failed.items())[:_MOST_NAMED])
        more = "; ..." if len(failed) > _MOST_NAMED else ""
        raise KvsweepError(
            f"{where}: of {plural(len(exercises), 'exercise')} {len(failed)} did not pass here with their own "
            f"solution, so that nothing can be said of a model's ({named}{more}); give the sandbox what their tests "
            f"need, or leave them out with {where}.languages or .exercises (docs/polyglot.md)."
        )


if __name__ == "__main__":
    run_program(main)
