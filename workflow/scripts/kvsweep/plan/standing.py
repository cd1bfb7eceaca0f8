"""What stands of a study and what has to be made: the inputs of every job, so that only what changed runs.

A record says what a cell was measured with; it is compared with what the configuration and the files say now
(``changes.py``), and the plan gives the same reasons. Snakemake's own notes decide nothing: they are lost, or of
another run, when results are moved, copied or cleaned.

A job runs because what it makes is missing, or because an input is newer. Hence two kinds of inputs here: none for what
is finished and still right, so that neither a rebuilt engine nor a lost baseline runs it again; and ``newer``, a file
that is newer than all others, for what is there and wrong.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from kvsweep.engine.identity import address_of, check_has_scorer, measuring_files
from kvsweep.files import manifest_identity, read_manifest, write_text
from kvsweep.plan import counts, current
from kvsweep.plan.changes import corpus_of
from kvsweep.plan.counts import Run
from kvsweep.study.cells import Cell, QualityCell, TaskCell, all_cells, baseline_runs, quality_cells
from kvsweep.study.config import Study
from kvsweep.study.engines import Engine, check_engine_accepts

Manifest = Mapping[str, Any]


class StudyOnDisk:
    """A study beside its results. Raises KvsweepError where a file that it has to look at cannot be read.

    ``base`` is where relative paths of the configuration start, ``newer`` a file to write when something is wrong.
    """

    def __init__(self, study: Study, results: Path, base: Path, newer: Path) -> None:
        self.study, self.results, self.base = study, results, base
        self.now = current.look(study, results, base)
        self._newer = newer
        cells = all_cells(study)
        # All cells and baselines.
        self.runs: dict[Run, None] = dict.fromkeys((*baseline_runs(study), *cells))
        self.cell_records = [self.record(run) for run in cells]
        self.tokens = [
            self._path("tokens", *run.directory.parts[1:-1], f"{run.directory.name}.parquet")
            for run in quality_cells(study)
            if run.method == "scorer"
        ]
        self.builds = [self._path("engines", name, "build.json") for name in study.engines]
        self.models = [self._path("models", name, "model.json") for name in study.models]
        corpora = filter(None, dict.fromkeys(corpus_of(run, study) for run in cells))
        self._corpora = [self._path("corpora", name, "corpus.json") for name in corpora]
        self.of = cache(self._of)

    @property
    def manifests(self) -> list[str]:
        """The manifests that a run makes again where they are changed or gone: finished cells do not ask for them."""
        return [*self.builds, *self.models, *self._corpora]

    def record(self, run: Run) -> str:
        return str(self.results / run.directory / "run.json")

    def _path(self, *names: str) -> str:
        return str(self.results.joinpath(*names))

    def _of(self, run: Run) -> counts.Standing:
        """Where a cell or baseline stands by its own record."""
        if run not in self.runs:
            return counts.Standing(False, None)
        record = counts.read_record(self.results / run.directory)
        return counts.standing(run, record, self.study, self.now)

    def cells(self) -> dict[Cell, counts.Standing]:
        """Where each cell stands. A cell needs nothing less than its baseline."""
        return {cell: self.of(cell) for cell in all_cells(self.study)}

    def to_measure_again(self, is_forced: Callable[[Run], bool]) -> list[Run]:
        """What is certain to be measured again if it is finished: not what only a fetched file can decide."""
        return [
            run
            for run in self.runs
            if is_forced(run) or ((why := self.of(run).change) is not None and why.certain)
        ]

    # -- inputs of jobs ----------------------------------------------------------------------------------------------

    @cached_property
    def newer(self) -> str:
        """A file that is newer than everything that was made before."""
        write_text(self._newer, f"{time.time_ns()}\n")
        return str(self._newer)

    def needs(self, run: Run, forced: bool) -> list[str]:
        """The inputs of a cell or baseline. ``forced``: the user wants it measured whatever stands."""
        stands = self.of(run)
        if not stands.recorded or forced:
            return self._measured_with(run)
        return [] if stands.done else [*self._measured_with(run), self.newer]

    def logits(self, run: QualityCell, needs: list[str]) -> list[str]:
        """The baseline's log-probabilities, for a cell that ``needs`` anything. Their time stamp says nothing: they are
        made again if they are gone, and their content is checked before use."""
        return [str(self.results / run.baseline.directory / counts.LOGITS)] if needs else []

    def _measured_with(self, run: Run) -> list[str]:
        found = [
            self._path("engines", run.engine, "build.json"),
            self._path("models", run.model, "model.json"),
        ]
        if isinstance(run, TaskCell) and self.study.tasks[run.task].harness is not None:
            found.append(self._path("harness", f"{run.task}.json"))
        if (corpus := corpus_of(run, self.study)) is not None:
            found.append(self._path("corpora", corpus, "corpus.json"))
        if isinstance(run, QualityCell) and run.method == "perplexity":
            found.append(self.record(run.baseline))
        return found

    def _unless(self, path: str, is_right: Callable[[Manifest], bool]) -> list[str]:
        """The inputs of a file that is made once: none, or ``newer`` if the file is there and not ``is_right``."""
        made = read_manifest(Path(path))
        return [] if made is None or is_right(made) else [self.newer]

    def engine(self, name: str) -> list[str]:
        """``newer`` if the engine that was built is not the one of the configuration."""
        engine, now = self.study.engines[name], self.now.engines[name]
        # Of the address an older kvsweep wrote nothing; a commit or a checksum is the source, wherever it comes from.
        address = address_of(engine)
        # One that was built before kvsweep had a scorer gets one where it is asked for.
        with_scorer = {cell.engine for cell in quality_cells(self.study) if cell.method == "scorer"}

        def is_right(build: Manifest) -> bool:
            return (
                build.get("definition", now.definition) == now.definition
                and now.files in (None, measuring_files(build["files"], build.get("programs", ())))
                and set(engine.programs) <= set(build.get("programs", engine.programs))
                and build.get("address", address) == address
                and self._lies_at(build["directory"], engine.source.get("path"))
                and ("scorer" in build or engine.name not in with_scorer)
            )

        return self._unless(self._path("engines", name, "build.json"), is_right)

    def model(self, name: str) -> list[str]:
        """``newer`` if the model that was fetched is not the one of the configuration."""
        model = self.study.models[name]
        return self._unless(
            self._path("models", name, "model.json"),
            lambda made: (
                is_as(made, self.now.models[name], model.sha256)
                and self._lies_at(source_of(made), model.origin.path)
            ),
        )

    def corpus(self, name: str) -> list[str]:
        """``newer`` if the text that was fetched is not the one of the configuration."""
        corpus = self.study.corpora[name]
        return self._unless(
            self._path("corpora", name, "corpus.json"),
            lambda made: (
                is_as(made, self.now.corpora[name], corpus.sha256)
                and corpus.archive_sha256 in (None, made.get("archive_sha256"))
                and self._lies_at(source_of(made), corpus.origin.path if corpus.origin else None)
            ),
        )

    def harness(self, task: str) -> list[str]:
        """``newer`` if the harness of ``task`` has another definition, or a directory of it is gone."""
        definition = json.loads(self.study.tasks[task].harness or "null")
        return self._unless(
            self._path("harness", f"{task}.json"),
            lambda made: (
                made.get("definition") == definition
                and all(Path(made[name]).exists() for name in ("aider", "exercises", "python") if made[name])
            ),
        )

    def _lies_at(self, was: str | None, path: str | None) -> bool:
        """Whether what was made of a local file or directory is of the one at ``path`` of the configuration.

        A relative path starts at the checkout, of which there may be another one by now: as good while it is there.
        """
        if path is None:
            return True
        asked = Path(path).expanduser()
        there = self.base / asked
        if was is None or asked.is_absolute() or not Path(was).exists():
            return was in (str(there), str(there.resolve()))
        return Path(was).parts[-len(asked.parts) :] == asked.parts

    def list_of_cells(self, measured: Manifest) -> list[str]:
        """The inputs of results/config.json, which says what is ``measured``."""
        asked = json.loads(json.dumps(measured))
        return self._unless(self._path("config.json"), lambda made: made == asked)

    def manifests_of_tables(self, forced: bool) -> list[str]:
        """One that is made again and comes out the same changes no table; those of cells to run are there before."""
        found = [*self.builds, *self.models]
        if forced or not (self.results / "tables" / "engines.parquet").exists():
            return found
        return self._unless(
            self._path("parsed", "manifests.json"),
            lambda seen: all(manifest_identity(Path(path)) in (None, seen.get(path)) for path in found),
        )

    # -- engines -----------------------------------------------------------------------------------------------------

    def unchecked_pairs(self) -> list[str]:
        """The proofs that engines know their pairs, of those that have to be built first.

        Raises KvsweepError for a pair that an engine which is there does not know, and where a scorer is asked for that
        it does not have.
        """
        unknown = []
        for engine in self.study.engines.values():
            build = self._built(engine)
            if engine.name in self._to_score:
                self._check_scorer(engine)
            if build is None:
                unknown.append(self._path("engines", engine.name, "pairs.checked"))
            elif build["cache_types"] is not None:
                check_engine_accepts(engine.name, build["cache_types"], engine.pairs)
        return unknown

    @cached_property
    def _to_score(self) -> set[str]:
        """The engines that have cells to do with the scorer."""
        cells = [cell for cell in quality_cells(self.study) if cell.method == "scorer"]
        return {cell.engine for cell in cells if not self.of(cell).done}

    def needs_scorer(self, engine: str) -> bool:
        return engine in self._to_score

    def _check_scorer(self, engine: Engine) -> None:
        if engine.source_kind == "path":
            check_has_scorer(engine.name, None, Path(self.base, Path(engine.source["path"]).expanduser()))
        elif (build := current.build_of(engine, self.results)) is not None and "scorer" in build:
            # One that was built before kvsweep had a scorer gets one first.
            check_has_scorer(engine.name, build)

    def _built(self, engine: Engine) -> Manifest | None:
        """build.json of an engine that is there as the configuration and its files are now."""
        build = current.build_of(engine, self.results)
        if build is None:
            return None
        files = measuring_files(build["files"], engine.programs)
        return build if files == self.now.engines[engine.name].files else None

    def came_out_different(self) -> list[str]:
        """The engines that are other ones than when this was made."""
        now = current.look(self.study, self.results, self.base).engines
        return [
            name for name, engine in self.now.engines.items() if engine.files not in (None, now[name].files)
        ]

    @property
    def to_do(self) -> list[Cell]:
        return [cell for cell, one in self.cells().items() if not one.done]


def source_of(made: Manifest) -> str | None:
    """The local file that a model or text was ``made`` of; None for one from elsewhere."""
    found: str | None = made.get("source", made).get("path")
    return found


def is_as(made: Manifest, now: current.InputNow, declared: str | None) -> bool:
    """Whether a model or text that was ``made`` is what it would be made as now, as far as that is known."""
    return now.source is None and now.sha256 in (None, made["sha256"]) and declared in (None, made["sha256"])
