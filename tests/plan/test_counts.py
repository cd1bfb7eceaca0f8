"""Plan, status, and the numbers that a run says count the same, whatever has happened to a results directory."""

from __future__ import annotations

import hashlib
import json
import random
import shlex
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from forget_cells import remove_record
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.engine.identity import engine_identity
from kvsweep.errors import KvsweepError
from kvsweep.files import write_json
from kvsweep.measure.progress import count_done
from kvsweep.plan import last_run
from kvsweep.plan.counts import LAST_RUN, LOGITS, Run
from kvsweep.plan.current import look
from kvsweep.plan.overview import as_text
from kvsweep.plan.plan import Plan, make_plan
from kvsweep.plan.rename import Renaming, rename
from kvsweep.plan.standing import StudyOnDisk
from kvsweep.plan.warnings import warnings
from kvsweep.study.cells import BaselineRun, QualityCell, TaskCell, ThroughputCell
from kvsweep.study.config import Study, parse_study
from make_plan import read_known

PAIRS = ("f16", "q8_0", "q8_0/turbo4")


def configuration(**changes: Any) -> dict[str, Any]:
    """Where ``every_kind`` is asked for also rounds, the scorer and a task."""
    if changes.pop("every_kind", False):
        config = configuration(
            **{key: value for key, value in changes.items() if key not in ("rounds", "items")}
        )
        config["quality"]["method"] = {1024: ["perplexity", "scorer"]}
        config["throughput"]["rounds"] = changes.get("rounds", 2)
        config["tasks"] = {"r": {"kind": "recall", "contexts": [512], "items": changes.get("items", 2)}}
        return config
    asked = {"pairs": 2, "chunks": 8, "repetitions": 2, "cell_hours": 1.0, "skip": True, "knob": 0} | changes
    return {
        "engines": {
            "e": {
                "source": {"pypi": {"package": "llama-cpp-python", "version": "1.0", "sha256": "0" * 64}},
                "backend": "cpu",
                "env": {"TURBO_KNOB": asked["knob"]},
            }
        },
        "models": {"m": {"path": "nowhere.gguf"}},
        "corpora": {"t": {"generate": {"seed": 1, "bytes": "16K"}}},
        "pairs": list(PAIRS[: asked["pairs"]]),
        "quality": {"contexts": [512, 1024], "chunks": asked["chunks"]},
        "throughput": {"depths": [0, 512], "prompt": 64, "generate": 16, "repetitions": asked["repetitions"]},
        "limits": {"cell_hours": asked["cell_hours"], "skip": asked["skip"]},
    }


def record_of(run: Run, study: Study, ended: str) -> dict[str, Any]:
    """run.json of an engine that crashed, was ended at its time limit, or was not started."""
    nothing = hashlib.sha256(b"").hexdigest()
    names = ("bench.jsonl" if isinstance(run, ThroughputCell) else "stdout.log", "stderr.log")
    record = {
        "format": 1,
        "engine": run.engine,
        "engine_definition": engine_identity(study.engines[run.engine]),
        "model": run.model,
        "model_sha256": "1" * 64,
        "build_sha256": "2" * 64,
        "machine": {"name": "a machine"},
        "environment": {},
        "command": [],
        "started_at": "2026-11-25T03:00:00+00:00",
        "wall_seconds": 1.0,
        "peak_rss_bytes": 1,
        "attempts": 1,
        "exit_status": 1,
        "signal": None,
        "killed_for_memory": False,
        "ended_by": "time limit" if ended == "timeout" else None,
        "time_limit_seconds": study.limits.cell_hours * 3600,
        "streams": [
            {"name": name, "size_bytes": 0, "left_out_bytes": 0, "sha256": nothing} for name in names
        ],
    }
    if ended == "skipped":
        record |= {"skipped": "too long", "predicted_seconds": study.limits.cell_hours * 3600 + 1}
    if isinstance(run, ThroughputCell):
        asked = study.throughput
        assert asked is not None
        lengths = {name: getattr(asked, name) for name in ("prompt", "generate", "repetitions")}
        record |= {"kind": "throughput", "depth": run.depth, **lengths}
    elif isinstance(run, TaskCell):
        record |= {"kind": "task", "task": run.task, "definition": study.tasks[run.task].definition}
    else:
        assert study.quality is not None
        record |= {"kind": "quality", "corpus": run.corpus, "n_ctx": run.n_ctx}
        record |= {"chunks": study.quality.chunks[run.n_ctx]}
    if not isinstance(run, BaselineRun):
        record |= {"ctk": run.pair.ctk, "ctv": run.pair.ctv}
    return record


