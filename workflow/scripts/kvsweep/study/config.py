"""The configuration: checked once, then a value that the rest of kvsweep can rely on.

Everything that can be wrong with a configuration is found here, before anything runs, and said in one sentence that
names the key. What each key is, is said in study/shape.py; here is what keys mean together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvsweep.study.arguments import Arguments
from kvsweep.study.complaints import ConfigError, read
from kvsweep.study.origin import Origin
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.study.positions import Positions
from kvsweep.study.shape import (
    Configuration,
    EngineEntry,
    Limits,
    NamedPair,
    Nodes,
    QualityEntry,
    SliceAddress,
    SlicePlace,
    Throughput,
    WorkloadEntry,
)
from kvsweep.study.tasks import SERVER, Task, task_of
from kvsweep.study.yaml_file import read_yaml
from kvsweep.units import format_count, parse_count

__all__ = ["ConfigError", "Limits", "Nodes", "Throughput"]  # and what is defined here

WORKLOADS_FILE = Path(__file__).parents[4] / "resources" / "workloads.yaml"
# Keys of an engine that say what to run with it, and nothing of what it is.
_SELECTION = ("pairs", "contexts", "depths", "nodes")
# Programs that every engine has.
_PROGRAMS = ("llama-bench", "llama-perplexity")


@dataclass(frozen=True)
class Engine:
    """One build of llama.cpp as the configuration asks for it, and what to run with it (contexts, depths in tokens)."""

    name: str
    source_kind: str
    source: dict[str, str]
    backend: str
    cmake: dict[str, str]
    env: dict[str, str]
    programs: tuple[str, ...]
    pairs: tuple[Pair, ...]
    contexts: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    nodes: Nodes | None = None
    arguments: Arguments = field(default_factory=Arguments)
    pair_arguments: dict[Pair, Arguments] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A GGUF file; of a split one ``origin`` names the first part and ``sha256`` is that of all parts."""

    name: str
    origin: Origin
    sha256: str | None


@dataclass(frozen=True)
class Corpus:
    """A text: a file, a ``member`` of an archive, or ``n_bytes`` of kvsweep's generator with ``seed``.

    ``origin`` is the file's or the archive's, None where the text is generated. ``sha256`` is the text's.
    """

    name: str
    origin: Origin | None
    member: str | None
    sha256: str | None
    archive_sha256: str | None
    seed: int | None
    n_bytes: int | None


@dataclass(frozen=True)
class Quality:
    """``chunks`` windows are scored at each context of ``contexts`` (tokens), by each of its ``methods``.

    ``positions`` is what the scorer scores of a window; llama-perplexity always scores the second half. ``reference``
    is the engine whose f16 all pairs of all engines are compared with; None: of each engine its own.
    """

    chunks: dict[int, int]
    methods: dict[int, tuple[str, ...]]
    positions: dict[int, Positions]
    reference: str | None = None

    @property
    def contexts(self) -> tuple[int, ...]:
        return tuple(self.chunks)


@dataclass(frozen=True)
class Workload:
    """What somebody does with a model; tokens, bytes, nats, a share. ``goal`` is seconds (of a request) or context."""

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
class Analysis:
    """What the tables of answers are asked for: a depth in tokens (None: chosen from what was measured), bytes."""

    pareto_depth: int | None
    memories: tuple[int, ...]


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
    published: bool | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    # By name, those that the configuration has and does not want asked.
    tasks_off: dict[str, Task] = field(default_factory=dict)

    @property
    def others(self) -> str:
        """Which published numbers stand beside those measured here: ``all``, ``same-model``, ``none``."""
        return {None: "same-model", True: "all", False: "none"}[self.published]


def parse_study(config: Mapping[str, Any]) -> Study:
    """The study that a configuration describes. Raises ConfigError with one sentence on the first thing wrong."""
    asked = read(Configuration, config)
    corpora = {
        name: Corpus(
            name,
            text.origin,
            text.member,
            text.sha256,
            text.archive_sha256,
            *((None, None) if text.generate is None else (text.generate.seed, text.generate.bytes)),
        )
        for name, text in asked.corpora.items()
    }
    quality = _quality(asked.quality, corpora)
    throughput = asked.throughput if asked.throughput and asked.throughput.depths else None
    named = _tasks(asked, corpora)
    tasks = {name: task for name, task in named.items() if asked.tasks[name].enabled}
    engines = {name: _engine(name, entry, asked, quality, tasks) for name, entry in asked.engines.items()}
    if quality is not None:
        _check_reference(quality, engines)
    return Study(
        machine=asked.machine,
        engines=engines,
        models={name: Model(name, model.origin, model.sha256) for name, model in asked.models.items()},
        corpora=corpora,
        quality=quality,
        throughput=throughput,
        limits=asked.limits,
        slices={name: _slice(place) for name, place in asked.slices.items()},
        workloads=_workloads(asked.workloads),
        analysis=Analysis(asked.analysis.pareto_depth, asked.analysis.memories),
        published=asked.published,
        tasks=tasks,
        tasks_off={name: task for name, task in named.items() if name not in tasks},
    )


