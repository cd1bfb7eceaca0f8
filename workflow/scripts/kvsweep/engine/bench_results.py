"""Which of llama-bench's results count: those in whose test nothing failed, by the log beside them."""

from __future__ import annotations

import itertools
import re

from kvsweep.engine.bench_output import BenchTest, Phase, parse_bench
from kvsweep.engine.failures import first_line
from kvsweep.engine.messages import plain
from kvsweep.engine.wordings import COMPUTATION

PHASES: tuple[Phase, Phase] = ("prefill", "decode")
# Where the second test begins: it is announced, and in logs without progress it makes the second context.
_SECOND_TEST = re.compile(r"^llama-bench: benchmark 2/", re.MULTILINE)
_CONTEXT = re.compile(r"\bllama_context: constructing llama_context$", re.MULTILINE)


def logs_of_phases(stderr: str) -> dict[Phase, str]:
    """The log of a cell's process up to the second test and from there on; all of it where that cannot be told."""
    stderr = plain(stderr)
    second = _SECOND_TEST.search(stderr) or next(itertools.islice(_CONTEXT.finditer(stderr), 1, None), None)
    if second is None:
        return dict.fromkeys(PHASES, stderr)
    return {"prefill": stderr[: second.start()], "decode": stderr[second.start() :]}


def failed_computations(stdout: str, stderr: str) -> dict[Phase, str]:
    """The first line that says that a computation failed, in the log or among the results, by phase.

    What was printed for it is no result: Metal goes on after a failed command buffer, and llama-bench ends with 0.
    """
    said = logs_of_phases(stderr)
    for phase, among_results in zip(PHASES, _between_results(stdout), strict=True):
        said[phase] = f"{said[phase]}\n{among_results}"
    found = {phase: first_line(text, COMPUTATION) for phase, text in said.items()}
    return {phase: line for phase, line in found.items() if line is not None}


def _between_results(stdout: str) -> tuple[str, str]:
    """Foreign lines on stdout up to the first result, and behind it: a result is printed when its test is done."""
    parts: tuple[list[str], list[str]] = ([], [])
    behind = False
    for line in stdout.split("\n"):
        if line.startswith("{"):
            behind = True
        else:
            parts[behind].append(line)
    return "\n".join(parts[0]), "\n".join(parts[1])


def results(stdout: str, stderr: str) -> tuple[BenchTest, ...]:
    """The finished tests of a cell's process in which nothing failed. Raises as ``parse_bench`` does."""
    failed = failed_computations(stdout, stderr)
    return tuple(test for test in parse_bench(stdout) if test.phase not in failed)
