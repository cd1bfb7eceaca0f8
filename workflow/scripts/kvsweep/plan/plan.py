"""What a run of the configuration still has to do, and what it will need: cell by cell, without running an engine.

Sizes come from ``sizes``; times only from cells that have been measured with the same engine and model. What is not
known is None, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from kvsweep.measure.prediction import Curve, predicted_seconds
from kvsweep.plan import changes, counts
from kvsweep.plan.current import Current
from kvsweep.plan.needs import (
    Estimate,
    Finished,
    ModelFile,
    Needs,
    finished_perplexity,
    needs_of,
    perplexity_estimate,
    request_of,
)
from kvsweep.study.cells import (
    BaselineRun,
    Cell,
    QualityCell,
    TaskCell,
    ThroughputCell,
    baseline_runs,
    limit_hours,
    quality_cells,
    task_cells,
    throughput_cells,
)
from kvsweep.study.config import Study
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.tables.raw_cells import RawCell
from kvsweep.units import format_count


@dataclass(frozen=True)
class Resources:
    """What this machine has, in bytes; None where it does not say.

    ``gpu_limit_bytes`` is what a Mac was told to let its GPU hold, None where macOS decides.
    """

    memory_bytes: int | None
    available_memory_bytes: int | None
    free_disk_bytes: int
    gpu_limit_bytes: int | None = None


@dataclass(frozen=True)
class Known:
    """Everything outside the configuration that a plan rests on.

    ``backends`` by engine; ``models`` by name (those whose file is there); ``cells`` and ``baselines`` by directory:
    raw cells, and run.json of baselines; ``without_logits``: baselines whose log-probabilities are gone; ``curves`` by
    engine, model and pair; ``now``: what they would be run with; ``missing``: what they need and is not there.
    """

    resources: Resources
    backends: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, ModelFile] = field(default_factory=dict)
    cells: Mapping[str, RawCell] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    without_logits: frozenset[str] = frozenset()
    curves: Mapping[tuple[str, str, Pair], Curve] = field(default_factory=dict)
    now: Current = field(default_factory=Current)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """A cell or a baseline. ``status`` is None without a record; ``reason`` says why it is to do, None if it is not."""

    run: Cell | BaselineRun
    status: str | None
    reason: str | None
    needs: Needs | None
    estimate: Estimate | None

    @property
    def done(self) -> bool:
        return self.reason is None

    @property
    def outdated(self) -> bool:
        """Whether the record is of something else than what is asked for now."""
        return self.status is not None and not self.done


@dataclass(frozen=True)
class Plan:
    study: Study
    known: Known
    cells: tuple[Item, ...]
    baselines: tuple[Item, ...]

    @property
    def to_do(self) -> list[Item]:
        return [item for item in (*self.baselines, *self.cells) if not item.done]

    @property
    def skipped(self) -> list[Item]:
        """The throughput cells that will not be started, as far as can be told now."""
        limit = self.study.limits
        return [
            item
            for item in self.to_do
            if limit.skip
            and isinstance(item.run, ThroughputCell)
            and item.estimate is not None
            and item.estimate.seconds > limit.cell_hours * 3600
        ]

    @property
    def without_estimate(self) -> list[Item]:
        return [item for item in self.to_do if item.estimate is None]

    @property
    def estimated_seconds(self) -> float:
        """The sum of all estimates; no run takes longer than its time limit."""
        left_out = {item.run for item in self.skipped}
        return math.fsum(
            min(item.estimate.seconds, limit_hours(self.study, item.run) * 3600)
            for item in self.to_do
            if item.estimate is not None and item.run not in left_out
        )

    @property
    def longest_seconds(self) -> float:
        """The seconds after which all would have ended at the latest, because every engine process has a time limit."""
        left_out = {item.run for item in self.skipped}
        return math.fsum(
            limit_hours(self.study, item.run) * 3600 for item in self.to_do if item.run not in left_out
        )


def make_plan(study: Study, known: Known) -> Plan:
    """Every cell and baseline of the study with how it stands, what it needs and how long it may take."""
    scored = {name: finished_quality(known.cells.values(), name) for name in ("perplexity", "scorer")}
    written = [finished_perplexity(run) for run in known.baselines.values() if run]
    records = {**{name: raw.run for name, raw in known.cells.items()}, **known.baselines}
    found = counts.standings(study, records, set(known.baselines) - known.without_logits, known.now)
    finished = changes.Finished(raw.cell for raw in known.cells.values())

    def item(run: counts.Run, estimate: Estimate | None) -> Item:
        place, one, model = str(run.directory), found[run], known.models.get(run.model)
        status = "measured" if place in known.baselines else None
        if (raw := known.cells.get(place)) is not None:
            status = raw.status
        reason = finished.why_new(run) if not one.recorded else one.change and one.change.reason
        return Item(run, status, reason, None if model is None else needs_of(study, run, model), estimate)

    def windows(run: QualityCell | BaselineRun, alike: Sequence[Finished]) -> Estimate | None:
        assert study.quality is not None
        n_tokens = study.quality.chunks[run.n_ctx] * run.n_ctx
        return perplexity_estimate(run.engine, run.model, run.n_ctx, n_tokens, alike)

    return Plan(
        study,
        known,
        (
            *(item(cell, _throughput_estimate(cell, study, known)) for cell in throughput_cells(study)),
            *(item(cell, windows(cell, scored[cell.method])) for cell in quality_cells(study)),
            *(item(cell, _task_estimate(cell, study, known)) for cell in task_cells(study)),
        ),
        tuple(item(run, windows(run, written)) for run in baseline_runs(study)),
    )


def finished_quality(cells: Iterable[RawCell], method: str) -> list[Finished]:
    """The measured quality cells of one method. The time of one method says nothing of the other's."""
    return [
        finished_perplexity(raw.run)
        for raw in cells
        if isinstance(raw.cell, QualityCell) and raw.cell.method == method and raw.status == "measured"
    ]