# More would be hundreds of days, and gigabytes of a plan.
_MOST_CELLS = 100_000


def check_amount(config: Mapping[str, Any], study: Study) -> None:
    """That a run has something to measure and not too much, and that the configuration can be handed on as JSON.

    Raises ConfigError. What was measured by a configuration is read whatever it asks for.
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
        shipped = read_yaml(WORKLOADS_FILE)
        entries = read(dict[str, WorkloadEntry], shipped, "workloads")
    return {
        name: Workload(
            name=name,
            title=entry.title or name,
            goal=entry.goal,
            depth=entry.depth,
            prompt_tokens=entry.prompt_tokens,
            generated_tokens=entry.generated_tokens,
            memory_bytes=entry.memory,
            highest_kld=entry.highest_kld,
            least_recall=entry.least_recall,
        )
        for name, entry in entries.items()
    }


def what_is_measured(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what does not change what a table says of a finished cell.

    That is where a cell runs and how long it may, what is asked of the tables, and what others measured.
    """
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


def engine_definition(value: Mapping[str, Any], programs: Collection[str] = ()) -> str:
    """What makes an engine the engine it is, as JSON: its part of the configuration without what to run with it.

    ``programs`` are all that it shall have, with the one that tasks need.
    """
    more = {"programs": list(programs)} if SERVER in programs else {}
    return json.dumps(
        {key: item for key, item in {**value, **more}.items() if key not in _SELECTION}, sort_keys=True
    )


def parse_engine(name: str, definition: str) -> Engine:
    """The engine that ``engine_definition`` wrote down."""
    return _engine_of(name, read(EngineEntry, json.loads(definition), f"engines.{name}"))


def check_engine_accepts(engine: str, accepted: Iterable[str], pairs: Iterable[Pair]) -> None:
    """Raise ConfigError if a pair needs a cache type that the built engine's own help does not list."""
    known = tuple(accepted)
    for pair in pairs:
        for cache_type in (pair.types.ctk, pair.types.ctv):
            if cache_type not in known:
                raise ConfigError(
                    f"pairs: engine {engine!r} does not know the cache type {cache_type!r} of {str(pair)!r}; "
                    f"it accepts {', '.join(known)}. Remove the pair, or give this engine its own list under "
                    f"engines.{engine}.pairs."
                )


def quality_pairs(engine: Engine) -> tuple[Pair, ...]:
    """The engine's pairs with the control, f16/f16 against its own baseline, always among them."""
    return tuple(dict.fromkeys((BASELINE_PAIR, *engine.pairs)))


def task_pairs(engine: Engine, task: Task) -> tuple[Pair, ...]:
    """The engine's pairs that a task is asked with, and f16/f16 first, which they are compared with."""
    if task.engines is not None and engine.name not in task.engines:
        return ()
    asked = [pair for pair in engine.pairs if task.pairs is None or pair in task.pairs]
    return tuple(dict.fromkeys((BASELINE_PAIR, *asked))) if asked else ()


def _engine_of(name: str, entry: EngineEntry) -> Engine:
    [(kind, source)] = ((key, item) for key, item in vars(entry.source).items() if item is not None)
    given = {"path": source} if kind == "path" else dataclasses.asdict(source)
    return Engine(
        name=name,
        source_kind=kind,
        source={key: item for key, item in given.items() if item is not None},
        backend=entry.backend,
        cmake=entry.cmake,
        env=entry.env,
        programs=tuple(dict.fromkeys((*entry.programs, *_PROGRAMS))),
        arguments=entry.arguments or Arguments(),
        pairs=(),
        contexts=entry.contexts or (),
        depths=entry.depths or (),
        nodes=entry.nodes,
    )


