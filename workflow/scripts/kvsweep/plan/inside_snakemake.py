"""All that is used of Snakemake beyond its documentation: what for, what breaks without it, and who notices.

Written for Snakemake 9.27. After an upgrade run tests/test_contract.py and tests/test_workflow.py first.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from snakemake.settings.types import DeploymentMethod

from kvsweep.files import what_to_do
from kvsweep.plan.hooks import MEASURING, Job, last_words

# The rules whose results say themselves what they were made with.
BY_RECORDS = (*MEASURING, "engine", "model", "corpus")


class Inside:
    """What the rules ask of Snakemake's ``workflow`` object."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._notes: Any = None
        self.say_in_a_dry_run: Callable[[], None] = lambda: None

    def is_forced(self, rule: str, *files: str) -> bool:
        """Whether the user wants a rule's job, or these files of it, made whatever stands: -F, -R, -f.

        Uses ``workflow.dag_settings``, which is there as soon as input functions are called. Without it a forced cell
        is run without the engine and model that it needs being made first; test_contract.py forces rules.
        """
        self._ignore_notes()
        settings = self._workflow.dag_settings
        named = {*settings.forcerun, *(settings.targets if settings.forcetargets else ())}
        return bool(settings.forceall or rule in named or not named.isdisjoint(files))

    def _ignore_notes(self) -> None:
        """Make Snakemake forget its notes on what has a record of its own (``BY_RECORDS``), once and for this run.

        It notes with what params, code and inputs a file was made, and which jobs were running. When results were moved
        or copied, and other ones measured meanwhile, the notes are of other files than those that are there, and
        finished cells would be measured again. Uses ``workflow.persistence``, its ``has_metadata`` and ``incomplete``,
        which are asked after the first input function was called. Without them test_records.py fails.
        """
        notes = self._workflow.persistence
        if notes is self._notes:
            return
        self._notes, has_metadata, incomplete = notes, notes.has_metadata, notes.incomplete

        async def incomplete_without(job: Any) -> list[Any]:
            return [] if job.rule.name in BY_RECORDS else list(await incomplete(job))

        notes.has_metadata = lambda job: job.rule.name not in BY_RECORDS and has_metadata(job)
        notes.incomplete = incomplete_without
        # A dry run would complain of the notes that it does not see. No handler is called for it: test_errors.py.
        self._workflow.log_missing_metadata_info = lambda: self.say_in_a_dry_run()

    def jobs(self) -> list[Job]:
        """What is going to run, from ``onstart`` on.

        Uses ``workflow.dag.needrun_jobs``. Without it onstart fails at once, in every test that runs the workflow.
        """
        return [Job(job.rule.name, dict(job.wildcards.items())) for job in self._workflow.dag.needrun_jobs()]

    def rest_while_jobs_run(self) -> None:
        """Let Snakemake sleep beside a measurement, from ``onstart`` on, where jobs run on this machine.

        It limits what is submitted in a time, for which it goes through all open jobs every second
        (``workflow.scheduler.job_rate_limiter``); nothing is submitted here, and one device is limit enough. Without it
        nothing fails, and test_snakemake_is_at_rest_while_an_engine_runs sees it.
        """
        if self._workflow.local_exec:
            self._workflow.scheduler.job_rate_limiter = None


def python_of(workflow: Any) -> str:
    """The Python that runs a rule's program: that of its conda environment where one is used, else this one.

    Uses ``workflow.deployment_settings.deployment_method``. Without it every run fails at once; test_conda.py sees a
    method of another name.
    """
    return (
        "python"
        if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
        else sys.executable
    )


