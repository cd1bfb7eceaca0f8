"""The configuration: checked once, then a value that the rest of kvsweep can rely on.

Everything that can be wrong with a configuration is found here, before anything runs, and said in one sentence that
names the key.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from kvsweep.errors import KvsweepError
from kvsweep.study.origin import HubFile, Origin
from kvsweep.study.pairs import BASELINE_PAIR, KNOWN_TYPES, Pair
from kvsweep.units import format_count, parse_bytes, parse_count

SCHEMA_FILE = Path(__file__).parents[3] / "schemas" / "config.schema.yaml"
WORKLOADS_FILE = Path(__file__).parents[4] / "resources" / "workloads.yaml"
# What machines and cards come with.
DEFAULT_MEMORIES = ("8G", "12G", "16G", "24G", "32G", "48G", "64G", "96G", "128G")
SOURCE_KINDS = ("git", "pypi", "path")
ORIGIN_KINDS = ("path", "url", "huggingface")


class ConfigError(KvsweepError):
    """The configuration is wrong; the message names the key, what was found and what to do."""


# Keys of an engine that say what to run with it, and nothing of what it is.
_SELECTION = ("pairs", "contexts", "depths", "nodes")


@dataclass(frozen=True)
class Nodes:
    """The nodes of a cluster for one engine, all of one kind.

    ``cores`` of a node, which ``share`` untimed cells use side by side; a timed cell has all of them.
    """

    cores: int
    share: int = 1
    machine: str | None = None
    partition: str | None = None
    constraint: str | None = None
    gres: str | None = None

    @property
    def untimed_cores(self) -> int:
        return max(self.cores // self.share, 1)


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
    """``chunks`` windows are scored at each context of ``contexts`` (tokens)."""

    chunks: dict[int, int]

    @property
    def contexts(self) -> tuple[int, ...]:
        return tuple(self.chunks)


@dataclass(frozen=True)
class Throughput:
    """Depths, prompt and generation lengths in tokens."""

    depths: tuple[int, ...]
    prompt: int
    generate: int
    repetitions: int


@dataclass(frozen=True)
class Limits:
    cell_hours: float
    skip: bool
    log_mebibytes: float


@dataclass(frozen=True)
class Workload:
    """What somebody does with a model; tokens, bytes and nats. ``goal`` is seconds (of a request) or context."""

    name: str
    title: str
    goal: str
    depth: int
    prompt_tokens: int
    generated_tokens: int
    memory_bytes: int | None
    highest_kld: float | None


@dataclass(frozen=True)
class Analysis:
    """What the tables of answers are asked for: a depth in tokens (None: chosen from what was measured), bytes."""

    pareto_depth: int | None
    memories: tuple[int, ...]


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
    slices: dict[str, str]
    workloads: dict[str, Workload]
    analysis: Analysis


def parse_study(config: Mapping[str, Any]) -> Study:
    """The study that a configuration describes. Raises ConfigError with one sentence on the first thing wrong."""
    _check_shape(config)
    models = {name: _model(name, m, f"models.{name}") for name, m in config["models"].items()}
    corpora = {name: _corpus(name, c, f"corpora.{name}") for name, c in config.get("corpora", {}).items()}
    quality = _quality(config.get("quality"), corpora)
    throughput = _throughput(config.get("throughput"))
    common = _Common(
        _pairs(config["pairs"], "pairs"),
        () if quality is None else quality.contexts,
        () if throughput is None else throughput.depths,
    )
    engines = {
        name: _engine(name, value, common, f"engines.{name}") for name, value in config["engines"].items()
    }
    limits = config.get("limits", {})
    return Study(
        machine=config.get("machine"),
        engines=engines,
        models=models,
        corpora=corpora,
        quality=quality,
        throughput=throughput,
        limits=Limits(
            cell_hours=_finite(limits.get("cell_hours", 12), "limits.cell_hours"),
            skip=limits.get("skip", True),
            log_mebibytes=_finite(limits.get("log_mebibytes", 64), "limits.log_mebibytes"),
        ),
        slices=dict(config.get("slices", {})),
        workloads=parse_workloads(config.get("workloads")),
        analysis=parse_analysis(config.get("analysis")),
    )


def parse_workloads(value: Mapping[str, Any] | None) -> dict[str, Workload]:
    """The configuration's workloads, or the ones that ship with kvsweep where it names none."""
    if value is None:
        value = yaml.safe_load(WORKLOADS_FILE.read_text(encoding="utf-8"))
    return {name: _workload(name, item, f"workloads.{name}") for name, item in value.items()}


