# What stands and what has to be made: the inputs of the jobs. What decides is kvsweep/plan/standing.py.

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


def needs_of(run_of):
    """The inputs of the cell or baseline that wildcards name."""
    return lambda wildcards: needs(run_of(wildcards))


def quality_logits(wildcards):
    cell = quality_cell_of(wildcards)
    return STANDING.logits(cell, needs(cell))