class Errors(logging.Filter):
    """Listens to Snakemake's log: says errors in a sentence each, once, and keeps the logs of jobs that failed.

    Snakemake puts a traceback of its own, the shell command, or what failed in consequence around what went wrong; and
    with ``--quiet all`` it says nothing. Uses the log records' ``event``, ``exception`` and ``log`` and the wording of
    its messages. Without them an error has more around it; test_errors.py looks for that.
    """

    def __init__(self, logger: logging.Logger, workflow: Any) -> None:
        super().__init__()
        self._is_silent = "all" in map(str, workflow.output_settings.quiet or ())
        self._failed: list[Path] = []
        self.buried: list[Path] = []
        logger.addFilter(self)
        # A log file on a full disk is no reason for a traceback with every line.
        logging.raiseExceptions = False

    @property
    def unexplained(self) -> list[Path]:
        """The logs of failed jobs whose last words have scrolled away, or are no sentence."""
        return [*self.buried, *(log for log in self._failed if last_words(log) is None)]

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether Snakemake is to print ``record``. For an error with a sentence, print that instead."""
        event = getattr(getattr(record, "event", None), "value", None)
        if event == "job_error":
            self._failed += map(Path, getattr(record, "log", []))
        elif event == "job_finished":
            self.buried += self._failed
            self._failed = []
        if record.levelno < logging.ERROR or event == "job_error":
            return True
        message = record.getMessage()
        found = sentence(str(getattr(record, "exception", "")), message)
        if found is None or self._was_said(found):
            return False
        if found == message and not self._is_silent:
            return True
        print(found, file=sys.stderr, flush=True)
        return False

    def _was_said(self, found: str) -> bool:
        """Whether a job that failed has named the same file: Snakemake looks at its inputs once more."""
        _, _, file = found.partition("kvsweep: error: ")
        place = f"error: {file.partition(': ')[0]}: "
        return bool(file) and any(
            (last_words(log) or "").startswith(place) for log in (*self.buried, *self._failed)
        )


# What follows from a job's end, of which the job has said why.
_CONSEQUENCES = re.compile(
    r"returned non-zero exit status|died with <Signals\.SIG(?:INT|TERM|HUP)"
    r"|^Exiting because a job execution failed|At least one job did not complete"
)
_OURS = re.compile(r"(?:kvsweep: error: |\b(?:KvsweepError|ConfigError): )(.+)")
_OF_THE_SYSTEM = re.compile(
    r"^(?:OS|Permission|FileNotFound|FileExists|NotADirectory|IsADirectory|BlockingIO)Error$"
)


def sentence(exception: str, message: str) -> str | None:
    """What a user is told of an error that Snakemake logs; None for what another message says."""
    if ours := _OURS.search(message):
        return f"kvsweep: error: {ours[1]}"
    if _CONSEQUENCES.search(message):
        return None
    if exception == "LockException":
        if running := runs_here():
            since = time.strftime("%H:%M", time.localtime(running[0].create_time()))
            return (
                f"kvsweep: error: {Path.cwd()}: another run is going on here since {since}; wait for it, or end it "
                f"first: kill {running[0].pid}"
            )
        return (
            f"kvsweep: error: {Path.cwd()}: locked by another run, or by one that was killed; nothing is lost. "
            f"If none is running, unlock it and start again: {unlock_command(sys.argv)}"
        )
    if exception == "ProtectedOutputException":
        first, *others = (line.strip() for line in message.partition("affected files:")[2].splitlines()[1:])
        more = f" and {len(others)} more" if others else ""
        return f"kvsweep: error: {first}{more}: write-protected, and to be made anew; make it writable, or remove it."
    found = None
    if _OF_THE_SYSTEM.match(exception):
        # Of a rule's input function with its traceback behind it.
        *_, found = [None, *re.finditer(r"\[Errno (\d+)\] (.*?)(?:: '(.*)')?$", message.strip(), re.M)]
    elif exception in ("WorkflowError", "InputFunctionException"):
        # In words around it: of a directory, a note on a finished job, a record that is asked for.
        found = re.search(r"\[Errno (\d+)\] ([^:'\n]+): '([^'\n]+)'", message)
    if found:
        number, why, place = found.groups()
        return f"kvsweep: error: {place or Path.cwd()}: {why}; {what_to_do(int(number), 'readable and writable')}."
    return message


def runs_here() -> list[psutil.Process]:
    """Each other Snakemake of this machine that works in this directory and locks it."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        cwd, line = process.info["cwd"], process.info["cmdline"] or []
        is_snakemake = "snakemake" in [Path(word).name for word in line[:3]]
        if process.pid != os.getpid() and is_snakemake and "--nolock" not in line and cwd == str(Path.cwd()):
            found.append(process)
    return found


def unlock_command(arguments: Sequence[str]) -> str:
    """The command that was typed, with ``--unlock``."""
    program, *options = arguments
    start = [sys.executable, "-m", "snakemake"] if program.endswith(".py") else [program]
    return shlex.join([*start, "--unlock", *options])
