# Needs: the Parquet tables. Makes: tables of answers, which the report shows. Seconds, and no engine.

TABLES = expand(
    "{{root}}/tables/{table}.parquet", table=["throughput", "quality", "models"]
)


rule claims:
    """Checks the study's statements on its own numbers and on the measured ones."""
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
        "make_claims.py --tables {wildcards.root:q}/tables --out {output:q} 2>&1 | tee {log:q}"
