# Needs: every cell's record and the manifests. Makes: the Parquet tables. What ran is decided here; what was read from a
# cell is kept in results/parsed until the cell or the code that reads it changes.


rule study:
    """Writes down what is to be measured: for the tables, and for counting the cells while they are measured."""
    output:
        config="results/config.json",
        cells="results/cells.txt",
    log:
        "results/logs/study.log",
    priority: 1_000_000_000
    conda:
        "../envs/kvsweep.yaml"
    params:
        # Which machine, how long and where to stop do not change what a table says of a finished cell.
        config=json.dumps(
            {key: config[key] for key in config if key not in ("machine", "limits")}
        ),
    shell:
        "write_study.py --results results --config {params.config:q} 2>&1 | tee {log:q}"


rule tables:
    """Reads all raw cells, decides each status, checks what really ran."""
    input:
        study="results/config.json",
        engines=expand("results/engines/{engine}/build.json", engine=STUDY.engines),
        models=expand("results/models/{model}/model.json", model=STUDY.models),
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
