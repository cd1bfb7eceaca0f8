# Needs: the engines of the configuration. Makes: one build.json for each, and the proof that it knows the cache types.


localrules:
    accepted_types,


rule engine:
    """Fetches and builds an engine, or takes ready binaries."""
    input:
        lambda wildcards: STANDING.engine(wildcards.engine),
    output:
        # Without update() Snakemake removes it first, and with it what the engine has: only what is missing is built.
        update("results/engines/{engine}/build.json"),
    log:
        "results/logs/engines/{engine}.log",
    priority: 1_000_000_000
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=False)
    resources:
        **NODES_OF_AN_ENGINE,
    params:
        definition=lambda wildcards: engines.engine_definition(
            config["engines"][wildcards.engine],
            STUDY.engines[wildcards.engine].programs,
        ),
    shell:
        command(
            "build_engine.py",
            "--name {wildcards.engine} --definition {params.definition:q} --threads {threads} "
            "--build-json {output:q}",
        )


rule accepted_types:
    """Stops the run before its first measurement if the built engine lacks a cache type or the scorer."""
    input:
        "results/engines/{engine}/build.json",
    output:
        touch("results/engines/{engine}/pairs.checked"),
    log:
        "results/logs/engines/{engine}-pairs.log",
    priority: 1_000_000_000
    conda:
        "../envs/kvsweep.yaml"
    params:
        pairs=lambda wildcards: " ".join(
            map(str, STUDY.engines[wildcards.engine].pairs)
        ),
        scorer=lambda wildcards: (
            "--scorer " if STANDING.needs_scorer(wildcards.engine) else ""
        ),
    shell:
        command(
            "check_pairs.py",
            "{params.scorer}--build-json {input:q} {params.pairs}",
        )
