# Needs: engine and model manifests. Makes: one record for each throughput cell.


rule throughput_cell:
    """Measures prefill and decode speed of one pair at one depth, in one process."""
    input:
        throughput_inputs,
    output:
        run="results/throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/run.json",
        bench="results/throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/bench.jsonl",
        stderr="results/throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/stderr.log",
    log:
        "results/logs/throughput/{engine}/{model}/d{depth}/{ctk}-{ctv}.log",
    priority: throughput_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=True)
    resources:
        **plan_of(throughput_cell_of),
        **nodes_of_kind("partition", "constraint", "gres"),
        device=1,
    params:
        request=bench_request,
    shell:
        "measure.py throughput --results results --pair {wildcards.ctk}/{wildcards.ctv} "
        "--cell throughput/{wildcards.engine}/{wildcards.model}/d{wildcards.depth}/k-{wildcards.ctk}/v-{wildcards.ctv}"
        " --engine results/engines/{wildcards.engine}/build.json --model results/models/{wildcards.model}/model.json"
        " --depth {wildcards.depth} {params.request}"
        " 2>&1 | tee {log:q}"
