"""An engine of the configuration: how it is built, and which of the common pairs, contexts and depths it runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kvsweep.study.arguments import Arguments
from kvsweep.study.complaints import ConfigError, read
from kvsweep.study.engine_shape import EngineEntry, NamedPair, Nodes
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.study.programs import MEASURING, SERVER
from kvsweep.study.quality import Quality
from kvsweep.study.shape import Configuration
from kvsweep.study.tasks import Task
from kvsweep.units import format_count

# Keys of an engine that say what to run with it, and nothing of what it is.
_SELECTION = ("pairs", "contexts", "depths", "nodes")


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


def engine_definition(value: Mapping[str, Any], programs: Collection[str] = ()) -> str:
    """The part of an engine's configuration that decides what is built, as JSON.

    What is run with the engine is left out. ``programs`` are all programs that it shall have, with the one that tasks
    need.
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
    """The engine's pairs. The control, f16/f16 against its own baseline, is always the first."""
    return tuple(dict.fromkeys((BASELINE_PAIR, *engine.pairs)))


def task_pairs(engine: Engine, task: Task) -> tuple[Pair, ...]:
    """The engine's pairs that a task is asked with. f16/f16, which they are compared with, is the first."""
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
        programs=tuple(dict.fromkeys((*entry.programs, *MEASURING))),
        arguments=entry.arguments or Arguments(),
        pairs=(),
        contexts=entry.contexts or (),
        depths=entry.depths or (),
        nodes=entry.nodes,
    )


def engine_asked(
    name: str, entry: EngineEntry, asked: Configuration, quality: Quality | None, tasks: Mapping[str, Task]
) -> Engine:
    """The engine of the configuration. Where it has no list of its own it runs what is common to all."""
    where = f"engines.{name}"
    contexts = () if quality is None else quality.contexts
    depths = () if asked.throughput is None else asked.throughput.depths
    pairs = pairs_asked(entry.pairs, f"{where}.pairs") if entry.pairs else pairs_asked(asked.pairs, "pairs")
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


def pairs_asked(entries: Iterable[Pair | NamedPair], where: str) -> dict[Pair, Arguments]:
    """The pairs with their arguments, each pair once. Raises ConfigError."""
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
    """Raise ConfigError if the scorer would measure a context of an engine that has arguments.

    The scorer is another program and takes none.
    """
    given = (engine.arguments, *engine.pair_arguments.values())
    for context in engine.contexts if any(one.perplexity for one in given) else ():
        if quality is not None and "scorer" in quality.methods[context]:
            raise ConfigError(
                f"engines.{engine.name}.contexts: the scorer measures context {format_count(context)} and takes no "
                "arguments; leave it out for this engine, or give the arguments to llama-bench alone."
            )


def _check_server(engine: Engine, tasks: Iterable[Task]) -> None:
    """Raise ConfigError if a task would be asked of an engine or with a pair that has arguments.

    Arguments are those of llama-bench and llama-perplexity; the server is another program.
    """
    for task in tasks:
        if not task_pairs(engine, task):
            continue
        given = [engine.arguments, *(engine.pair_arguments.get(pair) for pair in task_pairs(engine, task))]
        if any(one and one.as_dict() for one in given):
            raise ConfigError(
                f"tasks.{task.name}.pairs: {SERVER} of {engine.name} takes no arguments, and this engine or one of "
                "these pairs has some; name pairs without."
            )


def _some_of(
    own: tuple[int, ...] | None, common: tuple[int, ...], where: str, common_key: str
) -> tuple[int, ...]:
    """The lengths of the engine's own list; the common ones where it has none. Raises ConfigError for one that is
    not common."""
    for index, item in enumerate(own or ()):
        if item not in common:
            has = ", ".join(map(format_count, common)) or "none"
            raise ConfigError(
                f"{where}.{index}: {format_count(item)} is not in {common_key}, which has {has}; add it there, "
                f"and give the engines that should leave it out their own {where.rpartition('.')[2]}."
            )
    return common if own is None else own


def check_reference(quality: Quality, engines: Mapping[str, Engine]) -> None:
    """Raise ConfigError unless the engine of ``quality.reference`` writes the log-probabilities that the others need.

    The scorer writes none.
    """
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
