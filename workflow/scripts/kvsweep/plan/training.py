"""What of a study goes beyond the context that a model was trained for: one line each, for a person."""

from __future__ import annotations

from collections.abc import Iterable

from kvsweep.inputs.model_header import ModelHeader
from kvsweep.plan.plan import Plan
from kvsweep.study.cells import QualityCell, TaskCell, ThroughputCell
from kvsweep.study.config import Workload
from kvsweep.units import format_count


def beyond_training(plan: Plan) -> list[str]:
    """Sentences on depths, contexts and workloads, measured or not, that are longer than a model was trained for."""
    lines = []
    for name, model in plan.known.models.items():
        trained = model.header.n_ctx_train
        if not trained:
            continue
        lines += [
            f"trained: {what} of {name} is more than the {format_count(trained)} tokens that it was trained for"
            f"{_scaling(model.header)}; speed and memory are real there, what it says is not, and nothing is "
            "recommended"
            for what in _lengths_beyond(plan, name, trained)
        ]
        if plan.study.has_own_workloads:
            lines += [
                f"trained: the workload {workload.name} takes {format_count(_end(workload))} tokens, and {name} was "
                f"trained for {format_count(trained)}; nothing is recommended for it"
                for workload in plan.study.workloads.values()
                if _end(workload) > trained
            ]
    return lines


def _lengths_beyond(plan: Plan, model: str, trained: int) -> list[str]:
    runs = [item.run for item in plan.cells if item.run.model == model]
    depths = sorted({run.depth for run in runs if isinstance(run, ThroughputCell)})
    contexts = sorted({run.n_ctx for run in runs if isinstance(run, QualityCell)})
    tasks = sorted({plan.study.tasks[run.task].n_ctx for run in runs if isinstance(run, TaskCell)})
    found = [("depth", depths), ("context", contexts), ("context of tasks", tasks)]
    lines = [
        f"{what} {_listed(above)}"
        for what, lengths in found
        if (above := [length for length in lengths if length > trained])
    ]
    # What is timed at a depth stands behind it.
    asked = plan.study.throughput
    timed = 0 if asked is None else max(asked.prompt, asked.generate)
    if at := [depth for depth in depths if depth <= trained < depth + timed]:
        lines.append(f"depth {_listed(at)} with the {format_count(timed)} tokens that are timed there")
    return lines


def _listed(lengths: Iterable[int]) -> str:
    return ", ".join(map(format_count, lengths))


def _end(workload: Workload) -> int:
    """Tokens in the cache at the end of a request of this workload."""
    return workload.depth + workload.prompt_tokens + workload.generated_tokens


def _scaling(header: ModelHeader) -> str:
    if header.n_ctx_original in (None, header.n_ctx_train) or header.n_ctx_original is None:
        return ""
    by = header.rope_scaling or "scaling of positions"
    return f" (from {format_count(header.n_ctx_original)} by {by})"
