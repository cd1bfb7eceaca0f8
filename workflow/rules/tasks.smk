# Needs: an engine with llama-server, a model's manifest, the text of a task that has one, and the harness of one that
# somebody else asks. Makes: one record for each task and pair, with the answers to its items.


# No param: how long an answer may take changes no finished cell.
ANSWER_MINUTES = literal(
    json.dumps({name: task.answer_minutes for name, task in STUDY.tasks.items()})
)


# It fetches, which the nodes of a cluster often cannot.
localrules:
    harness,


rule harness:
    """Makes the harness of a task ready, with its packages and its sandbox, and tries the exercises' own solutions."""
    input:
        lambda wildcards: STANDING.harness(wildcards.task),
    output:
        "results/harness/{task}.json",
    log:
        "results/logs/harness/{task}.log",
    priority: 1_000_000_000
    conda:
        "../envs/kvsweep.yaml"
    # Two of them would make the same environment.
    threads: cores_here()
    params:
        definition=lambda wildcards: STUDY.tasks[wildcards.task].harness,
    shell:
        command(
            "make_harness.py",
            "--name {wildcards.task} --definition {params.definition:q} --harness-json {output:q}",
        )


rule task_cell:
    """Asks one server with the pair's types all items of a task; what was answered before it was stopped is kept."""
    input:
        needs_of(task_cell_of),
    output:
        **files_in(
            cells.TaskCell.place,
            run="run.json",
            answers="items.jsonl",
            server="server.log",
        ),
    log:
        log_of(cells.TaskCell.place),
    priority: task_priority
    conda:
        "../envs/kvsweep.yaml"
    threads: cores(timed=False)
    resources:
        **asked_for(task_cell_of),
        device=1,
    params:
        request=task_request,
        nodes=nodes_option(),
    shell:
        measuring(
            "task",
            "engine={wildcards.engine} model={wildcards.model} task={wildcards.task} k={wildcards.ctk} v={wildcards.ctv}",
            "--pair $k/$v --cell tasks/$engine/$model/$task/k-$k/v-$v --task $task "
            "--engine results/engines/$engine/build.json --model results/models/$model/model.json "
            "{params.request} "
            f"--answer-minutes {ANSWER_MINUTES}",
        )
