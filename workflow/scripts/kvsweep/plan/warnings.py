"""What of a plan will not fit, or not do what its name says: one line each, for a person."""

from __future__ import annotations

import difflib
from collections import defaultdict

from kvsweep.engine import sizes
from kvsweep.inputs.model_header import ModelHeader
from kvsweep.plan.names import two_names
from kvsweep.plan.needs import Needs
from kvsweep.plan.plan import Item, Plan
from kvsweep.plan.training import beyond_training
from kvsweep.study.cells import BaselineRun, Cell, QualityCell, TaskCell, ThroughputCell
from kvsweep.study.engines import Engine
from kvsweep.study.pairs import KNOWN_TYPES, bits_per_value
from kvsweep.tables.raw_cells import DAMAGED
from kvsweep.units import format_bytes, format_count, plural

# From this ratio of heads to KV heads on the fork runs K of a symmetric turbo pair as q8_0 (llama-kv-cache.cpp).
_UPGRADED_GQA_RATIO = 6
# What macOS lets the GPU hold by itself. Apple does not publish the rule; logs show two thirds to five sixths.
_MACOS_SHARE = 0.75
# Compute buffers beside weights and cache, and what macOS needs for itself.
_COMPUTE_BYTES, _LEFT_TO_MACOS = 2 * 2**30, 8 * 2**30
# Fewer layers than this are all kept at the type asked for (llama-kv-cache.cpp).
_ADAPTED_LAYERS = 8


def warnings(plan: Plan) -> list[str]:
    """What will not fit, or not do what its name says: one line each; the kind that can have most lines comes last."""
    return [
        *plan.known.missing,
        *_unknown_sizes(plan),
        *_unknown_caches(plan),
        *beyond_training(plan),
        *_damaged(plan),
        *two_names(plan.study, plan.known.now),
        *_disk(plan),
        *_overflows(plan),
        *_unheard_of(plan),
        *_other_types(plan),
        *_over_the_limit(plan),
        *_gpu_limit(plan),
        *_memory(plan),
    ]


def _unknown_sizes(plan: Plan) -> list[str]:
    return [
        f"models.{name}: its sizes are unknown until {model.origin} is {'there' if model.origin.path else 'fetched'}"
        for name, model in plan.study.models.items()
        if name not in plan.known.models
        if not any(sentence.startswith(f"models.{name}.path: ") for sentence in plan.known.missing)
    ]


def _unknown_caches(plan: Plan) -> list[str]:
    return [
        f"memory: the header of {name} does not tell the size of its KV cache ({model.header.architecture}); its cells "
        "are planned without it"
        for name, model in plan.known.models.items()
        if model.header.kv_groups is None
    ]


def _disk(plan: Plan) -> list[str]:
    """Baselines in the order in which they are written, short contexts first; all of them are kept."""
    free = plan.known.resources.free_disk_bytes
    lines = []
    todo = [item for item in plan.baselines if not item.done and item.needs is not None]
    for item in sorted(todo, key=_n_ctx):
        assert item.needs is not None
        if item.needs.disk_bytes > free:
            lines.append(
                f"disk: the {item.run} takes {format_bytes(item.needs.disk_bytes)} and {format_bytes(free)} will "
                "be free by then; without it none of its cells is measured"
            )
        else:
            free -= item.needs.disk_bytes
    return lines


def _n_ctx(item: Item) -> int:
    assert isinstance(item.run, BaselineRun)
    return item.run.n_ctx


def _memory(plan: Plan) -> list[str]:
    resources, backends = plan.known.resources, plan.known.backends
    total, available = resources.memory_bytes, resources.available_memory_bytes
    if total is None:
        return []
    lines, hopeless = _weights(plan, total)
    too_large: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    tight: list[int] = []
    for item in plan.to_do:
        if item.needs is None or (item.run.engine, item.run.model) in hopeless:
            continue
        need = item.needs.memory_bytes(backends.get(item.run.engine, "cpu"))
        if need > total:
            too_large[_group(item.run)].append((_length(plan, item.run), need))
        elif available is not None and need > available:
            tight.append(need)
    for group, found in too_large.items():
        what, where, of = group
        at = ", ".join(format_count(length) for length, _ in sorted(found))
        lines.append(
            f"memory: {what} at {where} {at} ({of}) needs {format_bytes(min(need for _, need in found))} or more, "
            f"this machine has {format_bytes(total)}"
        )
    if tight and available is not None:
        lines.append(
            f"memory: {plural(len(tight), 'run')} of {len(plan.to_do)} need more than the {format_bytes(available)} "
            f"that are free now, up to {format_bytes(max(tight))}; close what else is running"
        )
    return lines


def _gpu_limit(plan: Plan) -> list[str]:
    """Where a Mac's GPU may not hold what a cell needs, although the memory is there."""
    resources, total = plan.known.resources, plan.known.resources.memory_bytes
    if total is None:
        return []
    limit = resources.gpu_limit_bytes or int(_MACOS_SHARE * total)
    needs = [
        item.needs.device_bytes
        for item in plan.to_do
        if item.needs is not None and plan.known.backends.get(item.run.engine) == "metal"
    ]
    over = [need for need in needs if limit < need <= total]
    if not over:
        return []
    told = "as it was told" if resources.gpu_limit_bytes else "about three quarters, if macOS decides"
    line = (
        f"gpu: {plural(len(over), 'run')} may need up to {format_bytes(max(over))} for the GPU, which may hold "
        f"{format_bytes(limit)} ({told})"
    )
    helped = [need + _COMPUTE_BYTES for need in over if need + _COMPUTE_BYTES <= total - _LEFT_TO_MACOS]
    if not helped:
        return [f"{line}; there is no more to give it, expect them to run out of memory"]
    rest = "" if len(helped) == len(over) else f" for {len(helped)} of them; the others do not fit"
    return [
        f"{line}; sudo sysctl iogpu.wired_limit_mb={-(-max(helped) // 2**20)} raises that until the next restart{rest}"
    ]


