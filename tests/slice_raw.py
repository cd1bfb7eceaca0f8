"""The raw files in a shipped slice, read with zipfile and tarfile alone."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from support import ROOT

SLICES = ROOT / "examples" / "slices"


def raw_files(slice_name: str) -> dict[str, str]:
    """The text of each raw file by its path in the results."""
    found: dict[str, str] = {}
    with zipfile.ZipFile(SLICES / f"{slice_name}.zip") as members:
        for name in members.namelist():
            if name.startswith("records/"):
                with tarfile.open(fileobj=io.BytesIO(members.read(name))) as records:
                    for file in records:
                        content = records.extractfile(file)
                        assert content
                        found[file.name] = content.read().decode()
    return found


def pair_at(path: str) -> tuple[str, str]:
    """K's and V's type of the cell that a file is of."""
    k, v = Path(path).parts[-3:-1]
    return k.removeprefix("k-"), v.removeprefix("v-")


def timed_in(bench: str) -> list[dict[str, Any]]:
    """The timed tests that llama-bench printed."""
    return [json.loads(line) for line in bench.splitlines()]
