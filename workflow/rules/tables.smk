# Needs: every cell's record and the manifests. Makes: the Parquet tables. What ran is decided here; what was read from a
# cell is kept in results/parsed until the cell or the code that reads it changes.

from kvsweep.tables.names import MEASURED

OF_THE_STUDY = configuration.what_is_measured(config)


localrules:
    study,
    tables,
    published_tables,
    shipped_tables,


rule study:
    """Writes down what is to be measured, for the tables."""
    input:
        lambda wildcards: STANDING.list_of_cells(OF_THE_STUDY),
    output:
        "results/config.json",
    log:
        "results/logs/study.log",
    priority: 1_000_000_000
    conda:
        "../envs/kvsweep.yaml"
    params:
        config=json.dumps(OF_THE_STUDY),
    shell:
        command(
            "write_study.py",
            "--results results --config {params.config:q}",
        )


rule tables:
    """Reads all raw cells, decides each status, checks what really ran."""
    input:
        study="results/config.json",
        manifests=lambda wildcards: STANDING.manifests_of_tables(
            INSIDE.is_forced("tables")
        ),
        cells=STANDING.cell_records,
        slices=slice_files(),
    output:
        expand(
            "results/tables/{table}.parquet",
            table=MEASURED,
        ),
    log:
        "results/logs/tables.log",
    conda:
        "../envs/kvsweep.yaml"
    threads: all_cores
    params:
        code=code("make_tables.py", *published_files()),
        slices=json.dumps(config.get("slices", {})),
        others=STUDY.others,
    shell:
        command(
            "make_tables.py",
            "--results results --processes {threads} --slices {params.slices:q} --others {params.others}",
        )


rule published_tables:
    """Writes the published numbers alone as the same tables: what kvsweep says of them needs no engine."""
    output:
        expand(
            "results/published/tables/{table}.parquet",
            table=MEASURED,
        ),
    log:
        "results/logs/published-tables.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_tables.py", *published_files()),
    shell:
        command(
            "make_tables.py",
            "--results results/published --only-published",
        )


rule shipped_tables:
    """Writes the tables of the slices that kvsweep ships alone: their report (docs/study.md) needs no engine."""
    input:
        SHIPPED.values(),
    output:
        expand(
            "results/study/tables/{table}.parquet",
            table=MEASURED,
        ),
    log:
        "results/logs/study-tables.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_tables.py", *published_files()),
        slices=json.dumps(SHIPPED),
    shell:
        command(
            "make_tables.py",
            "--results results/study --only-slices --slices {params.slices:q}",
        )
