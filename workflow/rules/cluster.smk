# What jobs ask a cluster for: from the plan's figures and from the configuration's nodes. On one machine nothing is
# asked for: there a job has all of it.

from kvsweep import cluster_request


def on_a_cluster():
    """Whether jobs go to a cluster, or this is one of its nodes. Snakemake knows only after it has read the rules."""
    return workflow.remote_exec or not workflow.local_exec


def all_cores(wildcards):
    """Of this machine; Snakemake has a number for it only where jobs run here."""
    return os.cpu_count() if on_a_cluster() else workflow.cores


# Without nodes no job goes to a cluster (see onstart). Then nothing is a function here: of each, Snakemake asks the
# signature for every job several times, which for thousands of cells takes as long as all else.
MAY_GO_TO_A_CLUSTER = any(engine.nodes for engine in STUDY.engines.values())


def cores(timed):
    """The cores of a job: all of this machine, or of a node of its engine's kind, which untimed jobs share."""
    if not MAY_GO_TO_A_CLUSTER:
        return workflow.cores or os.cpu_count()

    def of_job(wildcards):
        nodes = STUDY.engines[wildcards.engine].nodes
        if not (on_a_cluster() and nodes):
            return all_cores(wildcards)
        return nodes.cores if timed else nodes.untimed_cores

    return of_job


def nodes_of_kind(*keys):
    """What the configuration says of an engine's nodes; empty, which asks for nothing, where it does not say."""

    def asked(key):
        def of_job(wildcards):
            nodes = STUDY.engines[wildcards.engine].nodes
            return (getattr(nodes, key) if on_a_cluster() and nodes else None) or ""

        return of_job

    resources = {"partition": "slurm_partition"}
    return (
        {resources.get(key, key): asked(key) for key in keys}
        if MAY_GO_TO_A_CLUSTER
        else {}
    )


def plan_of(run_of):
    """The plan's figures for a cell or baseline; 0, which asks for nothing, on one machine."""

    def asked(figure):
        def of_job(wildcards):
            if not on_a_cluster():
                return 0
            return getattr(
                cluster_request.request(STUDY, run_of(wildcards), Path("results")),
                figure,
            )

        return of_job

    figures = ("mem_mb", "disk_mb", "runtime") if MAY_GO_TO_A_CLUSTER else ()
    return {figure: asked(figure) for figure in figures}
