"""The configuration: checked once, then a value that the rest of kvsweep can rely on.

Everything that can be wrong with a configuration is found here, before anything runs, and said in one sentence that
names the key. What each key is, is said in study/shape.py; here is what keys mean together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kvsweep.files import CHECKOUT
from kvsweep.study.complaints import ConfigError, read
from kvsweep.study.engines import Engine, check_reference, engine_asked, pairs_asked
from kvsweep.study.input_shape import Corpus, Model
from kvsweep.study.origin import Origin
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.study.quality import Quality, quality_asked
from kvsweep.study.shape import (
    Analysis,
    Configuration,
    Limits,
    SliceAddress,
    SlicePlace,
    Throughput,
    WorkloadEntry,
)
from kvsweep.study.tasks import Task, task_of
from kvsweep.study.yaml_file import read_yaml

WORKLOADS_FILE = CHECKOUT / "resources" / "workloads.yaml"


@dataclass(frozen=True)
class Workload:
    """What somebody does with a model. Lengths in tokens, memory in bytes, ``highest_kld`` in nats, ``least_recall`` a
    share.

    ``goal`` is ``seconds`` (of a request) or ``context``.
    """

    name: str
    title: str
    goal: str
    depth: int
    prompt_tokens: int
    generated_tokens: int
    memory_bytes: int | None
    highest_kld: float | None
    least_recall: float | None = None


@dataclass(frozen=True)
class Slice:
    """What another machine measured: a file or a directory, or a file at an address with its ``sha256``."""

    origin: Origin
    sha256: str | None = None


@dataclass(frozen=True)
class Study:
    """A whole configuration. ``quality`` or ``throughput`` is None where nothing of the kind is asked for."""

    machine: str | None
    engines: dict[str, Engine]
    models: dict[str, Model]
    corpora: dict[str, Corpus]
    quality: Quality | None
    throughput: Throughput | None
    limits: Limits
    slices: dict[str, Slice]
    workloads: dict[str, Workload]
    analysis: Analysis
    published: bool | None
    tasks: dict[str, Task]
    # By name, those that the configuration has and does not want asked.
    tasks_off: dict[str, Task]
    # Or those that ship with kvsweep.
    has_own_workloads: bool

    @property
    def others(self) -> str:
        """Which published numbers stand beside those measured here: ``all``, ``same-model``, ``none``."""
        return {None: "same-model", True: "all", False: "none"}[self.published]


def parse_study(config: Mapping[str, Any]) -> Study:
    """The study that a configuration describes. Raises ConfigError with one sentence on the first thing wrong."""
    asked = read(Configuration, config)
    _check_models(asked)
    quality = quality_asked(asked.quality, asked.corpora)
    throughput = asked.throughput if asked.throughput and asked.throughput.depths else None
    named = _tasks(asked)
    tasks = {name: task for name, task in named.items() if asked.tasks[name].enabled}
    engines = {
        name: engine_asked(name, entry, asked, quality, tasks) for name, entry in asked.engines.items()
    }
    if quality is not None:
        check_reference(quality, engines)
    return Study(
        machine=asked.machine,
        engines=engines,
        models=asked.models,
        corpora=asked.corpora,
        quality=quality,
        throughput=throughput,
        limits=asked.limits,
        slices={name: _slice(place) for name, place in asked.slices.items()},
        workloads=_workloads(asked.workloads),
        analysis=asked.analysis,
        published=asked.published,
        tasks=tasks,
        tasks_off={name: task for name, task in named.items() if name not in tasks},
        has_own_workloads=asked.workloads is not None,
    )


# More would be hundreds of days, and gigabytes of a plan.
_MOST_CELLS = 100_000


def check_amount(config: Mapping[str, Any], study: Study) -> None:
    """Raise ConfigError if a run would measure nothing, or too much, or cannot be handed on as JSON.

    Reading what an earlier run measured needs no such check.
    """
    rounds = study.throughput.rounds if study.throughput else 0
    methods = study.quality.methods if study.quality else {}
    cells = len(study.models) * sum(
        len(engine.pairs)
        * (
            len(engine.depths) * rounds
            + sum(len(methods[context]) for context in engine.contexts) * len(study.corpora)
            + len(study.tasks)
        )
        for engine in study.engines.values()
    )
    if not cells and not study.slices:
        raise ConfigError("the configuration: measures nothing; write quality, throughput or tasks.")
    if cells > _MOST_CELLS:
        raise ConfigError(
            f"the configuration: asks for {cells} cells, more than {_MOST_CELLS}; write fewer pairs, lengths or rounds."
        )
    try:
        json.dumps(config)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the configuration: has a value that no YAML file needs ({error}); remove it."
        ) from None


def _slice(place: str | SliceAddress) -> Slice:
    return Slice(Origin(path=place)) if isinstance(place, str) else Slice(Origin(url=place.url), place.sha256)


def parse_slices(value: Mapping[str, Any]) -> dict[str, Slice]:
    """The slices that ``slices`` of a configuration names."""
    return {name: _slice(place) for name, place in read(dict[str, SlicePlace], value, "slices").items()}


def parse_workloads(value: Mapping[str, Any] | None) -> dict[str, Workload]:
    """The configuration's workloads, or the ones that ship with kvsweep where it names none."""
    return _workloads(None if value is None else read(dict[str, WorkloadEntry], value, "workloads"))