def _engine(
    name: str, entry: EngineEntry, asked: Configuration, quality: Quality | None, tasks: Mapping[str, Task]
) -> Engine:
    """The engine, which runs what is common to all where it has no list of its own."""
    where = f"engines.{name}"
    contexts = () if quality is None else quality.contexts
    depths = () if asked.throughput is None else asked.throughput.depths
    pairs = _pairs(entry.pairs, f"{where}.pairs") if entry.pairs else _pairs(asked.pairs, "pairs")
    engine = dataclasses.replace(
        _engine_of(name, entry),
        pairs=tuple(pairs),
        pair_arguments={pair: given for pair, given in pairs.items() if given != Arguments()},
        contexts=_some_of(entry.contexts, contexts, f"{where}.contexts", "quality.contexts"),
        depths=_some_of(entry.depths, depths, f"{where}.depths", "throughput.depths"),
    )
    _check_arguments(engine, quality)
    if any(task_pairs(engine, task) for task in tasks.values()):
        engine = dataclasses.replace(engine, programs=tuple(dict.fromkeys((*engine.programs, SERVER))))
        _check_server(engine, tasks.values())
    return engine


def _pairs(entries: Iterable[Pair | NamedPair], where: str) -> dict[Pair, Arguments]:
    """The pairs, each once, with their arguments."""
    found: dict[Pair, Arguments] = {}
    folded: dict[str, str] = {}
    for index, entry in enumerate(entries):
        pair, given = entry, Arguments()
        if isinstance(entry, NamedPair):
            pair, given = entry.types.named(entry.name), entry.arguments
        assert isinstance(pair, Pair)
        if found.setdefault(pair, given) != given:
            raise ConfigError(
                f"{where}.{index}: {pair} is there twice, with other arguments; name one otherwise."
            )
        for label in (pair.ctk, pair.ctv):
            other = folded.setdefault(label.casefold(), label)
            if other != label:
                raise ConfigError(
                    f"{where}.{index}: {label!r} and {other!r} differ in capital letters only, and some file systems "
                    "cannot tell their directories apart; leave one out."
                )
    return found


def _check_arguments(engine: Engine, quality: Quality | None) -> None:
    """The scorer is another program: what it would do without the arguments is not what was asked for."""
    given = (engine.arguments, *engine.pair_arguments.values())
    for context in engine.contexts if any(one.perplexity for one in given) else ():
        if quality is not None and "scorer" in quality.methods[context]:
            raise ConfigError(
                f"engines.{engine.name}.contexts: the scorer measures context {format_count(context)} and takes no "
                "arguments; leave it out for this engine, or give the arguments to llama-bench alone."
            )


def _check_server(engine: Engine, tasks: Iterable[Task]) -> None:
    """Arguments are those of llama-bench and llama-perplexity: the server is another program."""
    for task in tasks:
        if not task_pairs(engine, task):
            continue
        given = [engine.arguments, *(engine.pair_arguments.get(pair) for pair in task_pairs(engine, task))]
        if any(one and one.as_dict() for one in given):
            raise ConfigError(
                f"tasks.{task.name}.pairs: {SERVER} of {engine.name} takes no arguments, and this engine or one of "
                "these pairs has some; name pairs without."
            )


def _tasks(asked: Configuration, corpora: Mapping[str, Corpus]) -> dict[str, Task]:
    tasks = {name: task_of(name, entry) for name, entry in asked.tasks.items()}
    everywhere = set(_pairs(asked.pairs, "pairs"))
    for name, entry in asked.engines.items():
        everywhere |= set(_pairs(entry.pairs, f"engines.{name}.pairs") if entry.pairs else ())
    for task in tasks.values():
        if task.corpus is not None and task.corpus not in corpora:
            has = ", ".join(corpora) or "none"
            raise ConfigError(
                f"tasks.{task.name}.corpus: there is no {task.corpus!r} in corpora, which has {has}."
            )
        for index, engine in enumerate(task.engines or ()):
            if engine not in asked.engines:
                has = ", ".join(asked.engines)
                raise ConfigError(
                    f"tasks.{task.name}.engines.{index}: there is no {engine!r} in engines, which has {has}."
                )
        for index, pair in enumerate(task.pairs or ()):
            if pair != BASELINE_PAIR and pair not in everywhere:
                raise ConfigError(
                    f"tasks.{task.name}.pairs.{index}: {str(pair)!r} is not in pairs; add it there."
                )
    return tasks


def _some_of(
    own: tuple[int, ...] | None, common: tuple[int, ...], where: str, common_key: str
) -> tuple[int, ...]:
    """The common lengths, or those of them that the engine's own list names."""
    for index, item in enumerate(own or ()):
        if item not in common:
            has = ", ".join(map(format_count, common)) or "none"
            raise ConfigError(
                f"{where}.{index}: {format_count(item)} is not in {common_key}, which has {has}; add it there, "
                f"and give the engines that should leave it out their own {where.rpartition('.')[2]}."
            )
    return common if own is None else own