class History:
    """A results directory on which a user works; every look at it counts in all ways."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.config = configuration()

    @property
    def study(self) -> Study:
        return parse_study(self.config)

    def plan(self) -> Plan:
        return make_plan(self.study, read_known(self.study, self.results, self.results))

    def to_do(self) -> list[Run]:
        """Baselines first, as their cells wait for them."""
        stands = self.stands()
        cells = stands.to_do
        asked = [cell.baseline for cell in cells if isinstance(cell, QualityCell) and cell.method != "scorer"]
        baselines = [
            run
            for run in dict.fromkeys(asked)
            if not (stands.of(run).done and (self.results / run.directory / LOGITS).is_file())
        ]
        return [*baselines, *cells]

    def stands(self) -> StudyOnDisk:
        return StudyOnDisk(self.study, self.results, self.results, self.results / "newer.txt")

    def begin(self) -> list[str]:
        """What a run does before its first cell."""
        return last_run.begin(self.stands(), self.config, "", ())

    def measure(self, run: Run, ended: str) -> None:
        directory = self.results / run.directory
        directory.mkdir(parents=True, exist_ok=True)
        # As Snakemake does with the outputs of a job that it starts.
        (directory / "run.json").unlink(missing_ok=True)
        for name in ("bench.jsonl", "stdout.log", "stderr.log"):
            (directory / name).touch()
        if isinstance(run, BaselineRun):
            (directory / LOGITS).touch()
        (directory / "run.json").write_text(json.dumps(record_of(run, self.study, ended)))
        self.agree_within_a_run()

    def agree(self) -> None:
        """The plan, the status at another terminal and the rules' own answer."""
        plan, to_do = self.plan(), self.to_do()
        assert {item.run for item in plan.to_do} == set(to_do)
        said = as_text(plan, [], [], datetime.now(UTC))
        for kind, of_kind in (("throughput", ThroughputCell), ("quality", QualityCell), ("tasks", TaskCell)):
            items = [item for item in plan.cells if isinstance(item.run, of_kind)]
            if kind == "tasks" and not items:
                continue
            done = len([item for item in items if item.run not in to_do])
            assert f"{kind + ':':12} {done} of {len(items)} done" in said
        cells = sum(not isinstance(run, BaselineRun) for run in to_do)
        assert (f"left:        {cells} cell" in said) == (cells > 0)

    def agree_within_a_run(self) -> None:
        self.agree()
        cells = self.plan().cells
        done = sum(item.done for item in cells)
        assert count_done(self.results) == (done, len(cells))
        status = last_run.last_configuration(self.results)
        assert parse_study(status) == self.study


STEPS = st.one_of(
    st.tuples(
        st.just("run"), st.integers(0, 20), st.sampled_from(["crashed", "crashed", "timeout", "skipped"])
    ),
    st.tuples(st.just("forget"), st.integers(0, 3), st.integers(0, 99)),
    st.tuples(st.just("damage"), st.sampled_from(["", "[1]", '{"engine": "e"', "{}"]), st.integers(0, 99)),
    st.tuples(st.just("no logits"), st.integers(0, 1), st.just(0)),
    st.tuples(
        st.just("configure"),
        st.sampled_from(
            [
                {"pairs": 1},
                {"pairs": 3},
                {"chunks": 9},
                {"repetitions": 3},
                {"cell_hours": 0.5},
                {"cell_hours": 24.0},
                {"skip": False},
                {"knob": 1},
                {"rounds": 1},
                {"rounds": 3},
                {"items": 3},
                {},
            ]
        ),
        st.just(0),
    ),
)


