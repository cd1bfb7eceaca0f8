"""How far a run has come, for a person at another terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kvsweep.engine.bench_output import results as bench_results
from kvsweep.engine.perplexity_output import parse_kl
from kvsweep.errors import KvsweepError
from kvsweep.measure.outcome import quality_in_words, speed_in_words
from kvsweep.measure.record import Recorded
from kvsweep.measure.tasks.item import read_items
from kvsweep.plan.as_data import by_kind
from kvsweep.plan.plan import Plan
from kvsweep.study.cells import BaselineRun, Cell, TaskCell, ThroughputCell
from kvsweep.tables.scored import columns_of
from kvsweep.tables.status import MEASURED
from kvsweep.units import format_duration, plural

# A runner leaves a sign of life every 15 seconds.
_SILENT_SECONDS = 120
_MOST_FAILURES = 8


@dataclass(frozen=True)
class Running:
    """A cell whose engine was running at the last sign of life, ``silent_seconds`` ago."""

    cell: Cell | BaselineRun
    host: str | None
    since: datetime
    said: str | None
    silent_seconds: float


@dataclass(frozen=True)
class Finished:
    """A cell that has a record: when it was started, how long it took, what came out."""

    cell: Cell
    started_at: datetime
    wall_seconds: float
    result: str


def result_of(cell: Cell, recorded: Recorded) -> str:
    """What a cell measured, in a few words; ``no result`` where nothing can be read."""
    try:
        if isinstance(cell, ThroughputCell):
            tests = bench_results(recorded.stdout, recorded.stderr)
            return ", ".join(map(speed_in_words, tests))
        if isinstance(cell, TaskCell):
            return f"{len(read_items(recorded.stdout))} of {plural(recorded.run['items_asked'], 'item')} answered"
        if cell.method == "scorer":
            scored = columns_of(recorded)
            return quality_in_words(scored["kld_mean"], scored["ppl"])
        found = parse_kl(recorded.stdout, recorded.stderr)
        return quality_in_words(found.kld_mean, found.ppl)
    except KvsweepError:
        return "no result"


def as_text(plan: Plan, running: Iterable[Running], last: Sequence[Finished], now: datetime) -> str:
    """Done and to do, what runs, what came out last, what failed, and how long the rest will take."""
    lines = []
    for kind, items in by_kind(plan).items():
        if items:
            ended = Counter(item.status for item in items if item.done)
            how = ", ".join(f"{n} {status}" for status, n in sorted(ended.items(), key=lambda pair: -pair[1]))
            lines.append(
                f"{kind + ':':12} {sum(ended.values())} of {len(items)} done" + (f" ({how})" if how else "")
            )
    lines += [_running(one, now) for one in running] or ["now:         nothing is being measured"]
    lines += [
        f"{'last:' if index == 0 else '':12} {one.started_at.astimezone():%H:%M} {one.cell}: {one.result}, "
        f"{format_duration(one.wall_seconds)}"
        for index, one in enumerate(last)
    ]
    lines += _failed(plan)
    lines += _left(plan)
    return "\n".join(lines) + "\n"


def _running(one: Running, now: datetime) -> str:
    where = f" on {one.host}" if one.host else ""
    line = f"{'now:':12} {one.cell}{where}, for {format_duration((now - one.since).total_seconds())}"
    if one.said:
        line += f": {one.said}"
    if one.silent_seconds > _SILENT_SECONDS:
        silent = format_duration(one.silent_seconds)
        line += f"; no sign of life for {silent}: the machine sleeps, or the run was killed"
    return line


def _failed(plan: Plan) -> list[str]:
    failed = [item for item in plan.cells if item.done and item.status != MEASURED.status]
    lines = []
    for index, item in enumerate(failed[:_MOST_FAILURES]):
        raw = plan.known.cells.get(str(item.run.directory))
        reason = f" ({raw.reason})" if raw is not None and raw.reason else ""
        lines.append(f"{'failed:' if index == 0 else '':12} {item.status}: {item.run}{reason}")
    if len(failed) > _MOST_FAILURES:
        lines.append(f"{'':12} and {len(failed) - _MOST_FAILURES} more")
    return lines


def _left(plan: Plan) -> list[str]:
    todo, unknown = len(plan.to_do), len(plan.without_estimate)
    if not todo:
        return ["left:        nothing"]
    cells = sum(not item.done for item in plan.cells)
    left = [plural(cells, "cell")] if cells else []
    left += [plural(todo - cells, "baseline")] if todo > cells else []
    line = f"{'left:':12} {' and '.join(left)}"
    if unknown < todo:
        line += f", about {format_duration(plan.estimated_seconds)} for {todo - unknown} of them"
    if unknown:
        line += f"; {unknown} cannot be estimated yet"
    return [line]