def _quality(asked: QualityEntry | None, corpora: Mapping[str, Corpus]) -> Quality | None:
    if asked is None or not asked.contexts:
        return None
    if not corpora:
        raise ConfigError("corpora: quality.contexts needs a text to score; name at least one corpus.")
    chunks = _by_context(asked, "chunks", asked.chunks)
    methods = _by_context(asked, "method", asked.method, "perplexity")
    methods = {context: (one,) if isinstance(one, str) else one for context, one in methods.items()}
    positions = _by_context(asked, "positions", asked.positions, Positions())
    for index, context in enumerate(asked.contexts):
        # Below this a window has no scored token, or too few for the tool's closing statistics.
        if context < 16:
            raise ConfigError(f"quality.contexts.{index}: {context} is too short; use at least 16 tokens.")
        _check_scored(context, chunks[context], methods[context], positions[context])
    # llama-perplexity wants two windows even where one is scored.
    needed = max(
        context * max(chunks[context], 2 if "perplexity" in methods[context] else 1)
        for context in asked.contexts
    )
    for corpus in corpora.values():
        if corpus.n_bytes is not None and corpus.n_bytes < needed:
            raise ConfigError(
                f"corpora.{corpus.name}.generate.bytes: {corpus.n_bytes} is too short for quality.contexts and "
                f"quality.chunks, which need {needed} (one token a byte)."
            )
    windows, by, scored = (
        {context: one[context] for context in asked.contexts} for one in (chunks, methods, positions)
    )
    return Quality(windows, by, scored, asked.reference)


def _check_reference(quality: Quality, engines: Mapping[str, Engine]) -> None:
    """Another engine's f16 is a file of log-probabilities: one that has to be written, and that the scorer has not."""
    if quality.reference is None:
        return
    if quality.reference not in engines:
        raise ConfigError(
            f"quality.reference: there is no engine {quality.reference!r}; engines has {', '.join(engines)}."
        )
    written = engines[quality.reference].contexts
    for engine in engines.values():
        for context in engine.contexts if engine.name != quality.reference else ():
            if "scorer" in quality.methods[context]:
                raise ConfigError(
                    f"quality.reference: at context {format_count(context)} the scorer compares {engine.name} with its "
                    f"own f16, in one process, and cannot take that of {quality.reference}; measure this context by "
                    "perplexity alone, or leave reference out."
                )
            if context not in written:
                raise ConfigError(
                    f"quality.reference: {quality.reference} does not run context {format_count(context)}, and "
                    f"{engine.name} does; add it to engines.{quality.reference}.contexts, or leave it out of "
                    f"engines.{engine.name}.contexts."
                )


def _check_scored(context: int, chunks: int, methods: Sequence[str], positions: Positions) -> None:
    scored = chunks * (context - 1 - context // 2)
    if "perplexity" in methods and scored < 100:
        raise ConfigError(
            f"quality.chunks: {chunks} windows at context {context} score {scored} tokens; "
            "llama-perplexity prints its statistics from 100 scored tokens up."
        )
    try:
        positions.ranges(context)
    except ValueError as error:
        raise ConfigError(f"quality.positions: {error}; write fewer or shorter blocks.") from None


def _by_context(asked: QualityEntry, key: str, value: Any, default: Any = None) -> dict[int, Any]:
    """What holds at each context: one value for all, or one by context. No default: each context has to have one."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(asked.contexts, value)
    by_context: dict[int, Any] = {}
    for name, one in value.items():
        try:
            context = parse_count(name if isinstance(name, int) else str(name))
        except ValueError as error:
            raise ConfigError(f"quality.{key}.{name}: {error}.") from None
        if context in by_context:
            raise ConfigError(f"quality.{key}.{name}: the context {context} is named twice.")
        by_context[context] = one
    for context in asked.contexts:
        if context not in by_context and default is None:
            raise ConfigError(
                f"quality.{key}: no number of windows for context {context}; "
                "add it, or give one number for all contexts."
            )
        by_context.setdefault(context, default)
    for context in by_context:
        if context not in asked.contexts:
            names = ", ".join(map(format_count, asked.contexts))
            raise ConfigError(
                f"quality.{key}.{context}: no such context in quality.contexts, which has {names}."
            )
    return by_context
