# Needs: engine, model and corpus manifests. Makes: f16/f16 baseline log-probabilities, and one record for each quality
# cell, compared with them. The control (f16/f16 against its own baseline) is a cell like any other.


rule baseline:
    """Writes the log-probabilities that every quality cell of a context is compared with."""
    input:
        needs_of(baseline_of),
    output:
        **files_in(
            cells.BaselineRun.place,
            logits="logits.kld",
            run="run.json",
            stdout="stdout.log",
            stderr="stderr.log",
        ),
    log:
        log_of(cells.BaselineRun.place),
    priority: quality_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=False)
    resources:
        **asked_for(baseline_of),
        device=1,
    params:
        chunks=chunks,
        nodes=nodes_option(),
    shell:
        measuring(
            "baseline",
            "engine={wildcards.engine} model={wildcards.model} corpus={wildcards.corpus} n_ctx={wildcards.n_ctx}",
            "--cell baseline/$engine/$model/$corpus/c$n_ctx --engine results/engines/$engine/build.json "
            "--model results/models/$model/model.json --corpus results/corpora/$corpus/corpus.json "
            "--n-ctx $n_ctx --chunks {params.chunks}",
        )


rule quality_cell:
    """Measures perplexity and KL divergence of one pair at one context."""
    input:
        needs_of(quality_cell_of),
        ancient(quality_logits),
    output:
        **files_in(
            cells.QualityCell.place,
            run="run.json",
            stdout="stdout.log",
            stderr="stderr.log",
        ),
    log:
        log_of(cells.QualityCell.place),
    priority: quality_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=False)
    resources:
        **asked_for(quality_cell_of),
        device=1,
    params:
        chunks=scored_windows,
        nodes=nodes_option(),
    shell:
        measuring(
            "quality",
            "engine={wildcards.engine} model={wildcards.model} corpus={wildcards.corpus} n_ctx={wildcards.n_ctx} k={wildcards.ctk} v={wildcards.ctv} against={wildcards.against} r={wildcards.against}; "
            "r=${{r#against-}} r=${{r%/}}",
            "--pair $k/$v --cell quality/$engine/$model/$corpus/c$n_ctx/${{against}}k-$k/v-$v "
            "--engine results/engines/$engine/build.json --model results/models/$model/model.json "
            "--corpus results/corpora/$corpus/corpus.json "
            "--logits results/baseline/${{r:-$engine}}/$model/$corpus/c$n_ctx/logits.kld ${{r:+--reference $r}} --n-ctx $n_ctx "
            "--chunks {params.chunks}",
        )
