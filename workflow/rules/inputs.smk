# Needs: the models and corpora of the configuration. Makes: one small manifest for each, which all cells depend on.


rule model:
    """Reads a model's header and checksum."""
    output:
        "results/models/{model}/model.json",
    log:
        "results/logs/models/{model}.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        path=model_path,
        content=lambda wildcards: content(
            model_path(wildcards), f"results/models/{wildcards.model}/checksum.json"
        ),
        expected=lambda wildcards: expected_sha256(STUDY.models[wildcards.model]),
    shell:
        "inspect_model.py --name {wildcards.model} --path {params.path:q} {params.expected}"
        " --model-json {output:q} 2>&1 | tee {log:q}"


rule corpus:
    """Makes or takes a text to score."""
    output:
        "results/corpora/{corpus}/corpus.json",
    log:
        "results/logs/corpora/{corpus}.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        source=corpus_source,
        content=corpus_content,
        expected=lambda wildcards: expected_sha256(STUDY.corpora[wildcards.corpus]),
    shell:
        "make_corpus.py --name {wildcards.corpus} {params.source} {params.expected}"
        " --corpus-json {output:q} 2>&1 | tee {log:q}"
