# Needs: the models and corpora of the configuration; fetches what is not on this machine. Makes: one small manifest for
# each, which all cells depend on.


# Here and not on a cluster's nodes, which often do not reach the network.
localrules:
    model,
    corpus,


rule model:
    """Brings a model here and reads its header and checksum."""
    input:
        lambda wildcards: STANDING.model(wildcards.model),
    output:
        "results/models/{model}/model.json",
    log:
        "results/logs/models/{model}.log",
    priority: 1_000_000_000
    conda:
        "../envs/kvsweep.yaml"
    params:
        origin=lambda wildcards: origin_of(STUDY.models[wildcards.model]),
        expected=lambda wildcards: expected_sha256(STUDY.models[wildcards.model]),
    shell:
        command(
            "inspect_model.py",
            "--name {wildcards.model} --path {params.origin:q} {params.expected} --model-json {output:q}",
        )


rule corpus:
    """Makes, takes or fetches a text to score."""
    input:
        lambda wildcards: STANDING.corpus(wildcards.corpus),
    output:
        "results/corpora/{corpus}/corpus.json",
    log:
        "results/logs/corpora/{corpus}.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        source=corpus_source,
        expected=lambda wildcards: expected_sha256(STUDY.corpora[wildcards.corpus]),
    shell:
        command(
            "make_corpus.py",
            "--name {wildcards.corpus} {params.source} {params.expected} --corpus-json {output:q}",
        )
