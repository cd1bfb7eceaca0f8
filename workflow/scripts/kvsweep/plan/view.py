"""A plan as text for the terminal."""

from __future__ import annotations

from collections import Counter

from kvsweep.engine import sizes
from kvsweep.inputs.model_header import ModelHeader
from kvsweep.numbers import ABSENT
from kvsweep.plan.as_data import by_kind, disk_bytes
from kvsweep.plan.plan import Item, Plan
from kvsweep.plan.warnings import warnings
from kvsweep.study import polyglot
from kvsweep.study.cells import BaselineRun, QualityCell, TaskCell, ThroughputCell
from kvsweep.study.pairs import Pair, nominal_bits
from kvsweep.study.tasks import Task
from kvsweep.units import format_bytes, format_count, format_duration, parse_count, plural

# More than this goes to plan.json only.
_MOST_TABLES = 6
_MOST_PAIRS = 24
_MOST_WARNINGS = 20
_MOST_REASONS = 20


def as_text(plan: Plan, machine: str) -> str:
    """The plan for a person: totals, one table for each engine and model, what will not fit, how long it will take."""
    groups = [(engine, model) for engine in plan.study.engines for model in plan.study.models]
    lines = [*_totals(plan), *_off(plan), _machine(plan, machine)]
    if not groups:
        slices = ", ".join(plan.study.slices)
        return f"nothing to measure: tables and report are made of slices alone ({slices})\n"
    if plan.known.models:
        lines += [
            "",
            "Size of the KV cache at depth (d, throughput) and context (c, quality), as llama.cpp pads it:",
            "bytes a token, times the tokens of depth and test, or of all windows scored at once, in steps of 256"
            + ("; by the scorer with the f16 cache beside." if _scorer_measures(plan) else "."),
        ]
    for engine, model in groups[:_MOST_TABLES]:
        lines += ["", *_table(plan, engine, model)]
    if len(groups) > _MOST_TABLES:
        left_out = len(groups) - _MOST_TABLES
        lines += ["", f"{plural(left_out, 'more table')}, of other engines and models, in plan.json"]
    found = warnings(plan)
    lines += ["", *(f"! {line}" for line in found[:_MOST_WARNINGS])]
    if len(found) > _MOST_WARNINGS:
        lines.append(f"! {plural(len(found) - _MOST_WARNINGS, 'more warning')} in plan.json")
    lines += ["" if found else "Nothing is known not to fit.", *_time(plan)]
    return "\n".join(lines) + "\n"


def _scorer_measures(plan: Plan) -> bool:
    return any(isinstance(item.run, QualityCell) and item.run.method == "scorer" for item in plan.cells)


def _totals(plan: Plan) -> list[str]:
    lines = []
    for kind, items in by_kind(plan).items():
        if items:
            done = [item for item in items if item.done]
            statuses = Counter(item.status for item in done)
            how = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
            line = f"{kind + ':':12} {len(done)} of {len(items)} done, {len(items) - len(done)} to do"
            lines.append(line + (f" ({how})" if done and kind != "baseline" else ""))
    return lines + reasons(plan)


def reasons(plan: Plan) -> list[str]:
    """Why what is to do is to do, a line for each reason and engine that not all runs share."""
    if not plan.to_do:
        return []
    counts: dict[tuple[str, str], Counter[str]] = {}
    for item in plan.to_do:
        assert item.reason is not None
        counts.setdefault((item.reason, item.run.engine), Counter())[item.run.kind] += 1
    lines = []
    for (reason, engine), kinds in list(counts.items())[:_MOST_REASONS]:
        what = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines.append(f"  {engine}: {reason}: {what}")
    if len(counts) > _MOST_REASONS:
        lines.append(f"  {plural(len(counts) - _MOST_REASONS, 'more reason')} in plan.json")
    return ["to do because:", *lines, "  then tables and report"]


def _machine(plan: Plan, name: str) -> str:
    resources = plan.known.resources
    memory, available = (
        "unknown" if size is None else format_bytes(size)
        for size in (resources.memory_bytes, resources.available_memory_bytes)
    )
    disk = format_bytes(resources.free_disk_bytes)
    return f"{'machine:':12} {name}, {memory} of memory ({available} free now), {disk} of disk free"


