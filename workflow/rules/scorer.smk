# Needs: an engine with a scorer, model and corpus manifests. Makes: one record for each quality cell that the scorer
# measures, with the scores of its tokens, and these as Parquet. Neither a baseline nor a file of log-probabilities.


localrules:
    tokens,


# The scorer compares with the f16 of its own engine alone.
SCORER_PLACE = cells.QualityCell.place_of_scorer.replace("{against}", "")


rule scorer_cell:
    """Measures the divergence of one pair from f16 token by token; on one machine its siblings in the same process."""
    input:
        needs_of(scorer_cell_of),
    output:
        **files_in(
            SCORER_PLACE,
            run="run.json",
            stdout="stdout.log",
            stderr="stderr.log",
            tokens="tokens.scores",
        ),
    log:
        log_of(SCORER_PLACE),
    priority: quality_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=False)
    resources:
        **asked_for(scorer_cell_of),
        device=1,
    params:
        chunks=chunks,
        positions=positions,
        nodes=nodes_option(),
    shell:
        measuring(
            "scorer",
            "engine={wildcards.engine} model={wildcards.model} corpus={wildcards.corpus} n_ctx={wildcards.n_ctx} k={wildcards.ctk} v={wildcards.ctv}",
            "--pair $k/$v --cell scorer/$engine/$model/$corpus/c$n_ctx/k-$k/v-$v "
            "--engine results/engines/$engine/build.json --model results/models/$model/model.json "
            "--corpus results/corpora/$corpus/corpus.json --n-ctx $n_ctx --chunks {params.chunks} "
            "--positions {params.positions}",
        )


rule tokens:
    """Writes the scores of a cell's tokens as Parquet; of a cell that was not measured no rows."""
    input:
        run=f"results/{SCORER_PLACE}/run.json",
        build=ancient("results/engines/{engine}/build.json"),
    output:
        "results/tokens/{engine}/{model}/{corpus}/c{n_ctx}/k-{ctk}/v-{ctv}.parquet",
    log:
        "results/logs/tokens/{engine}/{model}/{corpus}/c{n_ctx}/{ctk}-{ctv}.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("make_tokens.py"),
    shell:
        command(
            "make_tokens.py",
            "--run {input.run:q} --build-json {input.build:q} --output {output:q}",
        )
