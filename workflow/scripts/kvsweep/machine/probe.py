"""What other programs and files say of this machine. A probe that fails is None or empty, never a stop."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Probe = Callable[..., str | None]


def output(*command: str, seconds: float = 10) -> str | None:
    """What a command prints; None if there is no such command, it fails or takes more than so many seconds.

    One that ends with an error after a whole answer in JSON has answered: rocm-smi does where it cannot tell one field.
    """
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            # Numbers with a point, words in English.
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    text = done.stdout.strip()
    if done.returncode and not re.search(r"^[\[{].*[\]}]$", text, re.DOTALL | re.MULTILINE):
        return None
    return text or None


def content(path: str) -> str:
    """A small file of the system; empty if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def first(pattern: str, text: str | None) -> str | None:
    """The group of ``pattern`` where that first stands in ``text``, whose lines begin at ^ and end at $; None where it
    does not stand there."""
    match = re.search(pattern, text or "", re.MULTILINE)
    return match[1] if match else None
