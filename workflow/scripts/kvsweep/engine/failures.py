"""What the engine says of failures, found by the table of ``wordings``."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvsweep.engine.messages import messages, plain
from kvsweep.engine.wordings import ABORT, COMPUTATION, HARMLESS, MALLOC, MEMORY, STATUS_5, WORDINGS


class Failure(NamedTuple):
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


# Every wording has one of these in its fixed part, in lower case: only such lines are looked at.
STEMS = (
    *("rror", "ail", "emory", "alloc", "_out_of_", "nsupport", "ot support", "ot found in", "ot match kv"),
    *("lost", "fault on", "missing ", "that cannot run", "does not divide", "nable to", "nvalid ", "crashed"),
    *("requires", "flash_attn", "quantization not", "caught at", "status: ", "timed out", "too large", "exceeds"),
    *("has no device code", "not implemented", "xception", "dsp-", "aborted"),
    *("fallback", "falling back", "skipping reorder"),
    *(wording.fixed for wording in WORDINGS if wording.meaning == ABORT),
)  # fmt: skip


def failures(text: str) -> tuple[Failure, ...]:
    """All lines of a known wording, in their order, without those that are no failure or that the engine got over.

    A line can have two meanings: memory that a computation lacked is both.
    """
    text = plain(text)
    found: dict[tuple[int, str], str] = {}
    another_cause = len(text)
    for start, line in _candidates(text):
        meanings, by_another_cause = _meanings(text, start, line)
        found |= dict.fromkeys(((start, meaning) for meaning in meanings), line.strip())
        if by_another_cause:
            another_cause = min(another_cause, start)
    computations = {start for start, meaning in found if meaning == COMPUTATION}

    def beside_computation(start: int) -> bool:
        line_before = text.rfind("\n", 0, max(start - 1, 0)) + 1
        return not computations.isdisjoint((start, line_before))

    went_on = max((match.start() for match in _GOES_ON.finditer(text)), default=0) if found else 0
    went_on = text.rfind("\n", 0, went_on) + 1
    return tuple(
        Failure(meaning, line, start)
        for (start, meaning), line in sorted(found.items())
        if meaning != MEMORY or (start < another_cause and (start >= went_on or beside_computation(start)))
    )


def _meanings(text: str, start: int, line: str) -> tuple[set[str], bool]:
    """Of a message that begins at ``start``, and whether it names another cause than memory for a failed allocation."""
    lower = line.lower()
    said = [wording for wording in WORDINGS if wording.fixed in lower and wording.pattern.search(line)]
    if any(wording.meaning == HARMLESS for wording in said) or _METADATA.search(line):
        return set(), False
    meanings = {
        wording.meaning
        for wording in said
        if wording.form != MALLOC and not (wording.form == STATUS_5 and _CAUSE_FOLLOWS.match(text, start))
    }
    by_another_cause = MEMORY not in meanings and any(wording.form == MALLOC for wording in said)
    return meanings | ({COMPUTATION} if by_another_cause else set()), by_another_cause


def first_line(text: str, *meanings: str) -> str | None:
    """The first line with one of these meanings, None if there is none."""
    return next((failure.line for failure in failures(text) if failure.meaning in meanings), None)


def _candidates(text: str) -> list[tuple[int, str]]:
    """Beginning and text of each message that may have a known wording."""
    lower = text.lower()
    if len(lower) != len(text):  # positions would differ
        lower = text
    found: dict[int, str] = {}
    for stem in STEMS:
        position = lower.find(stem)
        while position >= 0:
            start = text.rfind("\n", 0, position) + 1
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            found[start] = text[start:end]
            position = lower.find(stem, end)
    return [message for start, line in sorted(found.items()) for message in messages(start, line)]
