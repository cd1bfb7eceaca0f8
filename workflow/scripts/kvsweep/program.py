"""What every program of the workflow does around its work: say what happens, end bad input with one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable

from kvsweep.errors import KvsweepError
from kvsweep.process import Interrupted


def say(message: str) -> None:
    """One line for the person at the terminal, and for the rule's log."""
    print(f"kvsweep: {message}", file=sys.stderr, flush=True)


def run_program(main: Callable[[], None]) -> None:
    """Run ``main``: a KvsweepError becomes one sentence and exit status 1; a traceback is left to bugs."""
    try:
        main()
    except KvsweepError as error:
        print(f"kvsweep: error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except Interrupted as interrupted:
        print("kvsweep: interrupted; the engine was ended, nothing of this cell was kept", file=sys.stderr)
        sys.exit(128 + interrupted.signum)
