"""The workflow's smaller programs: what is wrong with their input is one sentence."""

import errno
import json
import signal
import tempfile
from pathlib import Path

import pytest
from kvsweep import program
from kvsweep.errors import Interrupted, KvsweepError
from support import STAND_IN, Workplace, run_in_this_process, write_model


def refuse(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "said", "status"),
    [
        (KvsweepError("models.m.path: there is no file x."), "error: models.m.path: there is no file x.", 1),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            "error: /x: Permission denied; make it readable and writable.",
            1,
        ),
        (OSError("no space"), "error: no space.", 1),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            f"error: No space left on device; free disk space, here and in {tempfile.gettempdir()}, and start again.",
            1,
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded", "/x"),
            f"error: /x: Disk quota exceeded; free disk space, here and in {tempfile.gettempdir()}, and start again.",
            1,
        ),
        (
            Interrupted(signal.SIGTERM),
            "interrupted; the engine was ended, nothing of this cell was kept",
            143,
        ),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
)
def test_one_sentence_and_an_exit_status(
    error: BaseException, said: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.run_program(lambda: refuse(error))
    assert ended.value.code == status
    assert capsys.readouterr().err == f"kvsweep: {said}\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        program.run_program(lambda: refuse(ZeroDivisionError()))


def error_of(name: str, *arguments: str | Path) -> str:
    done = run_in_this_process(name, arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line.removeprefix("kvsweep: error: ")


def test_a_model_of_another_sha256(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.gguf")
    said = error_of(
        *("inspect_model", "--name", "m", "--path", model, "--sha256", "0" * 64),
        *("--model-json", tmp_path / "results" / "model.json"),
    )
    assert said.startswith(f"models.m.sha256: {model} has ")
    assert said.endswith(
        f", the configuration says {'0' * 64}; fetch the right file or correct the configuration."
    )
    assert not (tmp_path / "results" / "model.json").exists()


def test_a_corpus_that_is_missing_or_another_one(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    command = ("make_corpus", "--name", "c", "--path", path, "--corpus-json", tmp_path / "corpus.json")
    assert error_of(*command) == (
        f"corpora.c.path: there is no file {path}; correct the path or put the text there."
    )
    path.write_bytes("not UTF-8: ä".encode("latin-1"))
    assert error_of(*command).startswith(f"corpora.c: {path} is not UTF-8 text")
    path.write_text("UTF-8: ä", encoding="utf-8")
    said = error_of(*command, "--sha256", "0" * 64)
    assert said.startswith(f"corpora.c.sha256: {path} has ")
    assert run_in_this_process(command[0], command[1:]).returncode == 0


def test_ready_binaries_that_are_not_there(tmp_path: Path) -> None:
    said = error_of(
        *("build_engine", "--name", "e", "--definition", '{"source": {"path": "bin"}}', "--base", tmp_path),
        *("--threads", "1", "--build-json", tmp_path / "build.json"),
    )
    assert said == f"engines.e.source.path: there is no directory {tmp_path}/bin."


def test_no_compiler_is_noticed_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    source = {"git": {"url": "https://example.org", "commit": "0" * 40}}
    said = error_of(
        *("build_engine", "--name", "e", "--definition", json.dumps({"source": source})),
        *("--threads", "1", "--build-json", tmp_path / "e" / "build.json"),
    )
    assert said.startswith("no C++ compiler: ")
    assert not (tmp_path / "e").exists()


def test_a_result_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file stands here")
    said = error_of(
        *("build_engine", "--name", "e", "--definition", json.dumps({"source": {"path": str(STAND_IN)}})),
        *("--threads", "1", "--build-json", tmp_path / "engines" / "build.json"),
    )
    assert (
        said == f"{tmp_path}/engines: cannot be written (File exists); make it writable, or free disk space."
    )


def test_pairs_that_the_built_engine_does_not_accept(workplace: Workplace) -> None:
    command = ("--build-json", workplace.build_json)
    assert run_in_this_process("check_pairs", [*command, "f16", "q8_0/turbo4"]).returncode == 0
    assert "does not know the cache type 'q6_0' of 'q8_0/q6_0'" in error_of(
        "check_pairs", *command, "q8_0/q6_0"
    )
    assert "has no scorer, which quality.method asks for" in error_of(
        "check_pairs", "--scorer", *command, "f16"
    )


def test_the_study_is_written_down(tmp_path: Path) -> None:
    config = {
        "engines": {"e": {"source": {"path": "b"}}}, "models": {"m": {"path": "m"}}, "pairs": ["f16"],
        "throughput": {"depths": [0, "8K"]},
    }  # fmt: skip
    done = run_in_this_process("write_study", ["--results", tmp_path, "--config", json.dumps(config)])
    assert done.returncode == 0
    assert json.loads((tmp_path / "config.json").read_text()) == config
