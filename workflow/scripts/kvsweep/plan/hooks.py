"""What happens when a run starts, when it has done what it had to, and when it stops."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kvsweep.engine.environment import knobs_in
from kvsweep.errors import KvsweepError
from kvsweep.machine.children import hold_awake
from kvsweep.measure.second_names import drop_spare
from kvsweep.plan import last_run
from kvsweep.plan.cluster_request import check_nodes
from kvsweep.plan.counts import Run
from kvsweep.plan.interrupt import end_at_once_on_signals, is_ending
from kvsweep.plan.missing import Needed, missing, needed_for
from kvsweep.plan.standing import StudyOnDisk
from kvsweep.program import last_line, say

MEASURING = ("baseline", "quality_cell", "scorer_cell", "throughput_cell", "task_cell")
# What a run of the study does; a look at it, and the report on the published numbers, do none of it.
_OF_THE_STUDY_ITSELF = (*MEASURING, "study", "tables")
_ENOUGH_FOR_A_LOG = 64 * 1024  # bytes
# The user's own command. In the environment and not in the configuration, because it may hold a secret.
COMMAND = "KVSWEEP_NOTIFY"
MESSAGE = "KVSWEEP_MESSAGE"
_NOTIFY_SECONDS = 60


class Job(NamedTuple):
    """One that is going to run: its rule and its wildcards."""

    rule: str
    wildcards: Mapping[str, str]


class Hooks:
    """One run of the workflow. ``scripts`` is where its programs are.

    ``config`` is the configuration as it was given, ``configfiles`` how its files are typed.
    """

    def __init__(
        self, standing: StudyOnDisk, config: Mapping[str, Any], configfiles: str, scripts: Path
    ) -> None:
        self._standing, self._scripts = standing, scripts
        self._config, self._configfiles = config, configfiles
        self._started_at = time.time()
        self._measuring = self._on_a_cluster = False

    def start(self, jobs: Sequence[Job], is_forced: Callable[[Run], bool], on_a_cluster: bool) -> None:
        """Before the first job. Raises KvsweepError for what would stop the run later; then nothing was started."""
        end_at_once_on_signals()
        self._on_a_cluster = on_a_cluster
        if on_a_cluster:
            check_nodes(self._standing.study)
            # Commands of a profile may be kvsweep's own, such as cluster_status.py, for the Python that runs this.
            own = (str(Path(sys.executable).parent), str(self._scripts), os.environ.get("PATH", ""))
            os.environ["PATH"] = os.pathsep.join(own)
        self._check_inputs(jobs)
        self._measuring = any(job.rule in MEASURING for job in jobs)
        if any(job.rule in _OF_THE_STUDY_ITSELF for job in jobs):
            self._begin(is_forced)
        if self._measuring:
            hold_awake(os.getpid())
            self._drop_second_names(is_forced)
            if not on_a_cluster:
                self._say_what_will_not_fit()
        knobs = knobs_in(os.environ)
        if knobs:
            say(f"kept out of the engines because the configuration does not name them: {', '.join(knobs)}")

    def succeed(self, report: Path) -> None:
        for name in self._standing.came_out_different():
            say(
                f"engine {name} was built again and came out different; the same command measures its cells anew"
            )
        if report.exists() and report.stat().st_mtime >= self._started_at:
            say(f"done; the report is {report.resolve()}")
        self._tell(f"done in {Path.cwd()}")

    def fail(self, logs: Iterable[Path]) -> None:
        """``logs`` are those of jobs that failed and did not say why just before: what they end with is said last."""
        for what in dict.fromkeys(last_words(log) or self._why_it_says_nothing(log) for log in logs):
            if what is not None:
                say(what)
        say("stopped; what is finished stays, and the same command goes on from here")
        self._tell(f"stopped in {Path.cwd()}")

    def _why_it_says_nothing(self, log: Path) -> str | None:
        """What to say of a job that failed and whose log does not end with a sentence.

        On a full disk nothing, unless it ran on a cluster: here it has said its sentence on the terminal. Nothing, too,
        of a run that is ended: a terminal's Ctrl-C ends what writes a job's log before the job.
        """
        if is_ending():
            return None
        there = next(path for path in log.absolute().parents if path.exists())
        if shutil.disk_usage(there).free >= _ENOUGH_FOR_A_LOG:
            return f"a job failed without a reason; its log: {log}"
        return f"error: {there}: the disk is full; free disk space." if self._on_a_cluster else None

    def _check_inputs(self, jobs: Sequence[Job]) -> None:
        """What of this machine's is missing, before an engine is built for it."""
        engines, models, corpora = (
            [job.wildcards[rule] for job in jobs if job.rule == rule]
            for rule in ("engine", "model", "corpus")
        )
        slices = any(job.rule == "tables" for job in jobs)
        stands = self._standing
        absent = missing(stands.study, stands.base, Needed(engines, models, corpora, slices))
        if absent:
            raise KvsweepError(
                "; ".join(absent)
                + ". Put what is missing there, or correct the path; nothing was built or measured."
            )

    def foresee(self) -> None:
        """Of a dry run, which starts nothing: what is missing."""
        stands = self._standing
        for sentence in missing(stands.study, stands.base, needed_for(stands.study, stands.to_do)):
            say(f"note: {sentence}")

    def _begin(self, is_forced: Callable[[Run], bool]) -> None:
        """Write down what this run counts by, and say what of earlier results it replaces."""
        anyway = [str(run.directory) for run in self._standing.runs if is_forced(run)]
        for note in last_run.begin(self._standing, self._config, self._configfiles, anyway):
            say(note)

    def _drop_second_names(self, is_forced: Callable[[Run], bool]) -> None:
        """Drop the second names of cells that are certain to be measured again. A runner brings all others back."""
        for run in self._standing.to_measure_again(is_forced):
            drop_spare(self._standing.results / run.directory)

    def _say_what_will_not_fit(self) -> None:
        """What the plan warns of, before hours are spent on it. Nothing of it stops the run.

        Where there can be no plan, because a model is none, the job that needs the model says so.
        """
        program, results = str(self._scripts / "make_plan.py"), str(self._standing.results)
        options = ["--warnings", "--results", results, "--config", json.dumps(self._config)]
        done = subprocess.run(
            [sys.executable, program, *options], stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode == 0:
            print(done.stderr, end="", file=sys.stderr, flush=True)

    def _tell(self, message: str) -> None:
        """A run that measured something tells of its end by the user's own command."""
        failure = notify(f"kvsweep: {message}", os.environ) if self._measuring else None
        if failure:
            say(failure)


def last_words(log: Path) -> str | None:
    """The sentence that a program ended with; None where it has none, because it was killed or has a bug."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    # Below a program's last line a cluster's log has what two Snakemakes say of the rule.
    said = [line.removeprefix("kvsweep: ") for line in lines[-100:] if line.startswith("kvsweep: ")]
    return next((line for line in reversed(said) if line.startswith(("error: ", "interrupted"))), None)


def notify(message: str, environment: Mapping[str, str]) -> str | None:
    """Run the user's command with the message in its environment; what went wrong in one sentence, or None."""
    command = environment.get(COMMAND, "").strip()
    if not command:
        return None
    try:
        done = subprocess.run(
            command,
            shell=True,
            env={**environment, MESSAGE: message},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_NOTIFY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = (
            f"took longer than {_NOTIFY_SECONDS} s"
            if isinstance(error, subprocess.TimeoutExpired)
            else str(error)
        )
        return f"the notification was not sent: the command in {COMMAND} {why}"
    if done.returncode == 0:
        return None
    said = last_line(done.stderr) or last_line(done.stdout) or "nothing"
    return f"the notification was not sent: the command in {COMMAND} ended with {done.returncode} and said: {said}"
