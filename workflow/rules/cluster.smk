# What jobs ask a cluster for: from the plan's figures and from the configuration's nodes. On one machine nothing is
# asked for: there a job has all of it.

from kvsweep import cluster_request


def on_a_cluster():
    """Whether jobs go to a cluster, or this is one of its nodes. Snakemake knows only after it has read the rules."""
    return workflow.remote_exec or not workflow.local_exec


def all_cores(wildcards):
    """Of this machine; Snakemake has a number for it only where jobs run here."""
    return os.cpu_count() if on_a_cluster() else workflow.cores


def cores(timed):
    """The cores of a job: all of this machine, or of a node of its engine's kind, which untimed jobs share."""

    def of_job(wildcards):
        if not on_a_cluster():
            return all_cores(wildcards)
        nodes = STUDY.engines[wildcards.engine].nodes
        return nodes.cores if timed else nodes.untimed_cores

    return of_job


def on_nodes(key):
    """What the configuration says of an engine's nodes; empty, which asks for nothing, where it does not say."""

    def of_job(wildcards):
        nodes = STUDY.engines[wildcards.engine].nodes
        return (getattr(nodes, key) if on_a_cluster() and nodes else None) or ""

    return of_job


def by_plan(figure, run_of):
    """A figure of what a cell or baseline asks for; 0, which asks for nothing, on one machine."""

    def of_job(wildcards):
        if not on_a_cluster():
            return 0
        return getattr(
            cluster_request.request(STUDY, run_of(wildcards), Path("results")), figure
        )

    return of_job
