"""The cells of a study, and where each one's files lie under ``results/``. ``kind`` is also the table of its rows.

``place`` is the directory with the wildcards of the rule that measures the cell: the rules, ``directory`` and what
finds cells (tables/raw_cells.py) take it from here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from kvsweep.study.config import Study
from kvsweep.study.engines import quality_pairs, task_pairs
from kvsweep.study.pairs import Pair
from kvsweep.units import format_count


@dataclass(frozen=True)
class ThroughputCell:
    """Prefill and decode speed of one pair at one depth (tokens), in one process: that of one round."""

    kind: ClassVar = "throughput"
    # ``round`` is empty for the first one, whose cells lie where they lay before there were rounds; else "round-2/".
    place: ClassVar = "throughput/{engine}/{model}/{round}d{depth}/k-{ctk}/v-{ctv}"
    engine: str
    model: str
    depth: int
    pair: Pair
    round: int = 1

    @property
    def directory(self) -> PurePosixPath:
        return _filled(self, round=f"round-{self.round}/" if self.round > 1 else "")

    def __str__(self) -> str:
        where = f"depth {format_count(self.depth)}" + (f", round {self.round}" if self.round > 1 else "")
        return f"throughput {self.pair} at {where} ({self.engine}, {self.model})"


@dataclass(frozen=True)
class QualityCell:
    """Perplexity and KL divergence of one pair at one context (tokens), by llama-perplexity or by the scorer.

    ``reference`` is the engine whose f16 the cell is compared with; None stands for its own engine.
    """

    kind: ClassVar = "quality"
    # ``against`` is empty for a cell that is compared with its own engine's f16; else "against-ENGINE/".
    place: ClassVar = "quality/{engine}/{model}/{corpus}/c{n_ctx}/{against}k-{ctk}/v-{ctv}"
    place_of_scorer: ClassVar = place.replace("quality/", "scorer/")
    engine: str
    model: str
    corpus: str
    n_ctx: int
    pair: Pair
    method: str = "perplexity"
    reference: str | None = None

    @property
    def directory(self) -> PurePosixPath:
        place = self.place_of_scorer if self.method == "scorer" else self.place
        return _filled(self, place, against=f"against-{self.reference}/" if self.reference else "")

    @property
    def baseline(self) -> BaselineRun:
        return BaselineRun(self.reference or self.engine, self.model, self.corpus, self.n_ctx)

    def __str__(self) -> str:
        by = " by the scorer" if self.method == "scorer" else ""
        by += f" against {self.reference}'s f16" if self.reference else ""
        return (
            f"quality {self.pair} at context {format_count(self.n_ctx)}{by} "
            f"({self.engine}, {self.model}, {self.corpus})"
        )


@dataclass(frozen=True)
class BaselineRun:
    """The f16/f16 log-probabilities that the quality cells of one context are compared with."""

    kind: ClassVar = "baseline"
    place: ClassVar = "baseline/{engine}/{model}/{corpus}/c{n_ctx}"
    engine: str
    model: str
    corpus: str
    n_ctx: int

    @property
    def directory(self) -> PurePosixPath:
        return PurePosixPath(self.place.format(**vars(self)))

    def __str__(self) -> str:
        return f"baseline at context {format_count(self.n_ctx)} ({self.engine}, {self.model}, {self.corpus})"


@dataclass(frozen=True)
class TaskCell:
    """The answers of one pair to all items of a task, by one server."""

    kind: ClassVar = "tasks"
    place: ClassVar = "tasks/{engine}/{model}/{task}/k-{ctk}/v-{ctv}"
    engine: str
    model: str
    task: str
    pair: Pair

    @property
    def directory(self) -> PurePosixPath:
        return _filled(self)

    def __str__(self) -> str:
        return f"task {self.task} with {self.pair} ({self.engine}, {self.model})"


Cell = ThroughputCell | QualityCell | TaskCell


def _filled(cell: Cell, place: str | None = None, **more: str) -> PurePosixPath:
    names = {**vars(cell), **more}
    return PurePosixPath((place or cell.place).format(**names, ctk=cell.pair.ctk, ctv=cell.pair.ctv))


def throughput_cells(study: Study) -> list[ThroughputCell]:
    """The throughput cells in the order of tables: by engine and model, then by round. ``in_order`` says how they
    run."""
    if study.throughput is None:
        return []
    rounds = study.throughput.rounds
    return [
        ThroughputCell(engine.name, model, depth, pair, round_)
        for engine in study.engines.values()
        for model in models_of(study, study.throughput.models)
        for round_ in range(1, rounds + 1)
        for depth in sorted(engine.depths)
        for pair in engine.pairs
    ]


def in_order(study: Study) -> list[ThroughputCell]:
    """The throughput cells in the order in which they run: whole rounds, each in a random order of its own.

    Heat and other work come and go with time; a fixed order would give them to the same pairs in every round. In the
    first round shallow depths come first where cells may be skipped, because they predict how long deep ones take. The
    place of a cell follows from the seed and its name alone: another cell does not change the order of the others.
    """
    asked = study.throughput
    if asked is None:
        return []

    def place(cell: ThroughputCell) -> tuple[int, int, bytes]:
        predicts = study.limits.skip and cell.round == 1
        drawn = hashlib.sha256(f"{asked.seed} {cell.round} {cell.directory}".encode()).digest()
        return cell.round, cell.depth if predicts else 0, drawn

    return sorted(throughput_cells(study), key=place)


def models_of(study: Study, asked: tuple[str, ...] | None) -> list[str]:
    """The models of the study that are ``asked`` for, in the order of the study. None asks for all."""
    return [model for model in study.models if asked is None or model in asked]


def quality_cells(study: Study) -> list[QualityCell]:
    """The quality cells of every engine, ordered by engine, model, corpus, context, method and pair."""
    if study.quality is None:
        return []
    return [
        QualityCell(engine.name, model, corpus, n_ctx, pair, method, reference_of(study, engine.name))
        for engine in study.engines.values()
        for model in models_of(study, study.quality.models)
        for corpus in study.corpora
        for n_ctx in engine.contexts
        for method in study.quality.methods[n_ctx]
        for pair in quality_pairs(engine)
    ]


def reference_of(study: Study, engine: str) -> str | None:
    """The engine whose f16 the pairs of ``engine`` are compared with; None where that is ``engine`` itself."""
    reference = study.quality.reference if study.quality else None
    return None if reference == engine else reference


def baseline_runs(study: Study) -> list[BaselineRun]:
    """The baselines that the cells of llama-perplexity need. The scorer needs none."""
    return list(dict.fromkeys(cell.baseline for cell in quality_cells(study) if cell.method == "perplexity"))


def limit_hours(study: Study, run: Cell | BaselineRun) -> float:
    """How many hours the engine process of ``run`` may take."""
    own = study.tasks[run.task].cell_hours if isinstance(run, TaskCell) else None
    return study.limits.cell_hours if own is None else own


def task_cells(study: Study) -> list[TaskCell]:
    """The cells of every task. Those of one task begin with f16/f16, which the others are compared with."""
    return [
        TaskCell(engine.name, model, task.name, pair)
        for engine in study.engines.values()
        for model in study.models
        for task in study.tasks.values()
        if task.models is None or model in task.models
        for pair in task_pairs(engine, task)
    ]


def all_cells(study: Study) -> list[Cell]:
    """The cells of every kind, in the order of the tables."""
    return [*throughput_cells(study), *quality_cells(study), *task_cells(study)]
