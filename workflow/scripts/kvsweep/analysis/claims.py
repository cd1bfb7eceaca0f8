"""The study's statements (``statements``) with their verdicts on each set-up: the table ``claims``.

A part that fails decides a statement; it holds only if all its parts do. What a part is, and when it holds, says
``claim_parts``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kvsweep.analysis.claim_cells import Cells
from kvsweep.analysis.claim_parts import AGREES, FAILS, HOLDS, NO_DATA, Part, in_unit
from kvsweep.analysis.estimates import ROUNDED
from kvsweep.analysis.set_ups import by_columns, by_name
from kvsweep.analysis.statements import STATEMENTS, Statement
from kvsweep.tables.row import SET_UP, Row

STUDY = "m5max-part2"  # the published source whose statements these are


def is_subject(row: Row) -> bool:
    """Whether the statements are checked on this row: on the study's own numbers, on no other published ones."""
    return row["source"] == f"published:{STUDY}" or not row["source"].startswith("published:")


def evaluate(throughput: Iterable[Row], quality: Iterable[Row]) -> list[dict[str, Any]]:
    """A row of the table `claims` for each set-up in the tables and each statement. Speeds are cells over rounds.

    Statements about quality are evaluated for each corpus. A value that is not known must be None, not NaN:
    Arrow's `to_pylist` makes such rows.
    """
    speeds, scores = by_columns(throughput, SET_UP), by_columns(quality, SET_UP)
    found = []
    for identity in dict.fromkeys([*speeds, *scores]):
        shared = dict(zip(SET_UP, identity, strict=True))
        shared["subject"] = shared.pop("source")
        of_speed = by_name(speeds.get(identity, []))
        by_corpus = by_columns(scores.get(identity, []), ("corpus",)) or {(None,): []}
        of_quality = {corpus: by_name(rows) for (corpus,), rows in by_corpus.items()}
        for known in STATEMENTS.values():
            for corpus, rows in of_quality.items() if known.of_quality else [(None, of_speed)]:
                found.append(_judged(known, Cells(rows)) | shared | {"corpus": corpus})
    return found


def _judged(known: Statement, cells: Cells) -> dict[str, Any]:
    parts = known.parts(cells)
    verdicts = [part.verdict for part in parts]
    verdict = next((v for v in (FAILS, NO_DATA) if v in verdicts), HOLDS)
    deciding = max((part for part in parts if part.verdict == verdict), key=lambda part: part.strain)
    row: dict[str, Any] = {
        "claim": known.number,
        "statement": known.text,
        "verdict": verdict,
        "unit": known.unit,
        "cells": list(cells.used) if any(part.says_something for part in parts) else [],
        "note": _note(known, parts, cells.problems),
        "basis": _basis(known, parts, verdict),
    }
    if known.counted:
        decided = len(verdicts) - verdicts.count(NO_DATA)
        kinds = ", ".join(dict.fromkeys(part.estimate.kind for part in parts if part.estimate is not None))
        row |= {
            "value": None if verdict == NO_DATA else float(verdicts.count(HOLDS)),
            "expected": float(len(parts) if verdict == NO_DATA else decided),
            "tolerance": 0.0,
            "unit": "parts as stated",
            "relation": "about",
            "tolerance_reason": f"each part allows for its own error ({kinds})" if kinds else "yes or no",
        }
    elif deciding.estimate is not None:
        row |= {
            "value": deciding.estimate.value,
            "expected": deciding.expected,
            "tolerance": deciding.tolerance,
            "relation": deciding.relation,
            "tolerance_reason": _tolerance_reason(deciding, known.unit),
        }
    return row


def _tolerance_reason(part: Part, unit: str) -> str:
    assert part.estimate is not None
    if part.estimate.error == math.inf:
        return part.estimate.kind
    error = f"{in_unit(unit, part.estimate.error)} ({part.estimate.kind})"
    return f"{in_unit(unit, part.margin)} ({part.margin_reason}) + {error}" if part.margin else error


def _note(known: Statement, parts: Sequence[Part], problems: Mapping[str, Iterable[str]]) -> str | None:
    said = [part.describe(known.unit) for part in parts if part.says_something]
    missing = [f"{problem}: {', '.join(names)}" for problem, names in problems.items() if names]
    return "; ".join([*said, *missing, *([known.note] if known.note else [])]) or None


def _basis(known: Statement, parts: Sequence[Part], verdict: str) -> str | None:
    """How far the verdict goes: what was checked and what was not. None where nothing was."""
    checked = [part for part in parts if part.says_something]
    if not checked:
        return None
    said = []
    if verdict == NO_DATA:
        agreeing = [part.name for part in checked if part.remark == AGREES]
        said.append("not decided" + (f"; {', '.join(agreeing)} agrees" if agreeing else ""))
    kinds = {part.estimate.kind for part in checked if part.estimate is not None}
    if kinds == {ROUNDED}:
        unknown = "the error from text to text" if known.of_quality else "the error from run to run"
        said.append(f"on the printed digits; {unknown} is not known")
    unchecked = [part.name for part in parts if not part.says_something]
    if unchecked:
        said.append(f"not checked: {', '.join(unchecked)}")
    return "; ".join(said) or None
