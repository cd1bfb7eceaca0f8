"""What other programs and files say of this machine. A probe that fails is None or empty, never a stop."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_SECONDS = 10


def output(*command: str) -> str | None:
    """What a command prints; None if there is no such command, it fails or takes too long."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=True,
            # Numbers with a point, words in English.
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def content(path: str) -> str:
    """A small file of the system; empty if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
