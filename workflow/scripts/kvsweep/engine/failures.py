"""What the engine says of failures, found by the table of ``wordings``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kvsweep.engine.wordings import ABORT, COMPUTATION, HARMLESS, MEMORY, STATUS_5, WORDINGS


@dataclass(frozen=True)
class Failure:
    """A line of the engine's output, and where it begins in it."""

    meaning: str
    line: str
    position: int


# Lines that an engine prints only when it goes on: whatever it could not allocate before, it got over.
_GOES_ON = re.compile(
    r"compute buffer size +="
    r"|graph splits +="
    r"|graph(?: \(.*\))?: nodes = "
    r"|llama-bench: benchmark \d+/\d+: (?:warmup|depth|prompt|generation) .*run"
    r"|seconds per pass - ETA"
    r"|retrying without pipeline parallelism"
)
# What a model's file says of itself is no message of the engine.
_METADATA = re.compile(r"\bllama_model_loader: - |\bprint_info: ")
# The line after it names the cause, if the back end knows it.
_CAUSE_FOLLOWS = re.compile(r"[^\n]*\n(?:[\d.]+ [A-Z] )?error: ")


# Every wording has one of these in its fixed part: only such lines are looked at.
STEMS = (
    *("rror", "ail", "emory", "alloc", "ALLOC", "_OUT_OF_", "nsupport", "ot support", "ot found in", "ot match KV"),
    *("lost", "Lost", "fault on", "Missing ", "that cannot run", "does not divide", "nable to", "nvalid ", "crashed"),
    *("requires", "flash_attn", "quantization not", "caught at", "status: "),
    *("fallback", "falling back", "skipping reorder"),
    *(wording.fixed for wording in WORDINGS if wording.meaning == ABORT),
)  # fmt: skip


def failures(text: str) -> tuple[Failure, ...]:
    """All lines of a known wording, in their order, without those that are no failure or that the engine got over.

    A line can have two meanings: memory that a computation lacked is both.
    """
    found: dict[tuple[int, str], str] = {}
    for start, line in _candidates(text):
        meanings = {
            wording.meaning
            for wording in WORDINGS
            if wording.fixed in line
            and wording.pattern.search(line)
            and not (wording.form == STATUS_5 and _CAUSE_FOLLOWS.match(text, start))
        }
        if HARMLESS not in meanings and not _METADATA.search(line):
            found |= dict.fromkeys(((start, meaning) for meaning in meanings), line.strip())
    computations = {start for start, meaning in found if meaning == COMPUTATION}
    went_on = max((match.start() for match in _GOES_ON.finditer(text)), default=0) if found else 0
    went_on = text.rfind("\n", 0, went_on) + 1
    return tuple(
        Failure(meaning, line, start)
        for (start, meaning), line in sorted(found.items())
        if meaning != MEMORY
        or start >= went_on
        or not computations.isdisjoint((start, _line_before(text, start)))
    )


def first_line(text: str, *meanings: str) -> str | None:
    """The first line with one of these meanings, None if there is none."""
    return next((failure.line for failure in failures(text) if failure.meaning in meanings), None)


def _candidates(text: str) -> list[tuple[int, str]]:
    """Beginning and text of each line that may have a known wording."""
    found: dict[int, str] = {}
    for stem in STEMS:
        position = text.find(stem)
        while position >= 0:
            start = text.rfind("\n", 0, position) + 1
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            found[start] = text[start:end]
            position = text.find(stem, end)
    return sorted(found.items())


def _line_before(text: str, start: int) -> int:
    return text.rfind("\n", 0, max(start - 1, 0)) + 1
