# Needs: the Parquet tables. Makes: tables of answers, which the report shows. Takes seconds, and no engine.

from kvsweep.tables.names import ANALYSIS


localrules:
    answers,


rule answers:
    """Checks the study's statements, compares the pairs, and says which is best for which work and what it needs."""
    input:
        tables=expand(
            "{{root}}/tables/{table}.parquet",
            table=["throughput", "quality", "models", "tasks", "task_items"],
        ),
    output:
        expand("{{root}}/tables/{table}.parquet", table=ANALYSIS),
    log:
        "{root}/logs/answers.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code(
            "make_answers.py",
            BASE / "resources" / "bandwidths.csv",
            configuration.WORKLOADS_FILE,
        ),
        depth=(
            ""
            if STUDY.analysis.pareto_depth is None
            else f"--pareto-depth {STUDY.analysis.pareto_depth}"
        ),
        memories=json.dumps(STUDY.analysis.memories),
        # As they are written; null stands for those that ship with kvsweep.
        workloads=json.dumps(config.get("workloads")),
    shell:
        command(
            "make_answers.py",
            "--tables {wildcards.root:q}/tables {params.depth} --memories {params.memories:q} "
            "--workloads {params.workloads:q}",
        )