def _table(plan: Plan, engine: str, model: str) -> list[str]:
    """KV cache sizes, one row for each pair, one column for each depth and context."""
    backend = plan.known.backends.get(engine, "?")
    file = plan.known.models.get(model)
    cells = [
        item
        for item in plan.cells
        if (item.run.engine, item.run.model) == (engine, model) and not isinstance(item.run, TaskCell)
    ]
    if file is None:
        title = f"{engine} ({backend}), {model}: sizes unknown"
    else:
        title = (
            f"{engine} ({backend}), {model}: {format_bytes(file.size_bytes)} of weights, "
            f"KV cache {_cache(file.header)}"
        )
    pairs: dict[Pair, list[Item]] = {}
    for item in cells:
        assert isinstance(item.run, ThroughputCell | QualityCell)
        pairs.setdefault(item.run.pair, []).append(item)
    # Of many pairs the symmetric ones say most: a mixed one lies halfway between two of them.
    shown = list(pairs)
    if len(shown) > _MOST_PAIRS:
        shown = sorted(shown, key=lambda pair: pair.ctk != pair.ctv)[:_MOST_PAIRS]
    columns = sorted({_column(item) for item in cells}, key=_column_order) if file else []
    rows = [["pair", "bits/value", *(name for name, _ in columns), "done"]]
    for pair in shown:
        size: dict[tuple[str, bool], int] = {}
        for item in pairs[pair]:
            if item.needs and item.needs.kv_bytes is not None:
                # A context that both methods measure is one column.
                size[_column(item)] = max(item.needs.kv_bytes, size.get(_column(item), 0))
        bits = nominal_bits(pair.ctk, pair.ctv)
        rows.append(
            [
                str(pair),
                ABSENT if bits is None else f"{bits:.5g}",
                *(format_bytes(size[column]) if column in size else ABSENT for column in columns),
                f"{sum(item.done for item in pairs[pair])}/{len(pairs[pair])}",
            ]
        )
    lines = [title, *_arguments(plan, engine), *_aligned(rows)]
    if len(pairs) > len(shown):
        lines.append(f"  {plural(len(pairs) - len(shown), 'more pair')} in plan.json")
    return lines + _task_lines(plan, engine, model) + _beside(plan, engine, model)


def _arguments(plan: Plan, engine: str) -> list[str]:
    """The arguments from the configuration that the engine and single pairs run with."""
    asked = plan.study.engines[engine]
    given = {"all runs": asked.arguments, **{str(pair): more for pair, more in asked.pair_arguments.items()}}
    return [f"  with {more} ({what})" for what, more in given.items() if str(more)]


def _cache(header: ModelHeader) -> str:
    """What a model's cache takes at f16: what grows with the context, and what does not."""
    if header.kv_groups is None:
        return f"of a size that the header does not tell ({header.architecture})"
    text = f"of {format_bytes(sizes.kv_bytes_per_token(header.kv_groups)['f16'])} a token at f16"
    for group in header.kv_groups:
        if group.window is not None:
            layers, window = plural(len(group.kv_heads), "layer"), format_count(group.window)
            text += f", and of {layers} no more than a window of {window} tokens"
    if header.recurrent_bytes:
        text += f", and {format_bytes(header.recurrent_bytes)} of recurrent state"
    return text


def _beside(plan: Plan, engine: str, model: str) -> list[str]:
    """What is needed beside weights and KV cache."""
    lines = []
    of_group = [
        item
        for item in (*plan.cells, *plan.baselines)
        if item.needs is not None and (item.run.engine, item.run.model) == (engine, model)
    ]
    bench = [i.needs.host_bytes for i in of_group if i.needs and isinstance(i.run, ThroughputCell)]
    if any(bench):
        lines.append(
            f"  llama-bench keeps the state at a depth in host memory: up to {format_bytes(max(bench))} more"
        )
    for item in of_group:
        if isinstance(item.run, BaselineRun) and item.needs is not None:
            lines.append(
                f"  baseline at context {format_count(item.run.n_ctx)} of {item.run.corpus}: "
                f"{format_bytes(item.needs.disk_bytes)} of disk, "
                f"{format_bytes(item.needs.host_bytes)} of host memory for logits"
                + (", done" if item.done else "")
            )
    return lines


