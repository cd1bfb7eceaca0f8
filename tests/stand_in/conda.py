"""Stands in for conda as far as Snakemake uses it: an environment is a venv that sees the packages which are installed.

``conda env create`` fails unless those meet what the environment file asks of pip. Each program that the environment's
Python runs adds its name to ``ran`` beside its directory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import yaml
from packaging.requirements import Requirement

SEES = """{packages}
import sys, pathlib; pathlib.Path({ran!r}).open("a").write(" ".join(sys.orig_argv[1:2]) + "\\n")
"""


def main(prefix: Path, words: list[str]) -> None:
    match words:
        case ["--version"]:
            print("conda 24.7.1")
        case ["info", "--json"]:
            print(json.dumps({"conda_prefix": str(prefix), "platform": "linux-64"}))
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["clean", "-y", "--tarballs"]:
            pass
        case ["env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", place]:
            create(Path(file), Path(place))
        case _:
            sys.exit(f"conda: not known here: {words}")


def create(file: Path, place: Path) -> None:
    asked = yaml.safe_load(file.read_text())["dependencies"]
    for line in next(item["pip"] for item in asked if isinstance(item, dict)):
        requirement = Requirement(line)
        found = version(requirement.name)
        assert requirement.specifier.contains(found), f"{line} is asked for, {found} is here"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    own = next(place.glob("lib/python*/site-packages"))
    packages = sysconfig.get_path("purelib")
    (own / "stand-in.pth").write_text(SEES.format(packages=packages, ran=str(place.with_suffix(".ran"))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
