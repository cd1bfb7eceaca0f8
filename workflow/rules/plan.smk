# Needs: nothing that has to be built or measured first. Makes: a look at what a run will do, need and take.


localrules:
    plan,


rule plan:
    """Shows what is done and to do, what fits and how long it takes. Runs whenever it is asked for."""
    log:
        "results/logs/plan.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        config=json.dumps(config),
    shell:
        command(
            "make_plan.py",
            "--results results --config {params.config:q}",
        )
