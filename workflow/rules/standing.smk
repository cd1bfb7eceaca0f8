# What stands and what has to be made: the inputs of the jobs, one line each. What decides is kvsweep/plan/standing.py.

from kvsweep.plan.inside_snakemake import Inside
from kvsweep.plan.standing import StudyOnDisk

INSIDE = Inside(workflow)
try:
    STANDING = StudyOnDisk(
        STUDY, RESULTS, BASE, newer=Path(".snakemake", "kvsweep-changed.txt")
    )
    PAIRS_CHECKED = STANDING.unchecked_pairs()
except KvsweepError as error:
    raise WorkflowError(f"kvsweep: error: {error}") from None


MEASURED_BY = {
    "baseline": "baseline",
    "quality": "quality_cell",
    "scorer": "scorer_cell",
    "throughput": "throughput_cell",
    "tasks": "task_cell",
}


def is_run_forced(run):
    return INSIDE.is_forced(MEASURED_BY[run.directory.parts[0]], STANDING.record(run))


def needs(run):
    return STANDING.needs(run, is_run_forced(run))


def baseline_inputs(wildcards):
    return needs(baseline_of(wildcards))


def quality_inputs(wildcards):
    return needs(quality_cell_of(wildcards))


def scorer_inputs(wildcards):
    return needs(scorer_cell_of(wildcards))


def quality_logits(wildcards):
    return STANDING.logits(quality_cell_of(wildcards), quality_inputs(wildcards))


def throughput_inputs(wildcards):
    return needs(throughput_cell_of(wildcards))


def task_inputs(wildcards):
    return needs(task_cell_of(wildcards))


def harness_inputs(wildcards):
    return STANDING.harness(wildcards.task)


def engine_inputs(wildcards):
    return STANDING.engine(wildcards.engine)


def model_inputs(wildcards):
    return STANDING.model(wildcards.model)


def corpus_inputs(wildcards):
    return STANDING.corpus(wildcards.corpus)


def study_inputs(wildcards):
    return STANDING.list_of_cells(OF_THE_STUDY)


def manifests_of_tables(wildcards):
    return STANDING.manifests_of_tables(INSIDE.is_forced("tables"))
