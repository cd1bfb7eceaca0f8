import dataclasses
import functools
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.27")

STARTED_AT = time.time()

SCRIPTS = Path(workflow.basedir, "workflow", "scripts")
sys.path.insert(0, str(SCRIPTS))

from kvsweep.study import cells
from kvsweep.study import config as configuration
from kvsweep.machine.awake import hold_awake
from kvsweep.plan.cluster_request import check_nodes
from kvsweep.measure.engine_run import INTERRUPTED, has_second_names, was_finished
from kvsweep.engine.environment import knobs_in
from kvsweep.errors import KvsweepError
from kvsweep.files import check_writable, write_text
from kvsweep.plan import last_run
from kvsweep.plan.notify import notify
from kvsweep.measure.process import LIMITS, NODES, WORKFLOW_PID
from kvsweep.program import LAST_WORDS
from kvsweep.report.provenance import CONFIG_FILES
from kvsweep.terminal import TERMINAL

# A configuration on the command line replaces the paper's; merged, they would run both.
if not workflow.overwrite_configfiles:

    configfile: str(Path(workflow.basedir, "config.yaml"))


try:
    STUDY = configuration.parse_study(config)
    for directory in (Path.cwd(), Path("results")):
        check_writable(directory)
except KvsweepError as error:
    raise WorkflowError(str(error)) from None


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/needs.smk"
include: "workflow/rules/engine.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/quality.smk"
include: "workflow/rules/throughput.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/plan.smk"


localrules:
    all,
    measurements,


# Everything: the report of the whole configuration.
rule all:
    default_target: True
    input:
        "results/report.html",
        "results/report.md",
        "results/tables/claims.parquet",
        MANIFESTS,
        PAIRS_CHECKED,
        # Named here too, because of a cell that was forgotten nothing else would be missed.
        CELL_RECORDS,


# Every cell, without tables and report.
rule measurements:
    input:
        MANIFESTS,
        PAIRS_CHECKED,
        CELL_RECORDS,


onstart:
    if on_a_cluster():
        try:
            check_nodes(STUDY)
        except KvsweepError as error:
            raise WorkflowError(str(error)) from None
    if workflow.local_exec:
        # A limit to what is submitted in a time, for which Snakemake goes through all open jobs every second: beside a
        # measurement that is other work. Nothing is submitted here, and one device is limit enough.
        workflow.scheduler.job_rate_limiter = None
    jobs = list(workflow.dag.needrun_jobs())
    check_local_inputs(jobs)
    measuring.update(
        job.rule.name for job in jobs if job.rule.name in MEASURING_RULES
    )
    if any(job.rule.name in OF_THE_STUDY_ITSELF for job in jobs):
        for note in last_run.begin(
            STUDY, config, os.environ[CONFIG_FILES], RESULTS, NOW, run_anyway(jobs)
        ):
            print(f"kvsweep: {note}", file=sys.stderr)
    if measuring:
        hold_awake(os.getpid())
    if measuring and workflow.local_exec:
        say_what_will_not_fit()
    # Snakemake removes the outputs of jobs that it was killed before it could book; the runner brings finished ones back.
    # Asked of these jobs themselves: the list of the whole DAG leaves out what is going to run.
    unbooked = {
        str(path)
        for job in jobs
        if job.rule.name in MEASURING_RULES
        and has_second_names(Path(job.output.run))
        for path in workflow.async_run(workflow.persistence.incomplete(job))
    }
    removed = {
        record
        for record in [*BASELINE_RECORDS, *CELL_RECORDS]
        if was_finished(Path(record))
    }
    # What is fetched from elsewhere may turn out to be what was measured.
    perhaps = {
        f"results/{directory}/run.json"
        for directory in RUNS
        if (change := standing(directory)[1]) and not change.certain
    }
    os.environ[INTERRUPTED] = "\n".join(sorted(unbooked | removed | perhaps))
    knobs = knobs_in(os.environ)
    if knobs:
        print(
            f"kvsweep: kept out of the engines because the configuration does not name them: {', '.join(knobs)}",
            file=sys.stderr,
        )


onsuccess:
    now = current.look(STUDY, RESULTS, BASE)
    for name, engine in NOW.engines.items():
        if engine.files not in (None, now.engines[name].files):
            print(
                f"kvsweep: engine {name} was built again and came out different; the same command measures its cells anew",
                file=sys.stderr,
            )
    report = Path("results/report.html")
    if report.exists() and report.stat().st_mtime >= STARTED_AT:
        print(f"kvsweep: done; the report is {report.resolve()}", file=sys.stderr)
    tell_of_the_end(f"done in {Path.cwd()}")


onerror:
    last_words = Path(os.environ[LAST_WORDS])
    if last_words.exists():
        print(f"kvsweep: {last_words.read_text()}", file=sys.stderr)
        last_words.unlink()
    print(
        "kvsweep: stopped; what is finished stays, and the same command goes on from here",
        file=sys.stderr,
    )
    tell_of_the_end(f"stopped in {Path.cwd()}")
