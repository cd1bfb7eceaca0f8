"""Another name keeps what was measured, however often the renaming is interrupted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.files import sha256, write_json
from kvsweep.plan import rename as module
from kvsweep.plan.rename import JOURNAL, check_finished, parse_renaming, rename
from support import run_in_this_process

CELLS = {
    "baseline/e/m/t/c512": {"kind": "baseline", "corpus": "t"},
    "quality/e/m/t/c512/k-f16/v-f16": {"kind": "quality", "corpus": "t"},
    "quality/e/m/t/c512/k-f16/v-f16/.finished": {"kind": "quality", "corpus": "t"},
    "quality/e/m/other/c512/k-f16/v-f16": {"kind": "quality", "corpus": "other"},
    "throughput/e/m/d0/k-f16/v-f16": {"kind": "throughput"},
    "throughput/e/m2/d0/k-f16/v-f16": {"kind": "throughput"},
    "throughput/e2/m/d0/k-f16/v-f16": {"kind": "throughput"},
    "throughput/e/t/d0/k-f16/v-f16": {"kind": "throughput"},  # a model with the text's name
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    results = (tmp_path / "results").resolve()
    for engine in ("e", "e2"):
        directory = results / "engines" / engine
        write_json(directory / "build.json", {"engine": engine, "directory": str(directory / "bin")})
        (directory / "pairs.checked").touch()
    for model in ("m", "m2", "t"):
        directory = results / "models" / model
        part = {"path": str(directory / "fetched" / "m.gguf"), "sha256": "1"}
        write_json(directory / "model.json", {"model": model, **part, "parts": [part]})
    for corpus in ("t", "other"):
        directory = results / "corpora" / corpus
        write_json(directory / "corpus.json", {"corpus": corpus, "path": str(directory / "text.txt")})
    for place, values in CELLS.items():
        _, engine, model, *_ = place.split("/")
        record = {
            **values,
            "engine": engine,
            "model": model,
            "build_sha256": sha256(results / "engines" / engine / "build.json"),
            "machine": {"name": "mine" if engine == "e" else "another", "cpu": "a"},
        }
        write_json(results / place / "run.json", record)
    configuration = {
        "machine": "mine",
        "engines": {"e": {}, "e2": {}},
        "models": {"m": {"path": "m.gguf"}, "m2": {}},
        "corpora": {"t": {}, "other": {}},
    }
    write_json(results / "last-run.json", {"format": 1, "configuration": configuration})
    return results


def tree(results: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(results)): json.loads(path.read_text()) if path.suffix == ".json" else None
        for path in sorted(results.rglob("*"))
        if path.is_file()
    }


EVERY = ["MODEL=m:new", "ENGINE=e:new", "CORPUS=t:new", "MACHINE=mine:new"]


def asked(text: str) -> module.Renaming:
    name, _, value = text.partition("=")
    return parse_renaming({name: value})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("MACHINE=mine:zero\u200bwidth", "MACHINE: 'zero\\u200bwidth' has characters that cannot be shown"),
        ("MACHINE=mine:bell\a", "MACHINE: 'bell\\x07' has the control character"),
        ("MODEL=m:two words", "MODEL: 'two words' is not valid here"),
    ],
)
def test_a_new_name_that_nobody_can_read_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(KvsweepError) as caught:
        asked(text)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "moved", "count"),
    [
        ("MODEL=m:new", lambda parts: parts[2:3] == ["m"], 5),
        ("ENGINE=e:new", lambda parts: parts[1:2] == ["e"], 6),
        ("CORPUS=t:new", lambda parts: parts[0] in ("baseline", "quality") and parts[3:4] == ["t"], 2),
        ("MACHINE=mine:new", lambda _: False, 6),
    ],
)
def test_a_name_is_changed_wherever_it_stands(results: Path, text: str, moved: Any, count: int) -> None:
    before, what = tree(results), asked(text)
    assert rename(what, results) == count
    after = tree(results)
    assert len(after) == len(before)
    key = what.kind.lower()
    for place in CELLS:
        parts = place.split("/")
        level = {"ENGINE": 1, "MODEL": 2, "CORPUS": 3, "MACHINE": 0}[what.kind]
        new = [*parts[:level], "new", *parts[level + 1 :]] if moved(parts) else parts
        record, old = after["/".join(new) + "/run.json"], before[f"{place}/run.json"]
        if what.kind == "MACHINE":
            assert record["machine"]["name"] == ("new" if parts[1] == "e" else "another")
        elif moved(parts):
            assert (record[key], old[key]) == ("new", what.old)
            assert {k for k in record if record[k] != old[k]} <= {key, "build_sha256"}
            # By this a new cell finds what predicts its time.
            build = results / "engines" / record["engine"] / "build.json"
            assert record["build_sha256"] == sha256(build)
        else:
            assert record == old
    if what.kind != "MACHINE":
        section, name = {
            "ENGINE": ("engines", "build"), "MODEL": ("models", "model"), "CORPUS": ("corpora", "corpus"),
        }[what.kind]  # fmt: skip
        manifest = after[f"{section}/new/{name}.json"]
        assert manifest[key] == "new" and f"/{section}/{what.old}" not in json.dumps(manifest)
        assert f"/{section}/new/" in json.dumps(manifest)
        assert next(iter(after["last-run.json"]["configuration"][section])) == "new"
    else:
        assert after["last-run.json"]["configuration"]["machine"] == "new"


def test_an_engine_whose_f16_others_are_compared_with(results: Path) -> None:
    place = results / "quality/e2/m/other/c512/against-e/k-f16/v-f16"
    record = {
        "kind": "quality",
        "engine": "e2",
        "corpus": "other",
        "reference": {"engine": "e", "engine_files": {}},
    }
    write_json(place / "run.json", record)
    last = json.loads((results / "last-run.json").read_text())
    last["configuration"]["quality"] = {"reference": "e"}
    write_json(results / "last-run.json", last)
    rename(asked("ENGINE=e:new"), results)
    after = tree(results)
    moved = after["quality/e2/m/other/c512/against-new/k-f16/v-f16/run.json"]
    assert moved == {**record, "reference": {"engine": "new", "engine_files": {}}}
    assert not any("against-e/" in path for path in after)
    assert after["last-run.json"]["configuration"]["quality"] == {"reference": "new"}


class Killed(BaseException):
    """As by kill -9, between two steps."""


@pytest.mark.parametrize("text", EVERY)
def test_an_interrupted_renaming_is_finished_by_the_same_command(
    results: Path, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(results, tmp_path / "kept")
    rename(asked(text), results)
    expected = tree(results)
    steps = 0
    while True:
        shutil.rmtree(results)
        shutil.copytree(tmp_path / "kept", results)
        left = [steps]

        def step(real: Any, left: list[int] = left) -> Any:
            def counted(*arguments: Any, **options: Any) -> Any:
                if not left[0]:
                    raise Killed
                left[0] -= 1
                return real(*arguments, **options)

            return counted

        with monkeypatch.context() as patch:
            patch.setattr(module, "write_json", step(write_json))
            patch.setattr(Path, "rename", step(Path.rename))
            patch.setattr(Path, "unlink", step(Path.unlink))
            try:
                rename(asked(text), results)
                break
            except Killed:
                pass
        if (results / JOURNAL).exists():
            with pytest.raises(KvsweepError, match="a renaming was interrupted; make rename "):
                check_finished(results)
            with pytest.raises(KvsweepError, match="another renaming was interrupted"):
                rename(asked("MODEL=m2:m3"), results)
        rename(asked(text), results)
        assert tree(results) == expected, f"killed after {steps} steps"
        check_finished(results)
        steps += 1
    assert steps > 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MODEL=x:y", "MODEL: there is nothing of 'x' here; known here: m, m2, t."),
        ("MODEL=m:m2", "MODEL: 'm2' is there already"),
        ("MODEL=m", "write the old name, a colon and another, new name"),
        ("MODEL=m:m", "write the old name, a colon and another, new name"),
        ("MODEL=m:../x", "MODEL: '../x' is not valid here; write letters"),
        ("MODEL=m:CON", "MODEL: 'CON' is no name of a directory on Windows"),
        ("MODEL=m:-x", "MODEL: '-x' is not valid here; write letters"),
        ("MODEL=m:\x1b[31m", " is not valid here; write letters"),
        ("MACHINE=mine:\x1b[31m", "has the control character"),
        ("MACHINE=mine:\u2066x", "has "),
        ("MACHINE=x:y", "no cell was measured on a machine called 'x'; known here: another, mine."),
        ("DEPTH=1:2", "say what to rename, with one of ENGINE=old:new"),
    ],
)
def test_what_cannot_be_renamed_changes_nothing(results: Path, text: str, said: str) -> None:
    before = tree(results)
    done = run_in_this_process("rename_results", ["--results", results, text])
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert tree(results) == before


def test_nothing_is_renamed_under_a_run(results: Path) -> None:
    lock = results.parent / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    done = run_in_this_process("rename_results", ["--results", results, "MODEL=m:new"])
    assert done.returncode == 1 and "a run is under way here" in done.stderr
    lock.unlink()
    done = run_in_this_process("rename_results", ["--results", results, "MODEL=m:new", "STUDY=x"])
    assert done.returncode == 0 and "5 records of 'm' are now of 'new'" in done.stderr
    assert "in the configuration too (models)" in done.stderr


BROKEN = {"cut": b'{"kind": "qua', "a list": b"[]", "empty": b"", "no text": b"\xff\xfe"}
READ = [
    "quality/e/m/t/c512/k-f16/v-f16/run.json",
    "quality/e/m/t/c512/k-f16/v-f16/.finished/run.json",
    "baseline/e/m/t/c512/run.json",
    "throughput/e/m/d0/k-f16/v-f16/run.json",
    "last-run.json",
]


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("text", EVERY)
def test_what_cannot_be_read_is_not_renamed_in_part(results: Path, text: str, what: str) -> None:
    for path in (results / name for name in READ):
        whole = path.read_bytes()
        path.write_bytes(BROKEN[what])
        before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
        with pytest.raises(KvsweepError, match=f"^{path}: cannot be read, .*, so nothing was renamed; "):
            rename(asked(text), results)
        assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
        check_finished(results)
        path.write_bytes(whole)
    rename(asked(text), results)


def test_a_record_that_cannot_be_read_fails_the_command(results: Path) -> None:
    path = results / "throughput/e/m/d0/k-f16/v-f16/run.json"
    path.write_text("{")
    done = run_in_this_process("rename_results", ["--results", results, "MODEL=m:new"])
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert f"{path}: cannot be read, and may hold the name 'm', so nothing was renamed; " in done.stderr


@pytest.mark.parametrize(
    ("text", "manifest"),
    [
        ("MODEL=m:new", "models/m/model.json"),
        ("ENGINE=e:new", "engines/e/build.json"),
        ("CORPUS=t:new", "corpora/t/corpus.json"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_not_renamed(results: Path, text: str, manifest: str) -> None:
    (results / manifest).write_text("{")
    done = run_in_this_process("rename_results", ["--results", results, text])
    assert done.returncode == 1 and f"{results / manifest}: " in done.stderr
    assert (results / manifest).read_text() == "{" and not (results / JOURNAL).exists()


def test_a_record_that_breaks_during_a_renaming_does_not_end_it(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "_rename_in_last_run", killed)
        with pytest.raises(Killed):
            rename(asked("MODEL=m:new"), results)
    path = results / "throughput/e/new/d0/k-f16/v-f16/run.json"
    whole = path.read_bytes()
    path.write_text("{")
    with pytest.raises(
        KvsweepError, match="so the renaming is not finished; make the file readable, or remove it"
    ):
        rename(asked("MODEL=m:new"), results)
    with pytest.raises(KvsweepError, match="a renaming was interrupted"):
        check_finished(results)
    path.write_bytes(whole)
    assert rename(asked("MODEL=m:new"), results) == 5


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "MODEL"}'])
def test_a_damaged_journal_is_not_taken_for_a_finished_renaming(results: Path, text: str) -> None:
    (results / JOURNAL).write_text(text)
    for call in (lambda: check_finished(results), lambda: rename(asked("MODEL=m:new"), results)):
        with pytest.raises(KvsweepError, match=r"renaming\.json: "):
            call()
