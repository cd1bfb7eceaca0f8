# Needs: engine, model and corpus manifests. Makes: f16/f16 baseline log-probabilities, and one record for each quality
# cell, compared with them. The control (f16/f16 against its own baseline) is a cell like any other.


rule baseline:
    """Writes the log-probabilities that every quality cell of a context is compared with."""
    input:
        baseline_inputs,
    output:
        logits="results/baseline/{engine}/{model}/{corpus}/c{n_ctx}/logits.kld",
        run="results/baseline/{engine}/{model}/{corpus}/c{n_ctx}/run.json",
        stdout="results/baseline/{engine}/{model}/{corpus}/c{n_ctx}/stdout.log",
        stderr="results/baseline/{engine}/{model}/{corpus}/c{n_ctx}/stderr.log",
    log:
        "results/logs/baseline/{engine}/{model}/{corpus}/c{n_ctx}.log",
    priority: quality_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=False)
    resources:
        **plan_of(baseline_of),
        **nodes_of_kind("partition", "constraint", "gres"),
        device=1,
    params:
        chunks=chunks,
    shell:
        "measure.py baseline --results results --cell baseline/"
        "{wildcards.engine}/{wildcards.model}/{wildcards.corpus}/c{wildcards.n_ctx}"
        " --engine results/engines/{wildcards.engine}/build.json --model results/models/{wildcards.model}/model.json"
        " --corpus results/corpora/{wildcards.corpus}/corpus.json"
        " --n-ctx {wildcards.n_ctx} --chunks {params.chunks} 2>&1 | tee {log:q}"


rule quality_cell:
    """Measures perplexity and KL divergence of one pair at one context."""
    input:
        quality_inputs,
    output:
        run="results/quality/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}/run.json",
        stdout="results/quality/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}/stdout.log",
        stderr="results/quality/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}/stderr.log",
    log:
        "results/logs/quality/{engine}/{model}/{corpus}/c{n_ctx}/{ctk}-{ctv}.log",
    priority: quality_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=False)
    resources:
        **plan_of(quality_cell_of),
        **nodes_of_kind("partition", "constraint", "gres"),
        device=1,
    params:
        chunks=chunks,
    shell:
        "measure.py quality --results results --pair {wildcards.ctk}/{wildcards.ctv} --cell quality/"
        "{wildcards.engine}/{wildcards.model}/{wildcards.corpus}/c{wildcards.n_ctx}/k-{wildcards.ctk}/v-{wildcards.ctv}"
        " --engine results/engines/{wildcards.engine}/build.json --model results/models/{wildcards.model}/model.json"
        " --corpus results/corpora/{wildcards.corpus}/corpus.json"
        " --logits results/baseline/{wildcards.engine}/{wildcards.model}/{wildcards.corpus}/c{wildcards.n_ctx}/logits.kld"
        " --n-ctx {wildcards.n_ctx} --chunks {params.chunks} 2>&1 | tee {log:q}"
