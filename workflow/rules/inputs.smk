# Needs: the models and corpora of the configuration. Makes: one small manifest for each, which all cells depend on.

INSPECT_MODEL = program("inspect_model.py")
MAKE_CORPUS = program("make_corpus.py")


def model_path(wildcards):
    return str(from_base(STUDY.models[wildcards.model].path))


def expected_sha256(entry):
    return f"--sha256 {entry.sha256}" if entry.sha256 else ""


def corpus_source(wildcards):
    """Where a corpus comes from, as options of the program that makes it."""
    corpus = STUDY.corpora[wildcards.corpus]
    if corpus.path is None:
        return f"--seed {corpus.seed} --bytes {corpus.n_bytes}"
    return f"--path {shlex.quote(str(from_base(corpus.path)))}"


def corpus_content(wildcards):
    corpus = STUDY.corpora[wildcards.corpus]
    return (
        ""
        if corpus.path is None
        else content(corpus.path, f"results/corpora/{corpus.name}/checksum.json")
    )


rule model:
    """Reads a model's header and checksum."""
    output:
        "results/models/{model}/model.json",
    log:
        "results/logs/models/{model}.log",
    params:
        path=model_path,
        content=lambda wildcards: content(
            model_path(wildcards), f"results/models/{wildcards.model}/checksum.json"
        ),
        expected=lambda wildcards: expected_sha256(STUDY.models[wildcards.model]),
    shell:
        "{INSPECT_MODEL} --name {wildcards.model} --path {params.path:q} {params.expected}"
        " --model-json {output:q} 2>&1 | tee {log:q}"


rule corpus:
    """Makes or takes a text to score."""
    output:
        "results/corpora/{corpus}/corpus.json",
    log:
        "results/logs/corpora/{corpus}.log",
    params:
        source=corpus_source,
        content=corpus_content,
        expected=lambda wildcards: expected_sha256(STUDY.corpora[wildcards.corpus]),
    shell:
        "{MAKE_CORPUS} --name {wildcards.corpus} {params.source} {params.expected}"
        " --corpus-json {output:q} 2>&1 | tee {log:q}"