def _column(item: Item) -> tuple[str, bool]:
    """The column's name, and whether it is a context."""
    if isinstance(item.run, ThroughputCell):
        return f"d{format_count(item.run.depth)}", False
    assert not isinstance(item.run, TaskCell)
    return f"c{format_count(item.run.n_ctx)}", True


def _column_order(column: tuple[str, bool]) -> tuple[bool, int]:
    name, is_context = column
    return is_context, parse_count(name[1:])


def _task_lines(plan: Plan, engine: str, model: str) -> list[str]:
    """A line for each task: what it asks, how far it is, what its cells need at most."""
    lines = []
    for task in plan.study.tasks.values():
        items = [
            item
            for item in plan.cells
            if isinstance(item.run, TaskCell)
            and (item.run.engine, item.run.model, item.run.task) == (engine, model, task.name)
        ]
        if not items:
            continue
        caches = [item.needs.kv_bytes for item in items if item.needs and item.needs.kv_bytes is not None]
        disk = disk_bytes(items)
        lines.append(
            f"  task {task.name} ({task.kind}): {plural(task.n_items, 'item')} for each of "
            f"{plural(len(items), 'pair')}, context up to {format_count(task.n_ctx)}"
            + (f", KV cache up to {format_bytes(max(caches))}" if caches else "")
            + (f", {format_bytes(disk)} of disk" if disk is not None else "")
            + f", {sum(item.done for item in items)}/{len(items)} done"
        )
        if task.kind == "aider-polyglot":
            lines.append(f"    {_what_exercises_take(task, items)}")
    return lines


def _what_exercises_take(task: Task, items: list[Item]) -> str:
    """The number of exercises by language and, where nothing is measured yet, how long they may take."""
    by_language = polyglot.by_language(task.definition["exercises"])
    what = ", ".join(f"{language} {n}" for language, n in sorted(by_language.items()))
    if any(item.estimate for item in items if not item.done) or all(item.done for item in items):
        return what
    return f"{what}; {_at_the_studys_pace(task)}, at most {task.cell_hours:g} h"


def _at_the_studys_pace(task: Task) -> str:
    least, most = (format_duration(task.n_items * seconds) for seconds in polyglot.STUDY_SECONDS)
    all_of_them = f"{polyglot.STUDY_HOURS[0]} to {polyglot.STUDY_HOURS[1]} h for all 225"
    return f"{least} to {most} a pair at the study's pace (M5 Max, {all_of_them})"


def _off(plan: Plan) -> list[str]:
    """The tasks that the configuration has and does not want asked."""
    return [
        f"off:         task {task.name} ({task.kind}, {plural(task.n_items, 'item')} a pair"
        + (f", {_at_the_studys_pace(task)}" if task.harness else "")
        + f"); tasks.{task.name}.enabled turns it on"
        for task in plan.study.tasks_off.values()
    ]


def _own_limits(plan: Plan) -> str:
    names = [task.name for task in plan.study.tasks.values() if task.cell_hours is not None]
    return f" (task {', '.join(names)}: as it says itself)" if names else ""


def _aligned(rows: list[list[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            [row[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _time(plan: Plan) -> list[str]:
    """How long the rest will take, as far as it can be told."""
    todo, unknown, skipped = len(plan.to_do), len(plan.without_estimate), len(plan.skipped)
    if not todo:
        return ["time: nothing is left to measure"]
    lines = []
    if unknown < todo:
        lines.append(
            f"time: about {format_duration(plan.estimated_seconds)} for the {plural(todo - unknown, 'run')} "
            "with an estimate" + (f", {skipped} of them to be skipped" if skipped else "")
        )
    if unknown:
        lines.append(
            f"time: no estimate for {plural(unknown, 'run')}, of which nothing comparable is measured yet"
        )
        # Only where nothing better is known: beside an estimate it would frighten for nothing.
        lines.append(
            f"time: at most {format_duration(plan.longest_seconds)}, because each run is ended after "
            f"{plan.study.limits.cell_hours:g} h" + _own_limits(plan)
        )
    return lines