def _workload(name: str, value: Mapping[str, Any], where: str) -> Workload:
    memory, kld = value.get("memory"), value.get("highest_kld")
    tokens = {
        key: _tokens(value[key], f"{where}.{key}") for key in ("depth", "prompt_tokens", "generated_tokens")
    }
    if not tokens["prompt_tokens"] + tokens["generated_tokens"]:
        raise ConfigError(f"{where}: a request without prompt_tokens and generated_tokens takes no time.")
    return Workload(
        name=name,
        title=value.get("title", name),
        goal=value.get("goal", "seconds"),
        **tokens,
        memory_bytes=None if memory is None else _bytes(memory, f"{where}.memory"),
        highest_kld=None if kld is None else _finite(kld, f"{where}.highest_kld"),
    )


def parse_analysis(value: Mapping[str, Any] | None) -> Analysis:
    value = value or {}
    depth = value.get("pareto_depth")
    memories = value.get("memories", DEFAULT_MEMORIES)
    return Analysis(
        pareto_depth=None if depth is None else _tokens(depth, "analysis.pareto_depth"),
        memories=tuple(_bytes(item, f"analysis.memories.{i}") for i, item in enumerate(memories)),
    )


def _bytes(value: str, where: str) -> int:
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}.") from None


def what_is_measured(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what does not change what a table says of a finished cell.

    That is where a cell runs and how long it may, what is asked of the tables, and what others measured.
    """
    return {
        **{
            key: value
            for key, value in config.items()
            if key not in ("machine", "limits", "slices", "workloads", "analysis")
        },
        "engines": {
            name: {key: value for key, value in engine.items() if key != "nodes"}
            for name, engine in config["engines"].items()
        },
    }


def engine_definition(value: Mapping[str, Any]) -> str:
    """What makes an engine the engine it is, as JSON: its part of the configuration without what to run with it."""
    return json.dumps({key: item for key, item in value.items() if key not in _SELECTION}, sort_keys=True)


def parse_engine(name: str, definition: str) -> Engine:
    """The engine that ``engine_definition`` wrote down."""
    return _engine(name, json.loads(definition), _Common(), f"engines.{name}")


def check_engine_accepts(engine: str, accepted: Iterable[str], pairs: Iterable[Pair]) -> None:
    """Raise ConfigError if a pair needs a cache type that the built engine's own help does not list."""
    known = tuple(accepted)
    for pair in pairs:
        for cache_type in (pair.ctk, pair.ctv):
            if cache_type not in known:
                raise ConfigError(
                    f"pairs: engine {engine!r} does not know the cache type {cache_type!r} of {str(pair)!r}; "
                    f"it accepts {', '.join(known)}. Remove the pair, or give this engine its own list under "
                    f"engines.{engine}.pairs."
                )


# -- shape ------------------------------------------------------------------------------------------------------------


@cache
def _validator() -> Any:
    # To JSON Schema 70.0 is a whole number; to the programs that get it on their command line it is none.
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    strict = validators.extend(Draft202012Validator, type_checker=types)
    return strict(yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8")))


def _check_shape(config: Mapping[str, Any]) -> None:
    errors = sorted(_validator().iter_errors(config), key=lambda error: [str(p) for p in error.absolute_path])
    if errors:
        raise ConfigError(_sentence(errors[0]))


def _sentence(error: ValidationError) -> str:
    """What is wrong, where, and the nearest thing that would be right."""
    if error.validator == "oneOf" and error.context:
        # The alternative that got furthest says most about what was meant.
        error = max(error.context, key=lambda e: len(e.absolute_path))
    path = ".".join(str(part) for part in error.absolute_path)
    where = path or "the configuration"
    schema = error.schema if isinstance(error.schema, dict) else {}
    if error.validator == "additionalProperties":
        valid = list(schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in valid)
        key = f"{path}.{unknown}" if path else str(unknown)
        return f"{key}: unknown key; {_nearest(str(unknown), valid)}."
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{where}: the key {missing!r} is missing."
    found = _shown(error.instance)
    if error.validator == "enum":
        return f"{where}: {found} is not known; {_nearest(str(error.instance), error.validator_value)}."
    if error.validator == "type":
        wanted = error.validator_value
        wanted = " or ".join([wanted] if isinstance(wanted, str) else wanted)
        hint = "; put it in quotes" if wanted == "string" and not isinstance(error.instance, _NO_TEXT) else ""
        return f"{where}: expected {_WORDS.get(wanted, wanted)}, found {found}{hint}."
    if error.validator in ("minimum", "exclusiveMinimum"):
        relation = "at least" if error.validator == "minimum" else "more than"
        return f"{where}: must be {relation} {error.validator_value}, found {found}."
    if error.validator in ("minItems", "minProperties"):
        return f"{where}: is empty; name at least one."
    if error.validator == "minLength":
        return f"{where}: is empty; write a value."
    if error.validator == "pattern":
        return f"{where}: {found} is not valid here; write {schema.get('$comment', error.validator_value)}."
    return f"{where}: {error.message}."


_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "a mapping (key: value)",
    "array": "a list",
    "integer or string": "a number of tokens such as 8192 or 8K",
    "string or integer or boolean": "text, a whole number, true or false",
    "string or integer": "text or a whole number",
}
_NO_TEXT = (dict, list, type(None))


def _shown(value: object) -> str:
    """What was found, short enough for a sentence."""
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nearest(found: str, valid: Iterable[str]) -> str:
    names = [str(name) for name in valid]
    close = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
    if close:
        return f"the nearest valid one is {close[0]!r}"
    return f"valid here: {', '.join(names)}"


# -- meaning ----------------------------------------------------------------------------------------------------------


def _pairs(texts: Iterable[str], where: str) -> tuple[Pair, ...]:
    pairs: dict[Pair, None] = {}
    for index, text in enumerate(texts):
        try:
            pair = Pair.parse(text)
        except ValueError as error:
            raise ConfigError(f"{where}.{index}: {error}.") from None
        for cache_type in (pair.ctk, pair.ctv):
            if cache_type not in KNOWN_TYPES:
                raise ConfigError(
                    f"{where}.{index}: {cache_type!r} in {text!r} is not a cache type; "
                    f"{_nearest(cache_type, KNOWN_TYPES)}."
                )
        pairs[pair] = None
    return tuple(pairs)


def _tokens(value: int | str, where: str) -> int:
    try:
        return parse_count(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}.") from None


def _finite(value: float, where: str) -> float:
    if not abs(value) < 1e12:  # also not nan
        raise ConfigError(f"{where}: {value} is no limit; write an ordinary number.")
    return float(value)


@dataclass(frozen=True)
class _Common:
    """What runs with every engine that has no list of its own."""

    pairs: tuple[Pair, ...] = ()
    contexts: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()


def _engine(name: str, value: Mapping[str, Any], common: _Common, where: str) -> Engine:
    kinds = [kind for kind in SOURCE_KINDS if kind in value["source"]]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise ConfigError(f"{where}.source: give exactly one of {', '.join(SOURCE_KINDS)}; found {found}.")
    kind = kinds[0]
    source = value["source"][kind]
    source = {"path": source} if kind == "path" else {key: str(item) for key, item in source.items()}
    if kind == "git" and not re.fullmatch(r"[0-9a-f]{40}", source["commit"]):
        raise ConfigError(
            f"{where}.source.git.commit: {source['commit']!r} is not a full commit; write all 40 hexadecimal digits, "
            "because a branch or a short commit can mean another source tomorrow."
        )
    return Engine(
        name=name,
        source_kind=kind,
        source=source,
        backend=value.get("backend", "auto"),
        cmake={key: _cmake_value(item) for key, item in value.get("cmake", {}).items()},
        env={key: str(item) for key, item in value.get("env", {}).items()},
        programs=tuple(dict.fromkeys((*value.get("programs", ()), "llama-bench", "llama-perplexity"))),
        pairs=common.pairs if "pairs" not in value else _pairs(value["pairs"], f"{where}.pairs"),
        contexts=_some_of(value, "contexts", common.contexts, "quality.contexts", where),
        depths=_some_of(value, "depths", common.depths, "throughput.depths", where),
        nodes=Nodes(**value["nodes"]) if "nodes" in value else None,
    )


def _some_of(
    value: Mapping[str, Any], key: str, common: tuple[int, ...], common_key: str, where: str
) -> tuple[int, ...]:
    """The common lengths, or those of them that the engine's own list names."""
    if key not in value:
        return common
    own = [_tokens(item, f"{where}.{key}.{i}") for i, item in enumerate(value[key])]
    for index, item in enumerate(own):
        if item not in common:
            has = ", ".join(map(format_count, common)) or "none"
            raise ConfigError(
                f"{where}.{key}.{index}: {format_count(item)} is not in {common_key}, which has {has}; add it there, "
                f"and give the engines that should leave it out their own {key}."
            )
    return tuple(dict.fromkeys(own))


def _cmake_value(value: object) -> str:
    return {True: "ON", False: "OFF"}[value] if isinstance(value, bool) else str(value)


def _model(name: str, value: Mapping[str, Any], where: str) -> Model:
    _exactly_one(value, ORIGIN_KINDS, where)
    origin = _origin(value, where)
    try:
        origin.parts()
    except ValueError as error:
        raise ConfigError(f"{where}.{origin.kind}: {error}.") from None
    return Model(name, origin, value.get("sha256"))


def _corpus(name: str, value: Mapping[str, Any], where: str) -> Corpus:
    kind = _exactly_one(value, (*ORIGIN_KINDS, "generate"), where)
    member, archive_sha256 = value.get("member"), value.get("archive_sha256")
    if archive_sha256 is not None and member is None:
        raise ConfigError(
            f"{where}.archive_sha256: there is no archive without a member; name the text in it, or write sha256."
        )
    if member is not None and (member.startswith("/") or ".." in PurePosixPath(member).parts):
        raise ConfigError(
            f"{where}.member: {_shown(member)} leads out of the archive; write a path inside it."
        )
    if kind != "generate":
        origin = _origin(value, where)
        return Corpus(name, origin, member, value.get("sha256"), archive_sha256, None, None)
    if member is not None:
        raise ConfigError(f"{where}.member: a generated text is in no archive; remove one of the two keys.")
    generate = value["generate"]
    n_bytes = _tokens(generate["bytes"], f"{where}.generate.bytes")
    return Corpus(name, None, None, value.get("sha256"), None, generate["seed"], n_bytes)


def _exactly_one(value: Mapping[str, Any], kinds: tuple[str, ...], where: str) -> str:
    found = [kind for kind in kinds if kind in value]
    if len(found) != 1:
        raise ConfigError(
            f"{where}: give exactly one of {', '.join(kinds)}; found {' and '.join(found) or 'none'}."
        )
    return found[0]


def _origin(value: Mapping[str, Any], where: str) -> Origin:
    """Where a model, a text or an archive comes from. Messages about addresses do not repeat them: they may hold a
    password."""
    if "path" in value:
        return Origin(path=value["path"])
    if "url" in value:
        try:
            address = urlsplit(value["url"])
            user = address.username or address.password
        except ValueError as error:
            raise ConfigError(f"{where}.url: not a valid address ({error}).") from None
        if user:
            raise ConfigError(
                f"{where}.url: user name and password would end up in the results; write them into ~/.netrc instead."
            )
        return Origin(url=value["url"])
    hub = value["huggingface"]
    file = HubFile(hub["repo"], hub["revision"], hub["file"], hub.get("type", "model"))
    if "type" not in hub and where.startswith("corpora."):
        file = dataclasses.replace(file, type="dataset")
    if not re.fullmatch(r"[0-9a-f]{40}", file.revision):
        raise ConfigError(
            f"{where}.huggingface.revision: {_shown(file.revision)} is not a full commit; write all 40 hexadecimal "
            "digits, because a branch or a tag can mean another file tomorrow."
        )
    if file.file.startswith("/") or ".." in PurePosixPath(file.file).parts or file.file.endswith("/"):
        raise ConfigError(
            f"{where}.huggingface.file: {_shown(file.file)} is no file of a repository; write its path inside it."
        )
    return Origin(huggingface=file)


def _quality(value: Mapping[str, Any] | None, corpora: Mapping[str, Corpus]) -> Quality | None:
    if value is None or not value["contexts"]:
        return None
    contexts = [_tokens(item, f"quality.contexts.{i}") for i, item in enumerate(value["contexts"])]
    if not corpora:
        raise ConfigError("corpora: quality.contexts needs a text to score; name at least one corpus.")
    chunks = value["chunks"]
    if isinstance(chunks, Mapping):
        by_context = {}
        for key, number in chunks.items():
            context = _tokens(_as_written(key), f"quality.chunks.{key}")
            if context in by_context:
                raise ConfigError(f"quality.chunks.{key}: the context {context} is named twice.")
            by_context[context] = number
        missing = [context for context in contexts if context not in by_context]
        if missing:
            raise ConfigError(
                f"quality.chunks: no number of windows for context {missing[0]}; "
                "add it, or give one number for all contexts."
            )
        unused = [context for context in by_context if context not in contexts]
        if unused:
            names = ", ".join(format_count(context) for context in contexts)
            raise ConfigError(
                f"quality.chunks.{unused[0]}: no such context in quality.contexts, which has {names}."
            )
    else:
        by_context = dict.fromkeys(contexts, chunks)
    for index, context in enumerate(contexts):
        # Below this a window has no scored token, or too few for the tool's closing statistics.
        if context < 16:
            raise ConfigError(f"quality.contexts.{index}: {context} is too short; use at least 16 tokens.")
        scored = by_context[context] * (context - 1 - context // 2)
        if scored < 100:
            raise ConfigError(
                f"quality.chunks: {by_context[context]} windows at context {context} score {scored} tokens; "
                "llama-perplexity prints its statistics from 100 scored tokens up."
            )
    for corpus in corpora.values():
        # llama-perplexity wants two windows even where one is scored.
        needed = max(context * max(by_context[context], 2) for context in contexts)
        if corpus.n_bytes is not None and corpus.n_bytes < needed:
            raise ConfigError(
                f"corpora.{corpus.name}.generate.bytes: {corpus.n_bytes} is too short for quality.contexts and "
                f"quality.chunks, which need {needed} (one token a byte)."
            )
    return Quality({context: by_context[context] for context in contexts})


def _as_written(key: object) -> int | str:
    return key if isinstance(key, int) else str(key)


def _throughput(value: Mapping[str, Any] | None) -> Throughput | None:
    if value is None or not value["depths"]:
        return None
    depths = [_tokens(item, f"throughput.depths.{i}") for i, item in enumerate(value["depths"])]
    return Throughput(
        depths=tuple(dict.fromkeys(depths)),
        prompt=value.get("prompt", 512),
        generate=value.get("generate", 128),
        repetitions=value.get("repetitions", 5),
    )


def quality_pairs(engine: Engine) -> tuple[Pair, ...]:
    """The engine's pairs with the control, f16/f16 against its own baseline, always among them."""
    return tuple(dict.fromkeys((BASELINE_PAIR, *engine.pairs)))
