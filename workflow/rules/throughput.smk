# Needs: engine and model manifests. Makes: one record for each throughput cell.


rule throughput_cell:
    """Measures prefill and decode speed of one pair at one depth, in one process: that of one round."""
    input:
        needs_of(throughput_cell_of),
    output:
        **files_in(
            cells.ThroughputCell.place,
            run="run.json",
            bench="bench.jsonl",
            stderr="stderr.log",
        ),
    log:
        log_of(cells.ThroughputCell.place),
    priority: throughput_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=True)
    resources:
        **asked_for(throughput_cell_of),
        device=1,
    params:
        request=bench_request,
        nodes=nodes_option(),
    shell:
        measuring(
            "throughput",
            "engine={wildcards.engine} model={wildcards.model} depth={wildcards.round}d{wildcards.depth} k={wildcards.ctk} v={wildcards.ctv}",
            "--pair $k/$v --cell throughput/$engine/$model/$depth/k-$k/v-$v "
            "--engine results/engines/$engine/build.json --model results/models/$model/model.json "
            "--depth ${{depth##*d}} {params.request}",
        )