@given(st.lists(STEPS, min_size=1, max_size=6))
def test_all_count_the_same_over_any_history(steps: list[tuple[str, Any, Any]]) -> None:
    with ExitStack() as stack:
        history = History(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        history.config = configuration(every_kind=True)
        history.agree()
        for what, how, more in steps:
            records = sorted(history.results.rglob("run.json"))
            match what:
                case "run":
                    history.begin()
                    history.agree_within_a_run()
                    for run in history.to_do()[:how]:  # and then it is killed
                        history.measure(run, more)
                case "configure":
                    history.config = configuration(every_kind=True, **how)
                case "forget":
                    of_cells = [path for path in records if "baseline" not in path.parts]
                    for path in random.Random(more).sample(of_cells, min(how, len(of_cells))):
                        remove_record(path.parent, history.results)
                case "damage" if records:
                    records[more % len(records)].write_text(how)
                case "no logits":
                    for path in sorted(history.results.rglob(LOGITS))[how : how + 1]:
                        path.unlink()
            history.agree()


def test_time_outs_stay_done_where_the_limit_is_below_the_default(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.config = configuration(cell_hours=0.5)
    history.begin()
    for run in history.to_do():
        history.measure(run, "timeout")
    said = as_text(
        make_plan(
            parse_study(last_run.last_configuration(tmp_path)), read_known(history.study, tmp_path, tmp_path)
        ),
        [],
        [],
        datetime.now(UTC),
    )
    assert "throughput:  4 of 4 done (4 timeout)" in said and "left:        nothing" in said


def test_cells_that_are_measured_again_count_from_none(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.begin()
    for run in history.to_do():
        history.measure(run, "crashed")
    assert count_done(tmp_path) == (8, 8)
    history.config = configuration(chunks=9)
    history.begin()
    assert count_done(tmp_path) == (4, 8)
    first = next(run for run in history.to_do() if not isinstance(run, BaselineRun))
    assert count_done(tmp_path, besides=str(first.directory)) == (5, 8)


def test_a_baseline_is_to_do_only_for_a_cell_that_is(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.begin()
    for run in history.to_do():
        history.measure(run, "crashed")
    for path in tmp_path.glob(f"baseline/**/{LOGITS}"):
        path.unlink()
    assert history.to_do() == []
    history.config = configuration(pairs=3)
    baselines = [item for item in history.plan().to_do if isinstance(item.run, BaselineRun)]
    assert [item.reason for item in baselines] == ["its log-probabilities are gone"] * 2


# -- what a run says of what is there --------------------------------------------------------------------------------


def notes(history: History) -> list[str]:
    return history.begin()


def test_a_run_says_that_the_results_are_of_another_configuration(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert notes(history) == []
    for run in history.to_do():
        history.measure(run, "crashed")
    assert notes(history) == []
    history.config = configuration(pairs=3)  # more of the same
    assert notes(history) == []
    history.config = configuration(pairs=1)
    history.config["models"] = {"other": {"path": "other.gguf"}}
    (said,) = notes(history)
    assert said.startswith(
        f"note: {tmp_path} was last used with another configuration; 8 measured cells of it (e, m) "
    )
    assert "will not be in the new report" in said and "STUDY=directory" in said
    assert notes(history) == []  # once


def test_a_run_stops_where_only_a_name_is_another_one(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.begin()
    for run in history.to_do():
        history.measure(run, "crashed")
    config = history.config
    for section, old, new in (("models", "m", "new"), ("engines", "e", "e2"), ("corpora", "t", "text")):
        history.config = {**config, section: {new: config[section][old]}}
        with pytest.raises(KvsweepError) as raised:
            notes(history)
        kind = {"models": "MODEL", "engines": "ENGINE", "corpora": "CORPUS"}[section]
        assert str(raised.value) == (
            f"{old!r} is called {new!r} in this configuration; make rename {kind}={shlex.quote(f'{old}:{new}')} "
            "keeps what was measured. Nothing was measured."
        )
        rename(Renaming(kind, old, new), tmp_path)
        assert history.to_do() == [] and notes(history) == []
        rename(Renaming(kind, new, old), tmp_path)
    # Where nothing of the old name is left there is nothing to keep.
    for path in tmp_path.rglob("run.json"):
        path.unlink()
    history.config = {**config, "models": {"new": config["models"]["m"]}}
    assert notes(history) == []


def measured_of(history: History, section: str, name: str, text: str) -> None:
    """A file of the user's, what the workflow wrote of it, and the record of every cell."""
    path = history.results / f"{name}.file"
    path.write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    kind = {"models": "model", "corpora": "corpus"}[section]
    write_json(
        history.results / section / name / f"{kind}.json",
        {
            kind: name,
            "source": {"path": str(path)},
            "path": str(path),
            "size_bytes": len(text),
            "sha256": digest,
        },
    )
    history.config[section] = {name: {"path": str(path)}}
    for run in history.to_do():
        record = record_of(run, history.study, "crashed") | {f"{kind}_sha256": digest}
        write_json(history.results / run.directory / "run.json", record)
        (history.results / run.directory / LOGITS).touch()


@pytest.mark.parametrize(("section", "old", "new"), [("models", "m", "new"), ("corpora", "t", "text")])
def test_a_moved_file_under_another_name_is_known_by_its_content(
    tmp_path: Path, section: str, old: str, new: str
) -> None:
    history = History(tmp_path)
    measured_of(history, section, old, "the same")
    (tmp_path / f"{old}.file").rename(tmp_path / "moved")
    history.config[section] = {new: {"path": str(tmp_path / "moved")}}
    kind, cells = {"models": ("MODEL", 8), "corpora": ("CORPUS", 4)}[section]
    said = (
        f"{new!r} has the same content as {old!r}, with {cells} cells measured here; "
        f"make rename {kind}={old}:{new} keeps them"
    )
    with pytest.raises(KvsweepError) as raised:
        notes(history)
    assert str(raised.value) == f"{said}. Nothing was measured."
    now = look(history.study, tmp_path, tmp_path)
    assert last_run.of_another_study(history.study, tmp_path, now)[0] == f"note: {said}"
    rename(Renaming(kind, old, new), tmp_path)
    assert history.to_do() == [] and notes(history) == []


def test_what_is_known_by_its_place_and_by_its_content_is_said_once(tmp_path: Path) -> None:
    history = History(tmp_path)
    measured_of(history, "models", "m", "the same")
    history.begin()
    history.config["models"] = {"new": history.config["models"]["m"]}
    (said,) = last_run.of_another_study(history.study, tmp_path, look(history.study, tmp_path, tmp_path))
    assert said.startswith("note: 'm' is called 'new' in this configuration; make rename MODEL=m:new keeps ")


def test_a_file_of_the_same_size_is_another_one_and_two_names_with_results_stay_apart(tmp_path: Path) -> None:
    history = History(tmp_path)
    measured_of(history, "models", "m", "the same")
    (tmp_path / "other").write_text("another.")
    history.config["models"] = {"new": {"path": str(tmp_path / "other")}}
    assert notes(history) == []
    assert not (tmp_path / "models" / "new").exists()  # which would have the name that a renaming gives
    measured_of(history, "models", "new", "the same")
    (said,) = notes(history)
    assert said.startswith("note: 'new' has the same content as 'm', with 8 cells measured here; both ")


def test_a_run_says_that_the_machine_has_another_name(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.config["machine"] = "old"
    assert notes(history) == []
    history.config["machine"] = "my new one"
    (said,) = notes(history)
    assert "make rename MACHINE='old:my new one' gives its rows the new name" in said


def test_the_plan_says_what_is_the_same_under_two_names(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.config["models"]["again"] = history.config["models"]["m"]
    history.config["engines"]["other"] = {**history.config["engines"]["e"], "pairs": ["f16"]}
    history.config["corpora"]["text"] = history.config["corpora"]["t"]
    said = [line for line in warnings(history.plan()) if line.startswith("twice: ")]
    assert [line.split(" are ")[0] for line in said] == [
        "twice: engines.e and engines.other",
        "twice: models.m and models.again",
        "twice: corpora.t and corpora.text",
    ]


def test_a_run_says_what_it_will_measure_again(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.begin()
    for run in history.to_do():
        history.measure(run, "crashed")
    history.config = configuration(chunks=9)
    assert notes(history) == ["note: 4 finished cells will be measured again: chunks 8 -> 9"]


@pytest.mark.parametrize("there", ["", "{", "[]", '{"configuration": {"engines": 3}}'])
def test_a_damaged_note_of_the_last_run_stops_nothing(tmp_path: Path, there: str) -> None:
    (tmp_path / LAST_RUN).write_text(there)
    assert notes(History(tmp_path)) == []
