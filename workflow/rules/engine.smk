# Needs: the engines of the configuration. Makes: one build.json for each, and the proof that it knows the cache types.

BUILD_ENGINE = program("build_engine.py")
CHECK_PAIRS = program("check_pairs.py")


def ready_binaries(wildcards):
    """What the binaries of a ready-made engine hold; nothing for one that is built."""
    engine = STUDY.engines[wildcards.engine]
    if engine.source_kind != "path":
        return ""
    return " ".join(
        content(
            Path(engine.source["path"], name),
            f"results/engines/{engine.name}/checksums/{name}.json",
        )
        for name in engine.programs
    )


rule engine:
    """Fetches and builds an engine, or takes ready binaries."""
    output:
        "results/engines/{engine}/build.json",
    log:
        "results/logs/engines/{engine}.log",
    threads: ALL_CORES
    params:
        definition=lambda wildcards: configuration.engine_definition(
            config["engines"][wildcards.engine]
        ),
        binaries=ready_binaries,
    shell:
        "{BUILD_ENGINE} --name {wildcards.engine} --definition {params.definition:q} --base {BASE}"
        " --threads {threads} --build-json {output:q} 2>&1 | tee {log:q}"


rule accepted_types:
    """Stops the run before its first measurement if the built engine does not know a cache type."""
    input:
        "results/engines/{engine}/build.json",
    output:
        touch("results/engines/{engine}/pairs.checked"),
    log:
        "results/logs/engines/{engine}-pairs.log",
    priority: 1_000_000_000
    params:
        pairs=lambda wildcards: " ".join(
            map(str, STUDY.engines[wildcards.engine].pairs)
        ),
    shell:
        "{CHECK_PAIRS} --build-json {input:q} {params.pairs} 2>&1 | tee {log:q}"
