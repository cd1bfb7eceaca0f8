# Needs: the Parquet tables. Makes: tables of answers, which the report shows. Takes seconds, and no engine.

TABLES = expand(
    "{{root}}/tables/{table}.parquet", table=["throughput", "quality", "models"]
)
TASK_TABLES = expand("{{root}}/tables/{table}.parquet", table=["tasks", "task_items"])


localrules:
    claims,
    answers,
    memory,
    advice,


rule claims:
    """Checks the study's statements on its own numbers, on the measured ones and on slices."""
    input:
        tables=TABLES,
    output:
        "{root}/tables/claims.parquet",
    log:
        "{root}/logs/claims.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_claims.py"),
    shell:
        command(
            "make_claims.py",
            "--tables {wildcards.root:q}/tables",
        )


rule answers:
    """Compares with what was published, and the pairs with each other."""
    input:
        tables=TABLES,
        tasks=TASK_TABLES,
    output:
        multiext(
            "{root}/tables/",
            "speed.parquet",
            "repetitions.parquet",
            "comparisons.parquet",
            "across.parquet",
            "head_to_head.parquet",
            "pareto.parquet",
            "k_or_v.parquet",
            "crossovers.parquet",
            "depth.parquet",
            "agreement.parquet",
            "task_shares.parquet",
        ),
    log:
        "{root}/logs/answers.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_answers.py"),
        depth=(
            ""
            if STUDY.analysis.pareto_depth is None
            else f"--pareto-depth {STUDY.analysis.pareto_depth}"
        ),
    shell:
        command(
            "make_answers.py",
            "--tables {wildcards.root:q}/tables {params.depth}",
        )


rule memory:
    """Works out what each cell needs in memory, and the largest context that fits."""
    input:
        tables=TABLES,
    output:
        multiext(
            "{root}/tables/",
            "memory.parquet",
            "bandwidth.parquet",
            "largest_context.parquet",
        ),
    log:
        "{root}/logs/memory.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_memory.py", BASE / "resources" / "bandwidths.csv"),
        memories=json.dumps(STUDY.analysis.memories),
    shell:
        command(
            "make_memory.py",
            "--tables {wildcards.root:q}/tables --memories {params.memories:q}",
        )


rule advice:
    """Says which pair is best for which work."""
    input:
        tables=TABLES,
        tasks="{root}/tables/tasks.parquet",
        answers="{root}/tables/task_shares.parquet",
    output:
        "{root}/tables/advice.parquet",
    log:
        "{root}/logs/advice.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_advice.py", configuration.WORKLOADS_FILE),
        # As they are written; null stands for those that ship with kvsweep.
        workloads=json.dumps(config.get("workloads")),
    shell:
        command(
            "make_advice.py",
            "--tables {wildcards.root:q}/tables --workloads {params.workloads:q}",
        )
