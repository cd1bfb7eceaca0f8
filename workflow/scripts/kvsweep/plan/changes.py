"""Whether a finished cell is still what the configuration asks for, and if not, what has changed.

A cell's own record is compared with the configuration and the files as they are now. Snakemake runs the cells for which
this finds a reason, and the plan shows the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kvsweep.plan.current import Current, EngineNow, InputNow
from kvsweep.study.arguments import Arguments
from kvsweep.study.cells import BaselineRun, Cell, QualityCell, TaskCell, ThroughputCell, limit_hours
from kvsweep.study.config import Study
from kvsweep.study.shape import Limits
from kvsweep.units import format_count, format_duration

Record = Mapping[str, Any]


class Change(NamedTuple):
    """Why a finished cell has to be measured again.

    Not ``certain`` is what only the job can tell that makes the model or the corpus: whether it comes out the same.
    """

    reason: str
    certain: bool = True


def change(run: Cell | BaselineRun, record: Record, study: Study, now: Current) -> Change | None:
    """Why a finished cell or baseline has to be measured again, None if it has not.

    ``record`` is its run.json. What a record does not say, because an older kvsweep wrote it, counts as unchanged.
    """
    inputs = {"model": now.models.get(run.model)}
    corpus = corpus_of(run, study)
    if corpus is not None:
        inputs["corpus"] = now.corpora.get(corpus)
    reason = (
        _engine_change(record, now.engines.get(run.engine))
        or _reference_change(run, record, now)
        or next(filter(None, (_input_change(what, record, one) for what, one in inputs.items())), None)
        or _request_change(run, record, study)
        or (
            None
            if isinstance(run, BaselineRun)
            else limit_change(record, study.limits, limit_hours(study, run), _answer_seconds(run, study))
        )
    )
    if reason is not None:
        return Change(reason)
    for what, one in inputs.items():
        if one is not None and one.source is not None:
            return Change(f"{what} from elsewhere: {one.source}", certain=False)
    return None


def _answer_seconds(run: Cell | BaselineRun, study: Study) -> float | None:
    return study.tasks[run.task].answer_minutes * 60 if isinstance(run, TaskCell) else None


def corpus_of(run: Cell | BaselineRun, study: Study) -> str | None:
    """The text that a run is of; None where it is of none."""
    match run:
        case ThroughputCell():
            return None
        case TaskCell():
            return study.tasks[run.task].corpus if run.task in study.tasks else None
    return run.corpus


def limit_change(
    record: Record, limits: Limits, hours: float | None, answer_seconds: float | None
) -> str | None:
    """Why a cell that a limit stopped or skipped would get further under the limits as they are now.

    ``hours`` is the limit of its engine process, where that is not the one of ``limits``.
    """
    seconds = (limits.cell_hours if hours is None else hours) * 3600
    if record.get("skipped"):
        predicted = record.get("predicted_seconds")
        if not limits.skip:
            return "cells are no longer skipped"
        if predicted is not None and predicted <= seconds:
            return f"predicted to take {format_duration(predicted)}, within the limit of {format_duration(seconds)}"
        return None
    was = record.get("answer_seconds_limit")
    if answer_seconds and was and record.get("answer_took_too_long") and was < answer_seconds:
        return f"time limit of an answer {format_duration(was)} -> {format_duration(answer_seconds)}"
    old = record.get("time_limit_seconds")
    if record.get("ended_by") == "time limit" and old is not None and old < seconds:
        return f"time limit {format_duration(old)} -> {format_duration(seconds)}"
    return None


def _engine_change(record: Record, now: EngineNow | None) -> str | None:
    was = record.get("engine_definition")
    if now is None or was is None:
        return None
    changes = [
        *_source_changes(was["source"], now.definition["source"]),
        *_differences("", {"back end": was["backend"]}, {"back end": now.definition["backend"]}),
        *_differences("CMake option ", was["cmake"], now.definition["cmake"]),
        *_differences("knob ", was["env"], now.definition["env"]),
        *_differences("arguments of ", was.get("arguments", {}), now.definition.get("arguments", {})),
    ]
    files = record.get("engine_files")
    if not changes and files is not None and now.files is not None and dict(files) != dict(now.files):
        other = sorted(name for name in {*files, *now.files} if files.get(name) != now.files.get(name))
        changes.append(f"other contents of {', '.join(other[:3])}{', ...' if len(other) > 3 else ''}")
    return f"engine changed: {'; '.join(changes)}" if changes else None


def _reference_change(run: Cell | BaselineRun, record: Record, now: Current) -> str | None:
    """What changed of the engine whose f16 the cell was compared with, where that is not its own."""
    if not isinstance(run, QualityCell) or run.reference is None:
        return None
    found = _engine_change(record["reference"], now.engines.get(run.reference))
    return None if found is None else f"reference {run.reference}: {found}"


def _source_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    (kind,), (kind_now,) = was, now
    if kind != kind_now:
        return [f"source {kind} -> {kind_now}"]
    return _differences("", was[kind], now[kind])


def _differences(what: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{what}{name} {_short(was.get(name))} -> {_short(now.get(name))}"
        for name in dict.fromkeys((*was, *now))
        if was.get(name) != now.get(name)
    ]


def _short(value: object) -> str:
    """A commit or a checksum by its first digits."""
    text = "none" if value is None else str(value)
    return text[:9] if len(text) in (40, 64) and set(text) <= set("0123456789abcdef") else text


def _input_change(what: str, record: Record, now: InputNow | None) -> str | None:
    was = record.get(f"{what}_sha256")
    if now is None or was is None:
        return None
    if now.sha256 is not None and now.sha256 != was:
        return f"{what} changed: sha256 {_short(was)} -> {_short(now.sha256)}"
    return None


def _request_change(run: Cell | BaselineRun, record: Record, study: Study) -> str | None:
    asked: dict[str, Any] = {}
    if isinstance(run, ThroughputCell):
        if study.throughput is not None:
            names = ("prompt", "generate", "repetitions")
            asked = {name: getattr(study.throughput, name) for name in names}
    elif isinstance(run, TaskCell):
        asked = study.tasks[run.task].definition
        record = {**record, **record["definition"]}
    elif study.quality is not None:
        asked = {"chunks": study.quality.chunks[run.n_ctx]}
        if isinstance(run, QualityCell) and run.method == "scorer":
            asked["positions"] = str(study.quality.positions[run.n_ctx])
    known = {name: record[name] for name in asked if name in record}
    changes = _differences("", known, {name: asked[name] for name in known})
    if not isinstance(run, BaselineRun) and run.engine in study.engines:
        given = study.engines[run.engine].pair_arguments.get(run.pair, Arguments()).as_dict()
        changes += _differences("the pair's arguments of ", record.get("arguments", {}), given)
    return "; ".join(changes) or None


class Finished:
    """What the finished cells have in common with one that is not, to say why that one is new."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._seen: set[tuple[object, ...]] = set()
        for cell in cells:
            self._seen.update(key for key, _ in _aspects(cell))

    def why_new(self, run: Cell | BaselineRun) -> str:
        """``new pair``, ``new depth 8K``, ...; where nothing of it is new, ``not measured yet``."""
        if isinstance(run, BaselineRun):
            return "not written yet"
        if self._seen:
            for key, what in _aspects(run):
                if key not in self._seen:
                    return what
        return "not measured yet"


def _aspects(cell: Cell) -> Iterator[tuple[tuple[object, ...], str]]:
    """From what most cells share to what few do, each with what it means that no finished cell has it."""
    yield ("engine", cell.engine), "new engine"
    yield ("model", cell.model), "new model"
    kind: tuple[object, ...] = (type(cell), cell.engine, cell.model)
    yield kind, "not measured yet"
    if isinstance(cell, QualityCell):
        kind = (*kind, cell.corpus)
        yield kind, "new corpus"
        yield (*kind, "reference", cell.reference), f"not yet against {cell.reference or 'its own'}'s f16"
        yield (*kind, "context", cell.n_ctx), f"new context {format_count(cell.n_ctx)}"
    elif isinstance(cell, TaskCell):
        yield (*kind, "task", cell.task), f"new task {cell.task}"
    else:
        yield (*kind, "depth", cell.depth), f"new depth {format_count(cell.depth)}"
        yield (*kind, "round", cell.round), f"new round {cell.round}"
    yield (*kind, "pair", cell.pair), "new pair"
