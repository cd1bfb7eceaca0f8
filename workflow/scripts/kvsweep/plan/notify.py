"""Tells a person that a run has ended, by a command of theirs. A notification that fails is no reason to fail a run."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from kvsweep.program import last_line

# In the environment and not in the configuration: it is somebody's own, and may hold a secret.
COMMAND = "KVSWEEP_NOTIFY"
MESSAGE = "KVSWEEP_MESSAGE"
_SECONDS = 60


def notify(message: str, environment: Mapping[str, str]) -> str | None:
    """Run the user's command with the message in its environment; what went wrong in one sentence, or None."""
    command = environment.get(COMMAND, "").strip()
    if not command:
        return None
    try:
        done = subprocess.run(
            command,
            shell=True,
            env={**environment, MESSAGE: message},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = f"took longer than {_SECONDS} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        return f"the notification was not sent: the command in {COMMAND} {why}"
    if done.returncode == 0:
        return None
    said = last_line(done.stderr) or last_line(done.stdout) or "nothing"
    return f"the notification was not sent: the command in {COMMAND} ended with {done.returncode} and said: {said}"
