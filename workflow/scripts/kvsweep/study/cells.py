"""The cells of a study, and where each one's files lie under ``results/``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from kvsweep.study.config import Study, quality_pairs
from kvsweep.study.pairs import Pair
from kvsweep.units import format_count


@dataclass(frozen=True)
class ThroughputCell:
    """Prefill and decode speed of one pair at one depth (tokens)."""

    engine: str
    model: str
    depth: int
    pair: Pair

    @property
    def directory(self) -> PurePosixPath:
        return PurePosixPath(
            "throughput",
            self.engine,
            self.model,
            f"d{self.depth}",
            f"k-{self.pair.ctk}",
            f"v-{self.pair.ctv}",
        )

    def __str__(self) -> str:
        return f"throughput {self.pair} at depth {format_count(self.depth)} ({self.engine}, {self.model})"


@dataclass(frozen=True)
class QualityCell:
    """Perplexity and KL divergence of one pair at one context (tokens)."""

    engine: str
    model: str
    corpus: str
    n_ctx: int
    pair: Pair

    @property
    def directory(self) -> PurePosixPath:
        return PurePosixPath(
            "quality",
            self.engine,
            self.model,
            self.corpus,
            f"c{self.n_ctx}",
            f"k-{self.pair.ctk}",
            f"v-{self.pair.ctv}",
        )

    @property
    def baseline(self) -> BaselineRun:
        return BaselineRun(self.engine, self.model, self.corpus, self.n_ctx)

    def __str__(self) -> str:
        return (
            f"quality {self.pair} at context {format_count(self.n_ctx)} "
            f"({self.engine}, {self.model}, {self.corpus})"
        )


@dataclass(frozen=True)
class BaselineRun:
    """The f16/f16 log-probabilities that the quality cells of one context are compared with."""

    engine: str
    model: str
    corpus: str
    n_ctx: int

    @property
    def directory(self) -> PurePosixPath:
        return PurePosixPath("baseline", self.engine, self.model, self.corpus, f"c{self.n_ctx}")

    def __str__(self) -> str:
        return f"baseline at context {format_count(self.n_ctx)} ({self.engine}, {self.model}, {self.corpus})"


Cell = ThroughputCell | QualityCell


def throughput_cells(study: Study) -> list[ThroughputCell]:
    """Shallow depths first: every curve has points early, and they predict the time of the deeper ones."""
    return [
        ThroughputCell(engine.name, model, depth, pair)
        for engine in study.engines.values()
        for model in study.models
        for depth in sorted(engine.depths)
        for pair in engine.pairs
    ]


def quality_cells(study: Study) -> list[QualityCell]:
    return [
        QualityCell(engine.name, model, corpus, n_ctx, pair)
        for engine in study.engines.values()
        for model in study.models
        for corpus in study.corpora
        for n_ctx in engine.contexts
        for pair in quality_pairs(engine)
    ]


def baseline_runs(study: Study) -> list[BaselineRun]:
    return list(dict.fromkeys(cell.baseline for cell in quality_cells(study)))
