"""What is to be on this machine, by a path of the configuration, and is not there or is nothing of its kind.

Asked before anything is built or measured: of what is fetched, and of what only the whole file tells, the programs that
read it say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kvsweep.errors import KvsweepError
from kvsweep.inputs.plain_text import check_text
from kvsweep.plan.changes import corpus_of
from kvsweep.slices.archive import open_slice
from kvsweep.study.cells import BaselineRun, Cell
from kvsweep.study.config import Study


class Needed(NamedTuple):
    """Names of what is going to be used; ``slices``: whether tables are made."""

    engines: Iterable[str]
    models: Iterable[str]
    corpora: Iterable[str]
    slices: bool


def needed_for(study: Study, runs: Iterable[Cell | BaselineRun]) -> Needed:
    """Of cells and baselines, and of the report."""
    runs = list(runs)
    return Needed(
        dict.fromkeys(run.engine for run in runs),
        dict.fromkeys(run.model for run in runs),
        dict.fromkeys(corpus for run in runs if (corpus := corpus_of(run, study)) is not None),
        slices=True,
    )


def missing(study: Study, base: Path, needed: Needed) -> list[str]:
    """A sentence each, without its full stop. A relative path starts at ``base``."""
    return [
        *_engines(study, base, needed.engines),
        *(
            f"models.{name}.path: {problem}"
            for name in needed.models
            if (problem := _no_file(base, study.models[name].origin.path))
        ),
        *_texts(study, base, needed.corpora),
        *(_slices(study, base) if needed.slices else ()),
    ]


def _engines(study: Study, base: Path, names: Iterable[str]) -> Iterator[str]:
    for engine in (study.engines[name] for name in names):
        if engine.source_kind != "path":
            continue
        directory = _at(base, engine.source["path"])
        if not directory.is_dir():
            yield f"engines.{engine.name}.source.path: there is no directory {directory}"
        elif absent := [name for name in engine.programs if not (directory / name).is_file()]:
            yield f"engines.{engine.name}: {directory} has no program {absent[0]!r}"


def _texts(study: Study, base: Path, names: Iterable[str]) -> Iterator[str]:
    for name, corpus in ((name, study.corpora[name]) for name in names):
        if corpus.origin is None or corpus.origin.path is None:
            continue
        where = f"corpora.{name}.path"
        problem = _no_file(base, corpus.origin.path)
        if problem:
            yield f"{where}: {problem}"
        elif corpus.member is None:
            try:
                check_text(_at(base, corpus.origin.path), where)
            except KvsweepError as error:
                yield _unfinished(error)


def _slices(study: Study, base: Path) -> Iterator[str]:
    for name, one in study.slices.items():
        if one.origin.path is None:
            continue
        place = _at(base, one.origin.path)
        if not place.exists():
            yield f"slices.{name}: there is nothing at {place}"
            continue
        try:
            with open_slice(place) as contents:
                if contents.manifest is None and not contents.names:
                    yield f"slices.{name}: {place} has no records and no tables of kvsweep"
        except KvsweepError as error:
            yield f"slices.{name}: {place}: {_unfinished(error)}"


def _no_file(base: Path, path: str | None) -> str | None:
    if path is None or (place := _at(base, path)).is_file():
        return None
    return f"{place} is a directory; name a file" if place.is_dir() else f"there is no file {place}"


def _at(base: Path, path: str) -> Path:
    return Path(base, Path(path).expanduser())


def _unfinished(error: KvsweepError) -> str:
    return str(error).removesuffix(".")
