# Needs: engine and model manifests. Makes: one record for each throughput cell.


rule throughput_cell:
    """Measures prefill and decode speed of one pair at one depth, in one process."""
    input:
        engine="results/engines/{engine}/build.json",
        model="results/models/{model}/model.json",
    output:
        run="results/throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/run.json",
        bench="results/throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/bench.jsonl",
        stderr="results/throughput/{engine}/{model}/d{depth}/k-{ctk}/v-{ctv}/stderr.log",
    log:
        "results/logs/throughput/{engine}/{model}/d{depth}/{ctk}-{ctv}.log",
    priority: throughput_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: ALL_CORES
    resources:
        device=1,
    params:
        request=bench_request,
    shell:
        "measure.py throughput --results results --pair {wildcards.ctk}/{wildcards.ctv} "
        "--cell throughput/{wildcards.engine}/{wildcards.model}/d{wildcards.depth}/k-{wildcards.ctk}/v-{wildcards.ctv}"
        " --engine {input.engine:q} --model {input.model:q} --depth {wildcards.depth} {params.request}"
        " 2>&1 | tee {log:q}"
