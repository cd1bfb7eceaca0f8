# Needs: every cell's record and the manifests. Makes: the Parquet tables. What ran is decided here; what was read from a
# cell is kept in results/parsed until the cell or the code that reads it changes.


rule study:
    """Writes down what is to be measured: for the tables, and for counting the cells while they are measured."""
    input:
        outdated_study,
    output:
        config="results/config.json",
        cells="results/cells.txt",
    log:
        "results/logs/study.log",
    priority: 1_000_000_000
    conda:
        "../envs/kvsweep.yaml"
    params:
        config=json.dumps(OF_THE_STUDY),
    shell:
        "write_study.py --results results --config {params.config:q} 2>&1 | tee {log:q}"


rule tables:
    """Reads all raw cells, decides each status, checks what really ran."""
    input:
        study="results/config.json",
        # An engine or a model that is made again and comes out the same changes no table.
        manifests=missing_manifests,
        cells=CELL_RECORDS,
    output:
        expand(
            "results/tables/{table}.parquet",
            table=["engines", "models", "machines", "throughput", "quality"],
        ),
    log:
        "results/logs/tables.log",
    conda:
        "../envs/kvsweep.yaml"
    threads: ALL_CORES
    params:
        code=code("make_tables.py"),
        manifests=manifest_contents,
    shell:
        "make_tables.py --results results --processes {threads} 2>&1 | tee {log:q}"


rule claims:
    """Checks the study's statements on its own numbers and on the measured ones."""
    input:
        tables=rules.tables.output,
    output:
        "results/tables/claims.parquet",
    log:
        "results/logs/claims.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_claims.py", *published_files()),
    shell:
        "make_claims.py --tables results/tables --out {output:q} 2>&1 | tee {log:q}"
