import dataclasses
import json
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.27")

SCRIPTS = Path(workflow.basedir, "workflow", "scripts")
sys.path.insert(0, str(SCRIPTS))

from kvsweep.study import cells, engines
from kvsweep.study import config as configuration
from kvsweep.study.yaml_file import read_configuration
from kvsweep.errors import KvsweepError
from kvsweep.files import check_writable
from kvsweep.plan.hooks import Hooks
from kvsweep.plan.inside_snakemake import Errors
from kvsweep.plan.rename import check_finished
from kvsweep.terminal import TERMINAL

ERRORS = Errors(logger, workflow)

# A configuration on the command line replaces the paper's; merged, they would run both.
if not workflow.overwrite_configfiles:

    configfile: str(Path(workflow.basedir, "config.yaml"))


try:
    # As strictly as the profile had it read; without a profile, now.
    for path in workflow.overwrite_configfiles or [
        Path(workflow.basedir, "config.yaml")
    ]:
        read_configuration(Path(path))
    STUDY = configuration.parse_study(config)
    configuration.check_amount(config, STUDY)
    for directory in (Path.cwd(), Path("results")):
        check_writable(directory)
    check_finished(Path("results"))
except KvsweepError as error:
    raise WorkflowError(f"kvsweep: error: {error}") from None


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/standing.smk"
include: "workflow/rules/engine.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/quality.smk"
include: "workflow/rules/scorer.smk"
include: "workflow/rules/throughput.smk"
include: "workflow/rules/tasks.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/plan.smk"


localrules:
    all,
    measurements,
    published,


# Everything: the report of the whole configuration.
rule all:
    default_target: True
    input:
        presented("results"),
        STANDING.manifests,
        PAIRS_CHECKED,
        # Named here too, because of a cell that was forgotten nothing else would be missed.
        STANDING.cell_records,
        STANDING.tokens,


# What is said of the published numbers alone.
rule published:
    input:
        presented("results/published"),


# Every cell, without tables and report.
rule measurements:
    input:
        STANDING.manifests,
        PAIRS_CHECKED,
        STANDING.cell_records,


HOOKS = Hooks(STANDING, config, CONFIG_FILES, SCRIPTS)
INSIDE.say_in_a_dry_run = HOOKS.foresee


onstart:
    INSIDE.rest_while_jobs_run()
    try:
        HOOKS.start(INSIDE.jobs(), is_run_forced, on_a_cluster())
    except KvsweepError as error:
        raise WorkflowError(f"kvsweep: error: {error}") from None


onsuccess:
    HOOKS.succeed(Path("results/report.html"))


onerror:
    HOOKS.fail(ERRORS.unexplained)
