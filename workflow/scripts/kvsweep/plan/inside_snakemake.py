"""All that is used of Snakemake beyond its documentation: what for, what breaks without it, and who notices.

Written for Snakemake 9.27. After an upgrade run tests/test_contract.py and tests/test_workflow.py first.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kvsweep.plan.hooks import MEASURING, Job

# The rules whose results say themselves what they were made with.
BY_RECORDS = (*MEASURING, "engine", "model", "corpus")


class Inside:
    """What the rules ask of Snakemake's ``workflow`` object."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._notes: Any = None

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
        # A dry run would complain of the notes that it does not see.
        self._workflow.log_missing_metadata_info = lambda: None

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


class Failures(logging.Filter):
    """Listens to Snakemake's log for the jobs that failed; ``logs`` are their log files.

    Uses the log records' ``event`` and ``log``. Without them a failed run has its reason further up and not at its end;
    test_workflow.py looks for it there.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.logs: list[Path] = []
        logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(getattr(record, "event", None), "value", None) == "job_error":
            self.logs += [Path(name.split(" (")[0]) for name in getattr(record, "log", [])]
        return True