def _weights(plan: Plan, total: int) -> tuple[list[str], set[tuple[str, str]]]:
    """Lines on weights that alone are too large, and the engines and models that they concern."""
    hopeless = {
        (engine, name)
        for engine, backend in plan.known.backends.items()
        for name, model in plan.known.models.items()
        if Needs(model.size_bytes, 0, 0).memory_bytes(backend) > total
    }
    lines = [
        f"memory: the weights of {name} alone take {format_bytes(plan.known.models[name].size_bytes)}, "
        f"this machine has {format_bytes(total)} (no cell of {engine}, {name} will fit)"
        for engine, name in sorted(hopeless)
    ]
    return lines, hopeless


def _group(run: Cell | BaselineRun) -> tuple[str, str, str]:
    """What the cells share that one line of a warning names: kind and pair, the name of their length, their set-up."""
    match run:
        case ThroughputCell():
            return (f"throughput of {run.pair}", "depth", f"{run.engine}, {run.model}")
        case QualityCell():
            return (f"quality of {run.pair}", "context", f"{run.engine}, {run.model}, {run.corpus}")
        case TaskCell():
            return (f"task {run.task} with {run.pair}", "context", f"{run.engine}, {run.model}")
        case BaselineRun():
            return ("the baseline", "context", f"{run.engine}, {run.model}, {run.corpus}")


def _length(plan: Plan, run: Cell | BaselineRun) -> int:
    match run:
        case ThroughputCell():
            return run.depth
        case TaskCell():
            return plan.study.tasks[run.task].n_ctx
    return run.n_ctx


def _overflows(plan: Plan) -> list[str]:
    lines = []
    for item in plan.baselines:
        model = plan.known.models.get(item.run.model)
        if model is None or item.done:
            continue
        n_ctx, n_vocab = _n_ctx(item), model.header.n_vocab
        if sizes.baseline_overflows_int(n_ctx, n_vocab):
            lines.append(
                f"crash: the {item.run}: if this llama.cpp is from before 2026-05-24, it overflows a 32-bit number "
                f"and crashes when it writes a baseline of {n_ctx} tokens at a vocabulary of {n_vocab}"
            )
    return lines


def _unheard_of(plan: Plan) -> list[str]:
    """Cache types whose size kvsweep does not know. Whether one is misspelt, only the built engine tells."""
    lines = []
    for engine in plan.study.engines.values():
        labels = dict.fromkeys(label for pair in engine.pairs for label in (pair.types.ctk, pair.types.ctv))
        unknown = [label for label in labels if bits_per_value(label) is None]
        if unknown:
            close = {
                n for label in unknown for n in difflib.get_close_matches(label, KNOWN_TYPES, n=1, cutoff=0.8)
            }
            meant = f" (misspelt? near: {', '.join(sorted(close))})" if close else ""
            lines.append(
                f"types: how many bits {', '.join(unknown)} takes is {engine.name}'s to say{meant}; the cache of these "
                "pairs is planned without its size"
            )
    return lines


def _other_types(plan: Plan) -> list[str]:
    """Where an engine of the TurboQuant fork may keep other cache types than it is asked for."""
    return [
        line
        for engine in plan.study.engines.values()
        for name, model in plan.known.models.items()
        for line in _other_types_of(engine, name, model.header)
    ]


def _other_types_of(engine: Engine, model: str, header: ModelHeader) -> list[str]:
    lines = []
    kv_heads = max(header.n_kv_heads, default=0)
    ratio = header.n_heads // kv_heads if kv_heads else 1
    symmetric = [str(p) for p in engine.pairs if p.ctk == p.ctv and p.ctk.startswith("turbo")]
    if (
        symmetric
        and ratio >= _UPGRADED_GQA_RATIO
        and not engine.env.get("TURBO_AUTO_ASYMMETRIC", "").startswith("0")
    ):
        lines.append(
            f"types: {engine.name} may run K of {', '.join(symmetric)} as q8_0 on {model} (GQA ratio {ratio}); "
            "TURBO_AUTO_ASYMMETRIC: 0 in its env prevents that"
        )
    adapted = [str(p) for p in engine.pairs if p.ctv == "turbo2"]
    if adapted and header.n_layers >= _ADAPTED_LAYERS and "TURBO_LAYER_ADAPTIVE" not in engine.env:
        lines.append(
            f"types: {engine.name} may keep V of the outer layers of {', '.join(adapted)} at q8_0 on {model}; "
            "TURBO_LAYER_ADAPTIVE: 0 in its env prevents that"
        )
    return lines


def _over_the_limit(plan: Plan) -> list[str]:
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for item in plan.skipped:
        found[_group(item.run)].append(_length(plan, item.run))
    return [
        f"time: {what} at {where} {', '.join(map(format_count, sorted(lengths)))} ({of}) is predicted to take over "
        f"{plan.study.limits.cell_hours:g} h and will be skipped"
        for (what, where, of), lengths in found.items()
    ]


def _damaged(plan: Plan) -> list[str]:
    n = sum(item.status == DAMAGED for item in plan.cells)
    found = plural(n, "cell")
    said = f"damaged: the records of {found} cannot be used; make forget STATUS={DAMAGED} removes them"
    return [said] if n else []