def _workloads(entries: Mapping[str, WorkloadEntry] | None) -> dict[str, Workload]:
    if entries is None:
        entries = read(dict[str, WorkloadEntry], read_yaml(WORKLOADS_FILE), "workloads")
    return {
        name: Workload(
            *(name, entry.title or name, entry.goal),
            *(entry.depth, entry.prompt_tokens, entry.generated_tokens),
            *(entry.memory, entry.highest_kld, entry.least_recall),
        )
        for name, entry in entries.items()
    }


def what_is_measured(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the keys that change nothing in the row of a finished cell.

    These keys say where a cell runs and how long it may take, what is asked of the tables, and what others measured. A
    configuration that asks only for what others measured is reduced to its slices.
    """
    if "engines" not in config:
        return {"slices": config["slices"]}
    return {
        **{
            key: value
            for key, value in config.items()
            if key not in ("machine", "limits", "slices", "published", "workloads", "analysis")
        },
        "engines": {
            name: {key: value for key, value in engine.items() if key != "nodes"}
            for name, engine in config["engines"].items()
        },
    }


def _check_models(asked: Configuration) -> None:
    """Raise ConfigError if a stage or a task names a model that is not there."""
    named = {f"tasks.{name}": task.models for name, task in asked.tasks.items()}
    named |= {"quality": asked.quality.models} if asked.quality else {}
    named |= {"throughput": asked.throughput.models} if asked.throughput else {}
    for where, models in named.items():
        for index, model in enumerate(models or ()):
            _check_there(f"{where}.models.{index}", model, "models", asked.models)


def _check_there(where: str, name: str, section: str, there: Iterable[str]) -> None:
    if name not in there:
        has = ", ".join(there) or "none"
        raise ConfigError(f"{where}: there is no {name!r} in {section}, which has {has}.")


def _tasks(asked: Configuration) -> dict[str, Task]:
    tasks = {name: task_of(name, entry) for name, entry in asked.tasks.items()}
    everywhere = set(pairs_asked(asked.pairs, "pairs"))
    for name, entry in asked.engines.items():
        everywhere |= set(pairs_asked(entry.pairs, f"engines.{name}.pairs") if entry.pairs else ())
    for task in tasks.values():
        if task.corpus is not None:
            _check_there(f"tasks.{task.name}.corpus", task.corpus, "corpora", asked.corpora)
        for index, engine in enumerate(task.engines or ()):
            _check_there(f"tasks.{task.name}.engines.{index}", engine, "engines", asked.engines)
        for index, pair in enumerate(task.pairs or ()):
            if pair != BASELINE_PAIR and pair not in everywhere:
                raise ConfigError(
                    f"tasks.{task.name}.pairs.{index}: {str(pair)!r} is not in pairs; add it there."
                )
    return tasks
