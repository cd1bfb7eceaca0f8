"""Raw records of tasks to table rows: a cell, with the share of its items that are right, and each item."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from kvsweep.errors import UnparsableOutput
from kvsweep.measure.record import Recorded
from kvsweep.measure.tasks.item import read_items
from kvsweep.statistics import wilson
from kvsweep.study.cells import TaskCell
from kvsweep.tables import rows
from kvsweep.tables.rows import Row
from kvsweep.tables.status import MEASURED, Verdict, without_result
from kvsweep.tables.task_scores import passed_at, score
from kvsweep.tables.where_it_ran import where_it_ran
from kvsweep.units import format_duration

RIGHT = 1.0


def task_row(cell: TaskCell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]) -> Row:
    """``measured`` only where every item has an answer."""
    run, kind = recorded.run, recorded.run["definition"]["kind"]
    log, problem = rows.log_of(recorded.stderr)
    contexts = rows.contexts_of(log)
    row = rows.common(cell, recorded, build, model)
    row |= {"task": cell.task, "kind": kind, "n_ctx": max(run["definition"]["contexts"])}
    row |= {"items": run["items_asked"], "seed": run["definition"]["seed"], "chat": run.get("chat")}
    found: list[dict[str, Any]] = []
    try:
        found = read_items(recorded.stdout)
    except UnparsableOutput as error:
        problem = problem or str(error)
    row |= {"answered": len(found), "items_seconds": run.get("items_seconds")}
    verdict = MEASURED
    if problem is not None or (problem := _missing(run, found)) is not None:
        verdict = _without(run, recorded.stderr, problem)
    row |= rows.outcome(verdict)
    if verdict is MEASURED:
        row |= _shares([score(kind, record) for record in found])
        if "harness" in run:
            row["right_at_once"] = sum(passed_at(record) == 1 for record in found)
    if "harness" in run:
        versions = {record["aider_version"] for record in found if record.get("aider_version")}
        row |= {"sandbox": run["harness"]["sandbox"], "harness_version": ", ".join(sorted(versions)) or None}
    if contexts:
        row |= where_it_ran(contexts[-1], log, recorded, build, model)
    return row


def _missing(run: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str | None:
    """Why the answers are not all that were asked for; None where they are."""
    without = [record for record in found if record["answer"] is None]
    if without:
        why = without[0].get("problem", "no reason is known")
        return f"{len(without)} of {len(found)} items have no answer; {without[0]['item']}: {why}"
    if len(found) != run["items_asked"]:
        return f"{len(found)} of {run['items_asked']} items were answered"
    return None


def _without(run: Mapping[str, Any], log: str, problem: str) -> Verdict:
    verdict = without_result(run, log, problem)
    # What the log says is why there was no answer.
    if run.get("answer_took_too_long") and verdict.status == "crashed":
        limit = format_duration(run["answer_seconds_limit"])
        return Verdict("timeout", f"an answer was not there after the limit of {limit}; {problem}")
    return verdict


def _shares(scores: Sequence[float | None]) -> Row:
    known = [one for one in scores if one is not None]
    if not known or len(known) < len(scores):
        return {}
    right = sum(one == RIGHT for one in known)
    share = wilson(right, len(known))
    return {
        "right": right,
        "share": share.value,
        "share_low": share.low,
        "share_high": share.high,
        "mean_score": fmean(known),
    }


def item_rows(
    cell: TaskCell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]
) -> list[Row]:
    """A row for every item that was asked; none if what was recorded cannot be read."""
    run = recorded.run
    kind = run["definition"]["kind"]
    try:
        found = read_items(recorded.stdout)
    except UnparsableOutput:
        return []
    same = ("engine", "engine_commit", "backend", "machine", "model", "model_sha256", "ctk", "ctv", "source")
    common = rows.common(cell, recorded, build, model)
    of_cell = {name: common[name] for name in same} | {"task": cell.task, "kind": kind}
    return [{**of_cell, **_item_row(kind, record)} for record in found]


def _item_row(kind: str, record: Mapping[str, Any]) -> Row:
    found = score(kind, record)
    expected = record["expected"]
    same = (
        *("item", "question", "place", "prompt_sha256", "answer", "tokens", "stopped", "problem"),
        *("n_prompt", "prompt_seconds", "generate_seconds"),
    )
    return {
        **{name: record.get(name) for name in same},
        "context": record["context"],
        "expected": None if expected is None else json.dumps(expected, ensure_ascii=False),
        "score": found,
        "right": None if found is None else found == RIGHT,
        "n_answer": record.get("n_tokens"),
        "seconds": record["seconds"],
        **_of_an_exercise(record),
    }


def _of_an_exercise(record: Mapping[str, Any]) -> Row:
    if "requests" not in record:
        return {}
    kept = record.get("harness", {})
    return {
        "passed_at": passed_at(record),
        "malformed_edits": kept.get("num_malformed_responses"),
        "test_timeouts": kept.get("test_timeouts"),
        **{name: record[name] for name in ("requests", "refused", "cut_off")},
    }
