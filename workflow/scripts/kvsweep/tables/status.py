"""How a cell ended, decided from evidence; never from an exit status alone.

The table, in the order in which it is asked:

| evidence | status |
|---|---|
| the engine was not started, because the cell was predicted to take too long | skipped |
| the engine printed a result that is complete and agrees with itself, and nothing that it computed failed | measured |
| the runner ended the engine at its time limit, or because the cluster was about to end its job | timeout |
| the log shows an allocation that failed, or the system killed the engine for want of memory | oom |
| the log shows that the engine refuses the cache types or the model | unsupported |
| anything else: a signal, an exit status, an output without result or one that contradicts itself | crashed |

What neither the engine nor its memory is to blame for (a binary or model that is gone, a full disk, an incomplete
baseline, a kill from outside) is no status: the runner stops there and writes no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvsweep.engine.failures import first_line
from kvsweep.engine.wordings import ABORT, COMPUTATION, MEMORY, MODEL, REFUSAL
from kvsweep.measure.record import JOB_TIME_LIMIT, TIME_LIMIT, how_it_ended
from kvsweep.program import last_line
from kvsweep.units import format_duration

STATUSES = ("measured", "oom", "unsupported", "timeout", "crashed", "skipped")


@dataclass(frozen=True)
class Verdict:
    """``reason`` is for a person, ``log_line`` is what it rests on; both None for a measured cell."""

    status: str
    reason: str | None = None
    log_line: str | None = None


MEASURED = Verdict("measured")


def without_result(run: Mapping[str, Any], text: str, problem: str) -> Verdict:
    """The verdict on a cell, or a phase of one, that has no result.

    ``run`` is run.json, ``text`` all that the engine printed, ``problem`` what is wrong with its output.
    """
    if run.get("skipped"):
        return Verdict("skipped", run["skipped"])
    last = last_line(text)
    if run["ended_by"] == JOB_TIME_LIMIT:
        took = format_duration(run["wall_seconds"])
        return Verdict("timeout", f"not finished after {took}, all that the cluster gave its job", last)
    if run["ended_by"] == TIME_LIMIT:
        limit = format_duration(run["time_limit_seconds"])
        return Verdict("timeout", f"not finished after the limit of {limit}", last)
    line = first_line(text, MEMORY)
    if line is not None:
        return Verdict("oom", "the engine could not allocate memory", line)
    if run["killed_for_memory"]:
        return Verdict("oom", "the system killed the engine because memory ran out", last)
    line = first_line(text, REFUSAL)
    if line is not None:
        return Verdict("unsupported", "the engine refuses these cache types", line)
    line = first_line(text, MODEL)
    if line is not None:
        return Verdict("unsupported", "the engine cannot load the model", line)
    return Verdict(
        "crashed", f"{problem} ({how_it_ended(run)})", first_line(text, COMPUTATION, ABORT) or last
    )
