"""What a user sees of Snakemake's errors."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kvsweep.plan.inside_snakemake import Errors, sentence, unlock_command

TRACEBACK = """\
Traceback (most recent call last):
  File "persistence/file.py", line 200, in _write_locks
    with open(path, "w") as lock:
OSError: [Errno 28] No space left on device: '/here/.snakemake/locks/0.input.lock'
"""


@pytest.mark.parametrize(
    ("exception", "message", "said"),
    [
        (
            "WorkflowError",
            'WorkflowError in file "Snakefile", line 3:\nkvsweep: error: pairs: none.\n  File "Snakefile", line 3',
            "kvsweep: error: pairs: none.",
        ),
        (
            "InputFunctionException",
            "InputFunctionException in rule x:\nError:\n  KvsweepError: a: cannot be written.\nWildcards:\n",
            "kvsweep: error: a: cannot be written.",
        ),
        (
            "RuleException",
            "CalledProcessError in file x:\nCommand 'set -euo pipefail; ...' returned non-zero exit status 1.",
            None,
        ),
        (  # at a terminal's Ctrl-C
            "RuleException",
            "CalledProcessError in file x:\nCommand 'set -euo pipefail; ...' died with <Signals.SIGINT: 2>.",
            None,
        ),
        ("", "Exiting because a job execution failed. Look above for error messages", None),
        ("WorkflowError", "WorkflowError:\nAt least one job did not complete successfully.", None),
        (
            "OSError",
            TRACEBACK,
            "kvsweep: error: /here/.snakemake/locks/0.input.lock: No space left on device; free disk space.",
        ),
        (
            "WorkflowError",
            "No output directory results/x/y.\nPermissionError: [Errno 13] Permission denied: 'results/x'",
            "kvsweep: error: results/x: Permission denied; make it readable and writable.",
        ),
        (
            "WorkflowError",
            "Error recording metadata ([Errno 13] Permission denied: 'results/x/run.json'). Please",
            "kvsweep: error: results/x/run.json: Permission denied; make it readable and writable.",
        ),
        (
            "ProtectedOutputException",
            "Write-protected output files for rule x:\n    output: a\n    affected files:\n        a\n        b",
            "kvsweep: error: a and 1 more: write-protected, and to be made anew; make it writable, or remove it.",
        ),
        (
            "PermissionError",
            "PermissionError in file standing.smk, line 8:\n[Errno 13] Permission denied: '/bin/llama-bench'\n"
            '  File "standing.smk", line 8, in <module>\n  File "pathlib.py", line 1013, in stat',
            "kvsweep: error: /bin/llama-bench: Permission denied; make it readable and writable.",
        ),
        (
            "InputFunctionException",
            "InputFunctionException in rule x:\nError:\n  PermissionError: [Errno 13] Permission denied: 'a/run.json'\n"
            "Wildcards:\n\nTraceback:\n  File counts.py",
            "kvsweep: error: a/run.json: Permission denied; make it readable and writable.",
        ),
        # What is not known is said as it is, a bug with its traceback.
        ("MissingRuleException", "No rule to produce x", "No rule to produce x"),
        ("ZeroDivisionError", "Traceback ...\nZeroDivisionError", "Traceback ...\nZeroDivisionError"),
    ],
)
def test_one_sentence_for_what_went_wrong(exception: str, message: str, said: str | None) -> None:
    assert sentence(exception, message) == said


def test_a_run_that_is_going_on_is_not_taken_for_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """make was killed, say, and the Snakemake that it had started goes on."""
    monkeypatch.chdir(tmp_path)
    Path("snakemake").write_text("print(flush=True); input()")
    for options, goes_on in ((["--configfile", "a.yaml"], True), (["--nolock", "--", "plan"], False)):
        command = [sys.executable, "snakemake", *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            said = sentence("LockException", "")
            other.kill()
        assert said is not None
        assert said.startswith(f"kvsweep: error: {tmp_path}: another run is going on here since ") == goes_on
        assert said.endswith(f"kill {other.pid}") == goes_on
        assert ("unlock it and start again" in said) != goes_on


@pytest.mark.parametrize(
    ("typed", "unlocks"),
    [
        (
            [".venv/bin/snakemake", "--configfile", "my study.yaml", "--", "measurements"],
            ".venv/bin/snakemake --unlock --configfile 'my study.yaml' -- measurements",
        ),
        ([".venv/bin/snakemake"], ".venv/bin/snakemake --unlock"),
    ],
)
def test_the_command_that_unlocks_can_be_typed(typed: list[str], unlocks: str) -> None:
    assert unlock_command(typed) == unlocks


def error(message: str, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("snakemake", logging.ERROR, "x.py", 1, message, (), None)
    record.__dict__.update(extra)
    return record


def listener(*quiet: str) -> Errors:
    return Errors(logging.Logger("x"), SimpleNamespace(output_settings=SimpleNamespace(quiet=quiet)))


def test_who_wants_no_words_still_gets_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert listener().filter(error("No rule to produce x"))
    assert capsys.readouterr().err == ""
    assert not listener("all").filter(error("No rule to produce x"))
    assert capsys.readouterr().err == "No rule to produce x\n"


def test_a_failed_job_that_others_came_after_is_named_in_the_end(tmp_path: Path) -> None:
    (tmp_path / "job.log").write_text("kvsweep: error: x.\n")
    errors = listener()
    failed = error(
        "Error in rule x", event=SimpleNamespace(value="job_error"), log=[str(tmp_path / "job.log")]
    )
    assert errors.filter(failed)
    # Its sentence is the last thing on the terminal.
    assert errors.unexplained == []
    errors.filter(error("", event=SimpleNamespace(value="job_finished"), levelno=logging.INFO))
    assert errors.unexplained == [tmp_path / "job.log"]


@pytest.mark.parametrize(("file", "is_new"), [("a/run.json", False), ("b/run.json", True)])
def test_a_file_that_a_job_could_not_read_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, is_new: bool
) -> None:
    """Snakemake looks at the job's inputs again when it has failed, and cannot read the same file."""
    (tmp_path / "job.log").write_text("kvsweep: error: a/run.json: cannot be read (Permission denied).\n")
    errors = listener()
    errors.filter(error("", event=SimpleNamespace(value="job_error"), log=[str(tmp_path / "job.log")]))
    again = error(f"[Errno 13] Permission denied: '{file}'", exception="PermissionError")
    assert not errors.filter(again)
    said = f"kvsweep: error: {file}: Permission denied; make it readable and writable.\n"
    assert capsys.readouterr().err == (said if is_new else "")