def _throughput_estimate(cell: ThroughputCell, study: Study, known: Known) -> Estimate | None:
    other = _other_round(cell, study, known)
    if other is not None:
        assert isinstance(other.cell, ThroughputCell)
        return Estimate(other.run["wall_seconds"], f"measured in round {other.cell.round}")
    curve, reference = (
        known.curves.get((cell.engine, cell.model, pair), {}) for pair in (cell.pair, BASELINE_PAIR)
    )
    seconds = predicted_seconds(request_of(study, cell), curve, reference)
    depths = ", ".join(format_count(depth) for depth in sorted(curve) if depth < cell.depth)
    return None if seconds is None else Estimate(seconds, f"measured at depth {depths}")


def _other_round(cell: ThroughputCell, study: Study, known: Known) -> RawCell | None:
    """Another round of the same cell that was measured as it would be now: it takes as long."""
    assert study.throughput is not None
    others = (replace(cell, round=one) for one in range(1, study.throughput.rounds + 1) if one != cell.round)
    found = (known.cells.get(str(other.directory)) for other in others)
    return next(
        (
            raw
            for raw in found
            if raw and raw.status == "measured" and not changes.change(raw.cell, raw.run, study, known.now)
        ),
        None,
    )


def _task_estimate(cell: TaskCell, study: Study, known: Known) -> Estimate | None:
    """A task takes as long with another pair, at least where its caches are computed alike."""
    alike = [
        raw.run["items_seconds"]
        for raw in known.cells.values()
        if isinstance(raw.cell, TaskCell) and replace(raw.cell, pair=cell.pair) == cell
        if raw.status == "measured" and not changes.change(raw.cell, raw.run, study, known.now)
    ]
    return Estimate(fmean(alike), f"{len(alike)} measured with other pairs") if alike else None
