"""Stands in for conda as far as Snakemake uses it: an environment is a venv that sees the packages which are installed.

It answers as conda 26.7.1 does. ``conda env create`` fails where the environment file names another channel than
conda-forge, ``nodefaults`` included, which conda 26.7 asks for packages; and unless the packages meet what the file
asks of pip. Each program that the environment's Python runs adds its name to ``ran`` beside its directory.
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
            print("conda 26.7.1")
        case ["info", "--json"]:
            print(
                json.dumps({"platform": "linux-64", "root_prefix": str(prefix), "conda_prefix": str(prefix)})
            )
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"success": True, "warnings": [], "get": {"channel_priority": "strict"}}))
        case ["clean", "-y", "--tarballs"]:
            pass
        case ["env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", place]:
            create(Path(file), Path(place))
        case _:
            sys.exit(f"conda: not known here: {words}")


def create(file: Path, place: Path) -> None:
    environment = yaml.safe_load(file.read_text())
    for channel in environment["channels"]:
        if channel != "conda-forge":
            sys.exit(f"UnavailableInvalidChannel: HTTP 404 UNAVAILABLE OR INVALID for channel {channel}")
    asked = environment["dependencies"]
    for line in next(item["pip"] for item in asked if isinstance(item, dict)):
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        found = version(requirement.name)
        assert requirement.specifier.contains(found), f"{line} is asked for, {found} is here"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    own = next(place.glob("lib/python*/site-packages"))
    packages = sysconfig.get_path("purelib")
    (own / "stand-in.pth").write_text(SEES.format(packages=packages, ran=str(place.with_suffix(".ran"))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
