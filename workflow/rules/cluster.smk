# What jobs ask a cluster for: from the plan's figures and from the configuration's nodes. On one machine nothing is
# asked for: there a job has all of it.

from kvsweep.plan import cluster_request


def on_a_cluster():
    """Whether jobs go to a cluster, or this is one of its nodes. Snakemake knows only after it has read the rules."""
    return workflow.remote_exec or not workflow.local_exec


def cores_here():
    """The cores that jobs may use on this machine; none are named where nothing runs, as with --unlock."""
    return workflow.resource_settings.cores or os.cpu_count()


def all_cores(wildcards):
    """Of this machine; Snakemake has a number for it only where jobs run here."""
    return os.cpu_count() if on_a_cluster() else cores_here()


# Without nodes no job goes to a cluster (see onstart). Then nothing of this is a function: Snakemake asks for the
# signature of each several times for every job, at 10,000 cells a fifth of a dry run.
MAY_GO_TO_A_CLUSTER = any(engine.nodes for engine in STUDY.engines.values())


def nodes_of(wildcards):
    """The nodes that run an engine; None where jobs run on this machine."""
    return STUDY.engines[wildcards.engine].nodes if on_a_cluster() else None


def cores(timed):
    """The cores of a job: all of this machine, or of a node of its engine's kind, which untimed jobs share."""
    if not MAY_GO_TO_A_CLUSTER:
        return cores_here()

    def of_job(wildcards):
        nodes = nodes_of(wildcards)
        if nodes is None:
            return all_cores(wildcards)
        return nodes.cores if timed else nodes.untimed_cores

    return of_job


def on_nodes(key):
    """What the configuration says of an engine's nodes; empty, which asks for nothing, where it does not say."""

    return lambda wildcards: getattr(nodes_of(wildcards), key, None) or ""


def by_plan(figure, run_of):
    """A figure of what a cell or baseline asks for; 0, which asks for nothing, on one machine."""

    def of_job(wildcards):
        if not on_a_cluster():
            return 0
        return getattr(
            cluster_request.request(STUDY, run_of(wildcards), Path("results")), figure
        )

    return of_job


def nodes_option():
    """For a runner on a cluster's node: what the configuration says of it."""
    if not MAY_GO_TO_A_CLUSTER:
        return ""

    def of_job(wildcards):
        nodes = nodes_of(wildcards)
        if nodes is None:
            return ""
        return f" --nodes {shlex.quote(json.dumps(dataclasses.asdict(nodes)))}"

    return of_job


# The nodes on which an engine is built, and run.
NODES_OF_AN_ENGINE = (
    dict(slurm_partition=on_nodes("partition"), constraint=on_nodes("constraint"))
    if MAY_GO_TO_A_CLUSTER
    else {}
)


def asked_for(run_of):
    """All that a cell or baseline asks a cluster for."""
    if not MAY_GO_TO_A_CLUSTER:
        return {}
    figures = {
        figure: by_plan(figure, run_of) for figure in ("mem_mb", "disk_mb", "runtime")
    }
    return {**figures, **NODES_OF_AN_ENGINE, "gres": on_nodes("gres")}
